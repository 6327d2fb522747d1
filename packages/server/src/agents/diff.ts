/** What changed between two configurations: the same list for the same two, whatever the order of their keys. */
import type { Json } from "@callboard/protocol";

/** `before` is absent for what was added, `after` for what was removed. */
export type Change = { path: string; before?: Json; after?: Json };

/** @returns changes in the order of their paths, keys sorted, lists by position */
export function diff(before: Json, after: Json, path = ""): Change[] {
  if (Array.isArray(before) && Array.isArray(after)) {
    const changes: Change[] = [];
    for (let i = 0; i < Math.max(before.length, after.length); i++) {
      changes.push(...diffAt(before[i], after[i], `${path}[${i}]`));
    }
    return changes;
  }
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => diffAt(own(before, key), own(after, key), path === "" ? key : `${path}.${key}`));
  }
  return before === after ? [] : [{ path, before, after }];
}

function diffAt(before: Json | undefined, after: Json | undefined, path: string): Change[] {
  if (before === undefined) return after === undefined ? [] : [{ path, after }];
  return after === undefined ? [{ path, before }] : diff(before, after, path);
}

type JsonObject = { [key: string]: Json };
const isObject = (value: Json): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const own = (value: JsonObject, key: string): Json | undefined => (Object.hasOwn(value, key) ? value[key] : undefined);
