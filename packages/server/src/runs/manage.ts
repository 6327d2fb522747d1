/** What happens to a thread as a whole: rename, archive, delete; and cancel, which takes a run away. */
import {
  CallboardError,
  fromUuid,
  isTerminal,
  type OrganizationId,
  type PrincipalRef,
  type RunError,
  type RunId,
  type Thread,
  type ThreadId,
  toUuid,
  type UpdateThread,
} from "@callboard/protocol";
import type { Feed } from "../events/index.ts";
import type { Transaction, Wakes } from "../storage/index.ts";
import { deleteThread, lockChildThreads, type ThreadRow, toThread } from "../threads/index.ts";
import { openCallerOf } from "./children.ts";
import { endRun } from "./end.ts";
import type { RunHost } from "./host.ts";
import { type RunRow, runError } from "./run.ts";
import { type Rights, StaleAccess } from "./stale.ts";
import { findRun } from "./store.ts";
import { ThreadLog } from "./thread-log.ts";

export type ManageDeps = { feed: Feed; host: RunHost; wakes: Wakes; now: () => Date };

/** Who acts: a caller with its rights, which must be those of the commit; or the server by itself, for an organization. */
export type By = Rights | OrganizationId;

/** @throws not_found; StaleAccess when somebody's access has changed since the caller's rights were read */
export async function lockLog(
  tx: Transaction,
  deps: Pick<ManageDeps, "now">,
  by: By,
  threadId: ThreadId,
): Promise<ThreadLog> {
  const at = deps.now().toISOString();
  const log = await (typeof by === "string"
    ? ThreadLog.lock(tx, by, threadId, at)
    : ThreadLog.hold(tx, by.organizationId, threadId, at));
  if (log === undefined) throw new CallboardError("not_found", "there is no such thread for this caller");
  if (typeof by !== "string" && log.epoch !== by.epoch) throw new StaleAccess();
  return log;
}

export async function updateThread(
  tx: Transaction,
  deps: ManageDeps,
  by: By,
  threadId: ThreadId,
  change: UpdateThread,
): Promise<Thread> {
  const log = await lockLog(tx, deps, by, threadId);
  if (change.title !== undefined) log.row.title = change.title;
  if (change.metadata !== undefined) log.row.metadata = change.metadata;
  await log.save(deps.feed);
  return toThread(log.row);
}

/** Repeating it changes nothing. @throws not_found, run_active */
export async function setArchived(
  tx: Transaction,
  deps: ManageDeps,
  by: By,
  threadId: ThreadId,
  archived: boolean,
  shown: PrincipalRef,
): Promise<Thread> {
  const log = await lockLog(tx, deps, by, threadId);
  if (log.row.archived === archived) return toThread(log.row);
  if (archived && log.row.state !== "idle") {
    throw new CallboardError(
      "run_active",
      `thread ${threadId} is ${log.row.state}; only an idle thread can be archived`,
    );
  }
  log.row.archived = archived;
  log.append(archived ? "thread.archived" : "thread.unarchived", null, { by: shown });
  await log.save(deps.feed);
  return toThread(log.row);
}

/**
 * Deletes a thread with all it has, and the threads that its runs opened by calling agents; whoever works on
 * their runs, here or elsewhere, is fenced by their absence.
 *
 * @returns the deleted threads
 * @throws not_found, run_active for a thread whose parent's run still needs it
 */
export async function removeThread(tx: Transaction, deps: ManageDeps, by: By, threadId: ThreadId): Promise<ThreadId[]> {
  const log = await lockLog(tx, deps, by, threadId);
  await refuseNeeded(tx, log.row);
  const group: ThreadRow[] = [log.row];
  for (let level: ThreadRow[] = group; level.length > 0; ) {
    level = await lockChildThreads(
      tx,
      log.row.organization_id,
      level.map(({ id }) => id),
    );
    group.push(...level);
  }
  const jobs: string[] = [];
  const organizationId = fromUuid("organization", log.row.organization_id);
  for (const { id } of group) jobs.push(...(await deleteThread(tx, organizationId, fromUuid("thread", id))));
  tx.after(() => {
    for (const { organization_id: organization, id: thread, active_run_id: active } of group) {
      if (active !== null) {
        deps.host.drop(active);
        deps.wakes.tell("signal", active);
      }
      deps.feed.deleted({ organization, thread });
    }
    for (const job of jobs) deps.wakes.send("job", job);
  });
  return group.map(({ id }) => fromUuid("thread", id));
}

/** A call that has lost its run would begin it again. */
async function refuseNeeded(tx: Transaction, thread: ThreadRow): Promise<void> {
  if (thread.parent_thread_id === null) return;
  const caller = await openCallerOf(tx, thread);
  if (caller === undefined) return;
  throw new CallboardError(
    "run_active",
    `thread ${fromUuid("thread", thread.id)} belongs to a call of run ${fromUuid("run", caller)}, which has not ended`,
  );
}

/** Cancels a run that has not ended; its process stops working on it within a second. @throws not_found, run_not_active */
export async function cancelRun(
  tx: Transaction,
  deps: ManageDeps,
  by: By,
  threadId: ThreadId,
  runId: RunId,
  error: RunError = runError("canceled"),
): Promise<RunRow> {
  const log = await lockLog(tx, deps, by, threadId);
  const row = await findRun(tx, fromUuid("organization", log.row.organization_id), runId);
  if (row === undefined || row.thread_id !== toUuid(threadId)) {
    throw new CallboardError("not_found", "there is no such run for this caller");
  }
  if (isTerminal(row.state)) {
    throw new CallboardError(
      "run_not_active",
      `run ${fromUuid("run", row.id)} is ${row.state}; only queued, running or waiting runs can be canceled`,
    );
  }
  const ended = await endRun(tx, log, row, "canceled", error);
  await log.save(deps.feed);
  tx.after(() => {
    deps.host.drop(row.id);
    deps.wakes.tell("signal", row.id);
    if (log.row.queued > 0) deps.wakes.send("queue", "");
  });
  return ended;
}
