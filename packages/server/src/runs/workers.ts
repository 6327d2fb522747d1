/**
 * Leases. A process that works on runs has one row in `workers`; its lease covers every run it has claimed.
 *
 * W1  The row exists ⇔ its process may be alive. Whoever finds an expired row deletes it; from then on its
 *     runs have no owner and are claimed by others under a new fence.
 * W2  A process that finds its own row gone has lost all its runs. It drops them and starts anew with a new id.
 * W3  Time is the database's: clocks of processes do not matter.
 */
import { type Sql, statement, type Transaction } from "../storage/index.ts";

/** How long a lease lasts without a heartbeat. Take-over follows within this and one look, so within 5 s. */
export const LEASE_MS = 4000;

const register = statement(
  "workers.register",
  "insert into workers (id, role, lease_expires_at) values ($1, $2, now() + $3 * interval '1 millisecond')",
);
export async function registerWorker(sql: Sql, id: string, role: string): Promise<void> {
  await sql.run(register, [id, role, LEASE_MS]);
}

const beat = statement(
  "workers.beat",
  `update workers set lease_expires_at = now() + $2 * interval '1 millisecond' where id = $1 returning id`,
);
/** @returns false when the row is gone (W2) */
export async function heartbeat(sql: Pick<Sql, "rows">, id: string): Promise<boolean> {
  return (await sql.rows(beat, [id, LEASE_MS])).length === 1;
}

const hold = statement("workers.hold", "select id from workers where id = $1 for key share");
/**
 * Keeps a worker's lease from being ended until the transaction is over.
 *
 * @returns false when it has been ended already
 */
export async function holdLease(tx: Transaction, id: string): Promise<boolean> {
  return (await tx.row(hold, [id])) !== undefined;
}

const reap = statement("workers.reap", "delete from workers where lease_expires_at < now() and id <> $1 returning id");
/** Ends the leases that ran out. @returns the ids of the processes that lost theirs */
export async function reapWorkers(sql: Sql, self: string): Promise<string[]> {
  return (await sql.rows<{ id: string }>(reap, [self])).map((row) => row.id);
}

const others = statement("workers.others", "select count(*)::int as count from workers where id <> $1");
export async function otherWorkers(sql: Sql, self: string): Promise<number> {
  return (await sql.row<{ count: number }>(others, [self]))?.count ?? 0;
}

const leave = statement("workers.leave", "delete from workers where id = $1");
export async function removeWorker(sql: Sql, id: string): Promise<void> {
  await sql.run(leave, [id]);
}

const owned = statement("workers.owned_runs", "select id from runs where state = 'running' and lease_owner = $1"); // runs_open
/** The uuids of the runs that are under way under this worker's lease. */
export async function ownedRuns(sql: Sql, worker: string): Promise<string[]> {
  return (await sql.rows<{ id: string }>(owned, [worker])).map((row) => row.id);
}

const disown = statement(
  "workers.disown_runs",
  "update runs set lease_owner = null where state = 'running' and lease_owner = $1 and id = any($2::uuid[])",
);
/** Gives up runs that this worker has claimed: they are taken over like those of a process that is gone. */
export async function disownRuns(sql: Sql, worker: string, runs: readonly string[]): Promise<void> {
  await sql.run(disown, [worker, runs]);
}

const mine = statement(
  "workers.lost_runs",
  `select i.n::int as n from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) with ordinality as i(o, t, r, f, n)
     left join threads t on t.organization_id = i.o and t.id = i.t and t.active_run_id = i.r and t.active_fence = i.f
    where t.id is null`,
);
/** Which of the claimed runs are not the claimer's any more: canceled, deleted or taken over elsewhere. */
export async function lostRuns(
  sql: Sql,
  claims: ReadonlyArray<{ key: { organization: string; thread: string; run: string }; fence: number }>,
): Promise<number[]> {
  const rows = await sql.rows<{ n: number }>(mine, [
    claims.map((claim) => claim.key.organization),
    claims.map((claim) => claim.key.thread),
    claims.map((claim) => claim.key.run),
    claims.map((claim) => claim.fence),
  ]);
  return rows.map((row) => row.n - 1);
}
