/**
 * Attempts to prove who one is, limited right across processes.
 *
 * One row for each key says when its bucket is full again (the generic cell rate algorithm). An attempt is taken from
 * the bucket before it is made, in one statement, so a hundred at once on ten processes count as a hundred; a success
 * gives its own back. Nothing is ever locked: whoever waits as told may try again.
 *
 * The key of an account is made of what was typed, so an address that nobody has is limited like any other, and an
 * attempt that is refused here was not looked at: the right password gets the same answer.
 */
import { createHash } from "node:crypto";
import { CallboardError } from "@callboard/protocol";
import { network } from "../limits/index.ts";
import { type Sql, statement } from "../storage/index.ts";

export type Limit = {
  /** Attempts at once. */
  readonly burst: number;
  /** Seconds until one more is possible. */
  readonly everySeconds: number;
};
/** For one account, from everywhere. */
export const accountLimit: Limit = { burst: 10, everySeconds: 60 };
/** For one network address, at all accounts. */
export const addressLimit: Limit = { burst: 100, everySeconds: 5 };

const take = statement(
  "throttles.take",
  `insert into throttles as t (key, full_at) values ($1, clock_timestamp() + make_interval(secs => $2))
   on conflict (key) do update set full_at = greatest(t.full_at, clock_timestamp()) + make_interval(secs => $2)
    where greatest(t.full_at, clock_timestamp()) + make_interval(secs => $2)
          <= clock_timestamp() + make_interval(secs => $3)`,
);
const wait = statement(
  "throttles.wait",
  `select extract(epoch from full_at - clock_timestamp())::double precision + $2 - $3 as seconds
     from throttles where key = $1`,
);
const giveBack = statement(
  "throttles.give-back",
  "update throttles set full_at = full_at - make_interval(secs => $2) where key = $1",
);
const clear = statement("throttles.clear", "delete from throttles where key = $1");
const sweep = statement("throttles.sweep", "delete from throttles where full_at < now()");

/** A key that tells nothing of what it was made from to somebody who reads the table without guessing. */
const keyOf = (kind: string, text: string): Buffer => createHash("sha256").update(`${kind}\n${text}`).digest();

/** One attempt, taken from its buckets. */
export type Attempt = {
  /** It succeeded: the account's bucket is full again, the address gets its own attempt back. */
  succeeded(): Promise<void>;
};

/**
 * Takes an attempt at an account from an address.
 *
 * @param account what was typed; null where there is none to name
 * @param known the account has signed in from this address before: strangers do not use up its attempts there
 * @throws too_many_attempts with `Retry-After`
 */
export async function attempt(
  sql: Sql,
  { account, address, known = false }: { account: string | null; address: string | null; known?: boolean },
): Promise<Attempt> {
  const from = address === null ? null : network(address);
  const byAddress = from === null ? undefined : keyOf("address", from);
  const typed = account?.trim().toLowerCase();
  const byAccount = typed === undefined ? undefined : keyOf("account", known ? `${typed}\n${from}` : typed);
  if (byAddress !== undefined) await takeOne(sql, byAddress, addressLimit);
  if (byAccount !== undefined) await takeOne(sql, byAccount, accountLimit);
  return {
    async succeeded() {
      if (byAddress !== undefined) await sql.run(giveBack, [byAddress, addressLimit.everySeconds]);
      if (byAccount !== undefined) await sql.run(clear, [byAccount]);
    },
  };
}

async function takeOne(sql: Sql, key: Buffer, { burst, everySeconds }: Limit): Promise<void> {
  const full = burst * everySeconds;
  if ((await sql.run(take, [key, everySeconds, full])) > 0) return;
  const row = await sql.row<{ seconds: number }>(wait, [key, everySeconds, full]);
  const seconds = Math.min(everySeconds, Math.max(1, Math.ceil(row?.seconds ?? 1)));
  throw new CallboardError("too_many_attempts", `too many attempts to sign in; try again in ${seconds} seconds`, {
    retry_after_ms: seconds * 1000,
  });
}

/** Forgets full buckets. @returns how many */
export const sweepThrottles = (sql: Sql): Promise<number> => sql.run(sweep);
