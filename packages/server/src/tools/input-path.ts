/** Paths into a tool's input: `amount_cents`, `order.lines[0].sku`, `lines[*].amount`. Own members only. */

export type PathStep = { readonly key: string } | { readonly index: number } | { readonly every: true };

/** The steps of a text that the protocol's `inputPath` accepts. */
export function pathSteps(path: string): PathStep[] {
  return [...path.matchAll(/\[(\d+|\*)\]|[^.[\]]+/g)].map(([text, inBrackets]) => {
    if (inBrackets === undefined) return { key: text };
    return inBrackets === "*" ? { every: true } : { index: Number(inBrackets) };
  });
}

/** The values at a path; one that is not there is undefined. `[*]` gives none for an empty list. */
export function valuesAt(root: unknown, path: string): unknown[] {
  return pathSteps(path).reduce<unknown[]>((values, step) => values.flatMap((value) => membersAt(value, step)), [root]);
}

function membersAt(value: unknown, step: PathStep): unknown[] {
  if ("key" in step) {
    const has = typeof value === "object" && value !== null && Object.hasOwn(value, step.key);
    return [has ? (value as Record<string, unknown>)[step.key] : undefined];
  }
  if (!Array.isArray(value)) return [undefined];
  return "every" in step ? [...value] : [value[step.index]];
}

/** A copy of JSON whose values at these paths are replaced. What is not at a path is shared with the original. */
export function replaceAt<T>(root: T, paths: readonly string[], by: unknown): T {
  return paths.reduce((value, path) => replaced(value, pathSteps(path), by) as T, root);
}

function replaced(value: unknown, [step, ...rest]: PathStep[], by: unknown): unknown {
  if (step === undefined) return by;
  if ("key" in step) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step.key)) return value;
    const members = Object.entries(value).map(([key, member]) => [
      key,
      key === step.key ? replaced(member, rest, by) : member,
    ]);
    return Object.fromEntries(members);
  }
  if (!Array.isArray(value)) return value;
  return value.map((item, i) => ("every" in step || step.index === i ? replaced(item, rest, by) : item));
}
