/**
 * Putting all stored secrets under the server's first key, while servers run.
 *
 * Each row is written only if it still holds what was read: a secret that somebody replaces meanwhile is newer, and
 * under the first key already or found by the next look. A rotation that is stopped is simply begun again.
 */
import type { Database, Sql, Transaction } from "../storage/index.ts";
import { type SealedSecret, SecretError, type SecretKeys } from "./keys.ts";

/** A stored secret with its row. */
export type StoredSecret = {
  readonly organization: string;
  /** As the secret was sealed for it. */
  readonly identity: string;
  readonly sealed: SealedSecret;
};

/** A table that holds secrets; the room that owns it says how they are found and replaced. */
export type SecretShelf<Stored extends StoredSecret = StoredSecret> = {
  readonly name: string;
  /** Secrets that are not under the key, or sealed as earlier versions did, in the order of their identity. */
  others(sql: Sql, keyId: string, afterIdentity: string, limit: number): Promise<Stored[]>;
  /** @returns false when the row is gone or holds another secret by now */
  replace(sql: Sql, stored: Stored, sealed: SealedSecret): Promise<boolean>;
};

export type Rotation = {
  /** The key that secrets are under now. */
  readonly key_id: string;
  /** How many were put under it, by table. */
  readonly rotated: Record<string, number>;
  /** Those whose key this server does not have, or that were damaged. They stay as they are. */
  readonly unreadable: ReadonlyArray<{ table: string; identity: string; key_id: string }>;
};

const PAGE = 50;
/** Looks over all tables at most; more are needed only while servers with older settings go on sealing. */
const LOOKS = 5;

/** @param rotated writes what else belongs into the transaction that changed so many secrets of an organization */
export async function rotateSecrets(
  database: Database,
  keys: SecretKeys,
  shelves: readonly SecretShelf[],
  rotated: (tx: Transaction, organization: string, table: string, count: number) => Promise<void>,
): Promise<Rotation> {
  const counts: Record<string, number> = {};
  let unreadable: Rotation["unreadable"] = [];
  for (let look = 1; look <= LOOKS; look++) {
    const found = await Promise.all(shelves.map((shelf) => rotateShelf(database, keys, shelf, rotated)));
    for (const [i, { count }] of found.entries()) {
      const { name } = shelves[i] as SecretShelf;
      counts[name] = (counts[name] ?? 0) + count;
    }
    unreadable = found.flatMap((one) => one.unreadable);
    if (found.every(({ count }) => count === 0)) break;
  }
  return { key_id: keys.ids[0] as string, rotated: counts, unreadable };
}

async function rotateShelf(
  database: Database,
  keys: SecretKeys,
  shelf: SecretShelf,
  rotated: (tx: Transaction, organization: string, table: string, count: number) => Promise<void>,
): Promise<{ count: number; unreadable: Rotation["unreadable"] }> {
  const unreadable: Array<Rotation["unreadable"][number]> = [];
  let count = 0;
  let after = "";
  for (;;) {
    const page = await shelf.others(database, keys.ids[0] as string, after, PAGE);
    const last = page.at(-1);
    if (last === undefined) return { count, unreadable };
    after = last.identity;
    const next: Array<{ stored: StoredSecret; sealed: SealedSecret }> = [];
    for (const stored of page) {
      const { identity, sealed } = stored;
      try {
        next.push({ stored, sealed: keys.rewrap(sealed, identity) });
      } catch (error) {
        if (!(error instanceof SecretError)) throw error;
        unreadable.push({ table: shelf.name, identity, key_id: sealed.key_id });
      }
    }
    count += await database.transaction(async (tx) => {
      const done = new Map<string, number>();
      for (const { stored, sealed } of next) {
        if (!(await shelf.replace(tx, stored, sealed))) continue;
        done.set(stored.organization, (done.get(stored.organization) ?? 0) + 1);
      }
      // In one order, so that two rotations never wait for each other in a circle.
      for (const [organization, n] of [...done].sort()) await rotated(tx, organization, shelf.name, n);
      return [...done.values()].reduce((sum, n) => sum + n, 0);
    });
  }
}

/** Stored secrets that these keys do not open, counted up to a limit: for a warning at start. */
export async function countUnknown(sql: Sql, keys: SecretKeys, shelves: readonly SecretShelf[]): Promise<number> {
  let count = 0;
  for (const shelf of shelves) {
    const page = await shelf.others(sql, keys.ids[0] as string, "", 1000);
    count += page.filter(({ sealed }) => !keys.ids.includes(sealed.key_id)).length;
  }
  return count;
}
