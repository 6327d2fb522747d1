/**
 * What must follow when a run of a tree ends, whoever ended it and whether its process still lives:
 *
 *   a run or its call ended ──▶ the open runs it had called are canceled, and those below them
 *   the last child ended    ──▶ a run that waits for its children is queued
 *
 * Each is a transaction of its own, because it locks another thread than the end did. So both are looked for:
 * at once by the process that saw the end, and now and then by every process.
 */
import { CallboardError } from "@callboard/protocol";
import type { Database } from "../storage/index.ts";
import { answeredParents, isAnswered, type OpenRun, orphanedRuns } from "./children.ts";
import { cancelRun, type ManageDeps } from "./manage.ts";
import { keyOf, runError } from "./run.ts";
import { findRun, moveRun } from "./store.ts";
import { ThreadLog } from "./thread-log.ts";

type Deps = ManageDeps & { database: Database };

/** Looks until there is nothing more to do. */
export async function settleFamilies(deps: Deps): Promise<void> {
  for (;;) {
    const orphans = await orphanedRuns(deps.database);
    for (const orphan of orphans) await cancelOrphan(deps, orphan);
    const parents = await answeredParents(deps.database);
    let queued = 0;
    for (const parent of parents) if (await queueParent(deps, parent)) queued++;
    if (queued > 0) deps.wakes.send("queue", "");
    if (orphans.length === 0 && queued === 0) return;
  }
}

async function cancelOrphan(deps: Deps, orphan: OpenRun): Promise<void> {
  const { organizationId, threadId, runId } = keyOf(orphan);
  const error = runError("canceled", "the run that called it does not wait for it any more");
  try {
    await deps.database.transaction((tx) => cancelRun(tx, deps, organizationId, threadId, runId, error));
  } catch (failure) {
    // It ended by itself, or went with its thread.
    if (failure instanceof CallboardError && failure.code !== "unavailable") return;
    throw failure;
  }
}

/** @returns false when somebody else was first */
function queueParent(deps: Deps, parent: OpenRun): Promise<boolean> {
  const { organizationId, threadId, runId } = keyOf(parent);
  return deps.database.transaction(async (tx) => {
    const log = await ThreadLog.lock(tx, organizationId, threadId, deps.now().toISOString());
    if (log === undefined || !(await isAnswered(tx, parent))) return false;
    const row = await findRun(tx, organizationId, runId);
    // `waiting_for` stays until the claim, as after a person's answer.
    if (row === undefined || !(await moveRun(tx, row, "queued", { waitingFor: [] }))) return false;
    log.row.state = "running";
    await log.save(deps.feed);
    return true;
  });
}
