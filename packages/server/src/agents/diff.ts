/** What changed between two configurations: the same list for the same two, whatever the order of their keys. */
import { isDeepStrictEqual } from "node:util";
import type { Json } from "@callboard/protocol";

/** `before` is absent for what was added, `after` for what was removed. */
export type Change = { path: string; before?: Json; after?: Json };

/** How lists are compared: item by item at the same position, or each list as one value. */
export type ListDiff = "items" | "whole";

/** @returns changes in the order of their paths, keys sorted */
export function diff(before: Json, after: Json, lists: ListDiff = "items", path = ""): Change[] {
  if (Array.isArray(before) && Array.isArray(after)) {
    if (lists === "whole") return isDeepStrictEqual(before, after) ? [] : [{ path, before, after }];
    const changes: Change[] = [];
    for (let i = 0; i < Math.max(before.length, after.length); i++) {
      changes.push(...diffAt(before[i], after[i], lists, `${path}[${i}]`));
    }
    return changes;
  }
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => {
      const at = path === "" ? key : `${path}.${key}`;
      return diffAt(own(before, key), own(after, key), lists, at);
    });
  }
  return before === after ? [] : [{ path, before, after }];
}

function diffAt(before: Json | undefined, after: Json | undefined, lists: ListDiff, path: string): Change[] {
  if (before === undefined) return after === undefined ? [] : [{ path, after }];
  return after === undefined ? [{ path, before }] : diff(before, after, lists, path);
}

type JsonObject = { [key: string]: Json };
const isObject = (value: Json): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const own = (value: JsonObject, key: string): Json | undefined => (Object.hasOwn(value, key) ? value[key] : undefined);
