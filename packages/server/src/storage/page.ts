/**
 * Lists page by a key: the cursor is the last row's key, opaque to who carries it.
 *
 * A query asks for `limit + 1` rows after the key; the extra one only says that more follow.
 */
import { CallboardError } from "@callboard/protocol";

const shapes = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  slug: /^[a-z0-9-]{1,64}$/,
  integer: /^\d{1,12}$/,
} as const;
/** What a list's key looks like: an id's uuid, a slug, or a whole number below 1,000,000,000,000. */
export type KeyShape = keyof typeof shapes;

/** Start of a list that goes down by id. */
export const LAST_UUID = "ffffffff-ffff-ffff-ffff-ffffffffffff";
/** Start of a list that goes up by id. */
export const FIRST_UUID = "00000000-0000-0000-0000-000000000000";

export function encodeCursor(key: string | number): string {
  return Buffer.from(String(key)).toString("base64url");
}

/**
 * The key in a cursor, or undefined without one.
 *
 * @throws invalid_request with the path `cursor` for a text that no list of this shape has given out
 */
export function decodeCursor(cursor: string | undefined, shape: KeyShape): string | undefined {
  if (cursor === undefined) return undefined;
  const key = Buffer.from(cursor, "base64url").toString("latin1");
  if (shapes[shape].test(key) && encodeCursor(key) === cursor) return key;
  const message = "expected a next_cursor that this list has given";
  throw new CallboardError("invalid_request", `cursor: ${message}`, { fields: [{ path: "cursor", message }] });
}

/** The list on the wire from at most `limit + 1` rows. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  key: (row: Row) => string | number,
  present: (row: Row) => Item,
): { data: Item[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(present),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null,
  };
}
