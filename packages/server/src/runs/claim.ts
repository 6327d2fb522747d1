/**
 * Claiming: a queued run, or one whose process is gone, becomes this process's under a new fence.
 *
 * Threads are locked first and skipped when somebody else holds them. What was read before the lock is then
 * read again under it, in a statement of its own: the first reading may be older than the lock.
 */
import { fromUuid } from "@callboard/protocol";
import type { Feed } from "../events/index.ts";
import { type Database, type Sql, statement, type Transaction } from "../storage/index.ts";
import { endRun } from "./end.ts";
import { keyOf, type RunKey, type RunRow, runError } from "./run.ts";
import { begunMessages, runColumns, stepsOf } from "./store.ts";
import { ThreadLog } from "./thread-log.ts";
import { holdLease } from "./workers.ts";

/** Deaths of its process after which a run is not tried again. A step that was written makes up for earlier ones. */
const MAX_CRASHES = 3;

/**
 * One more death would end this run. A process works on one such run at a time: the run that kills its process
 * then takes none along that only happened to be there.
 */
export const isSuspect = ({ crashes }: Pick<RunRow, "crashes">): boolean => crashes === MAX_CRASHES - 1;

/** A run that is this process's. `fresh`: the first one of its thread, just created; there is nothing to read back. */
export type Claim = { key: RunKey; fence: number; row: RunRow; fresh?: true };

const open = `(r.state = 'queued' or (r.state = 'running' and not exists (select from workers w where w.id = r.lease_owner)))
  and (t.active_run_id = r.id or (t.active_run_id is null and not exists (
        select from runs e where e.organization_id = r.organization_id and e.thread_id = r.thread_id
           and e.state = 'queued' and e.queued_seq < r.queued_seq)))`;

/** The run would be a suspect once claimed. */
const suspect = `r.crashes + (r.state = 'running')::int = ${MAX_CRASHES - 1}`;

type Candidate = { organization_id: string; id: string; thread_id: string; suspect: boolean };
const candidates = statement(
  "runs.claimable",
  `select r.organization_id, r.id, r.thread_id, ${suspect} as suspect
     from runs r join threads t on t.organization_id = r.organization_id and t.id = r.thread_id
    where r.state in ('queued', 'running') and ${open} and ($2 or not ${suspect})
    order by r.id limit $1
      for update of t skip locked`, // runs_open
);
const candidatesOfThread = statement(
  "runs.claimable_of_thread",
  `select r.organization_id, r.id, r.thread_id, ${suspect} as suspect
     from runs r join threads t on t.organization_id = r.organization_id and t.id = r.thread_id
    where r.organization_id = $3 and r.thread_id = $4 and r.state in ('queued', 'running') and ${open}
      and ($2 or not ${suspect})
    order by r.queued_seq limit $1
      for update of t skip locked`, // runs_thread
);

const reread = statement(
  "runs.reread_for_claim",
  `select ${runColumns} from runs r join threads t on t.organization_id = r.organization_id and t.id = r.thread_id
    where r.organization_id = $1 and r.id = $2 and ${open}`,
);
const take = statement(
  "runs.claim",
  `update runs set state = 'running', fence = $3, lease_owner = $4, attempt = attempt + 1, crashes = $5,
          waiting_for = null, started_at = coalesce(started_at, $6)
    where organization_id = $1 and id = $2`,
);

/**
 * Claims up to `limit` runs, at most one of them a suspect; none when the worker's lease has been ended.
 *
 * @param withSuspect false while this process works on a suspect already
 * @param only the thread to look at; absent for all
 */
export async function claimRuns(
  database: Database,
  feed: Feed,
  worker: string,
  limit: number,
  withSuspect: boolean,
  now: () => Date,
  only?: { organization: string; thread: string },
): Promise<Claim[]> {
  return database.transaction(async (tx) => {
    // Without its lease a process would find the runs it has just claimed without an owner, and claim them again.
    if (!(await holdLease(tx, worker))) return [];
    const rows =
      only === undefined
        ? await tx.rows<Candidate>(candidates, [limit, withSuspect])
        : await tx.rows<Candidate>(candidatesOfThread, [1, withSuspect, only.organization, only.thread]);
    const claims: Claim[] = [];
    for (const row of rows) {
      if (row.suspect && claims.some((claim) => isSuspect(claim.row))) continue;
      const claim = await claimOne(tx, feed, worker, keyOf(row), now().toISOString());
      if (claim !== undefined) claims.push(claim);
    }
    return claims;
  });
}

async function claimOne(
  tx: Transaction,
  feed: Feed,
  worker: string,
  key: RunKey,
  at: string,
): Promise<Claim | undefined> {
  const log = await ThreadLog.lock(tx, key.organizationId, key.threadId, at);
  const row = await tx.row<RunRow>(reread, [key.organization, key.run]);
  if (log === undefined || row === undefined) return undefined;
  const crashed = row.state === "running";
  const crashes = row.crashes + (crashed ? 1 : 0);
  if (crashes >= MAX_CRASHES) {
    await endRun(tx, log, row, "failed", runError("crash_loop"));
    await log.save(feed);
    return undefined;
  }
  const fence = row.fence + 1;
  await tx.run(take, [key.organization, key.run, fence, worker, crashes, at]);
  if (log.row.active_run_id === null) {
    log.row.queued--;
    log.row.steered = 0;
  }
  log.row.active_run_id = key.run;
  log.row.active_fence = fence;
  log.row.state = "running";
  const attempt = row.attempt + 1;
  if (row.started_at === null) log.append("run.started", key.run, { attempt });
  else {
    const superseded = await unfinishedMessages(tx, row);
    log.append("run.resumed", key.run, {
      attempt,
      reason: crashed ? "taken_over" : row.waiting_for !== null ? "answered" : "handed_over",
      ...(superseded.length > 0 ? { superseded_message_ids: superseded as never } : {}),
    });
  }
  await log.save(feed);
  return {
    key,
    fence,
    row: {
      ...row,
      state: "running",
      fence,
      lease_owner: worker,
      attempt,
      crashes,
      waiting_for: null,
      started_at: row.started_at ?? at,
    },
  };
}

/** Messages whose deltas are in the log, but whose model call must be made again. */
async function unfinishedMessages(sql: Sql, row: RunRow): Promise<string[]> {
  const begun = await begunMessages(sql, row.organization_id, row.thread_id, row.id, row.queued_seq);
  if (begun.length === 0) return [];
  const steps = await stepsOf(sql, row.organization_id, [row.id]);
  const finished = new Set<string>(steps.map((step) => fromUuid("message", step.message_id)));
  return begun.filter((id) => !finished.has(id));
}
