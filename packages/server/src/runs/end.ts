/**
 * Ending a run from outside its engine: cancel, interrupt, expiry, crash loop.
 *
 * The thread is under lock. Clearing its active run fences the engine that may still work on it: not one
 * event follows the terminal one. What was under way is written down as what it is: unknown, or ended.
 */
import { fromUuid, type RunError } from "@callboard/protocol";
import type { Sql } from "../storage/index.ts";
import { closePermission, permissionsOf } from "./permission-store.ts";
import { type RunRow, toRun } from "./run.ts";
import { callsOf, moveRun, setCallState } from "./store.ts";
import type { ThreadLog } from "./thread-log.ts";

/** Ends a run that has not ended, as `failed` or `canceled`. The caller saves the log. */
export async function endRun(
  sql: Sql,
  log: ThreadLog,
  row: RunRow,
  state: "failed" | "canceled",
  error: RunError,
): Promise<RunRow> {
  const moved = await moveRun(sql, row, state, { error, endedAt: log.at });
  if (!moved) throw new Error(`run ${row.id} moved while its thread was locked`);
  await closeCalls(sql, log, row);
  await closePermissions(sql, log, row);
  const ended: RunRow = { ...row, state, error, lease_owner: null, waiting_for: null, ended_at: log.at };
  const { usage } = toRun(ended);
  log.append(state === "failed" ? "run.failed" : "run.canceled", row.id, { error, usage });
  const thread = log.row;
  if (thread.active_run_id === row.id) thread.active_run_id = null;
  else thread.queued--;
  // An active run that goes on keeps the thread as it is, waiting or running.
  if (thread.active_run_id === null) thread.state = thread.queued > 0 ? "running" : "idle";
  return ended;
}

async function closeCalls(sql: Sql, log: ThreadLog, row: RunRow): Promise<void> {
  for (const call of await callsOf(sql, row.organization_id, [row.id])) {
    if (call.state === "waiting") {
      await setCallState(
        sql,
        row.organization_id,
        row.id,
        call.id,
        "denied",
        log.at,
        "The run was stopped before this call.",
      );
    } else if (call.state === "started") {
      await setCallState(
        sql,
        row.organization_id,
        row.id,
        call.id,
        "unknown",
        log.at,
        "The run was stopped during this call.",
      );
      log.append("tool.call.completed", row.id, {
        call_id: fromUuid("call", call.id),
        tool: call.tool,
        outcome: "unknown",
        reason: "the run was stopped during this call",
        duration_ms: call.started_at === null ? 0 : Math.max(0, Date.parse(log.at) - Date.parse(call.started_at)),
      });
    }
  }
}

async function closePermissions(sql: Sql, log: ThreadLog, row: RunRow): Promise<void> {
  for (const permission of await permissionsOf(sql, row.organization_id, row.id)) {
    if (permission.state !== "pending") continue;
    await closePermission(sql, permission, { state: "expired", decision: "expired" }, log.at);
    log.append("permission.decided", row.id, {
      permission_id: fromUuid("permission", permission.id),
      call_id: fromUuid("call", permission.call_id),
      decision: "expired",
    });
  }
}
