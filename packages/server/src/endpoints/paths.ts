/** From a file's name to its route: `tickets/[id]/close` answers `/endpoints/tickets/t-7/close`. */

export const ENDPOINTS_PREFIX = "/endpoints";

export type Pattern = {
  /** Literal parts as they are, others by the name of their parameter. */
  readonly parts: ReadonlyArray<{ readonly literal: string } | { readonly param: string }>;
};

/**
 * @param name the file below `endpoints/`, without its ending; a last part `index` stands for its folder
 * @throws for a part that is neither plain nor `[name]`
 */
export function toPattern(name: string): Pattern {
  const parts = name.replace(/(^|\/)index$/, "").split("/");
  const seen = new Set<string>();
  return {
    parts: parts
      .filter((part) => part !== "")
      .map((part) => {
        const param = /^\[([a-zA-Z][a-zA-Z0-9_]*)\]$/.exec(part)?.[1];
        if (param === undefined) {
          if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(part)) {
            throw new Error(`${part} is no part of a path: expected letters, digits, . _ - or [name]`);
          }
          return { literal: part };
        }
        if (seen.has(param)) throw new Error(`the parameter [${param}] is there twice`);
        seen.add(param);
        return { param };
      }),
  };
}

/** Whether the name of a file is a path. */
export function isPath(name: string): boolean {
  try {
    toPattern(name);
    return true;
  } catch {
    return false;
  }
}

/** `/endpoints/tickets/{id}`: how the API's description writes it; also what two files must not share. */
export const toTemplate = ({ parts }: Pattern): string =>
  [ENDPOINTS_PREFIX, ...parts.map((part) => ("literal" in part ? part.literal : `{${part.param}}`))].join("/");

/** Literal parts come before parameters, from the left. */
export function compare(a: Pattern, b: Pattern): number {
  for (const [i, part] of a.parts.entries()) {
    const other = b.parts[i];
    if (other === undefined) return -1;
    if ("literal" in part !== "literal" in other) return "literal" in part ? -1 : 1;
  }
  return 0;
}

/** The parameters' values, or undefined when the path is another one. @param path of a URL, still encoded */
export function matchPath({ parts }: Pattern, path: string): Record<string, string> | undefined {
  const given = path === ENDPOINTS_PREFIX ? [] : path.slice(ENDPOINTS_PREFIX.length + 1).split("/");
  if (given.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    const text = decode(given[i] as string);
    if (text === undefined || text === "") return undefined;
    if ("param" in part) params[part.param] = text;
    else if (part.literal !== text) return undefined;
  }
  return params;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
