/**
 * The decision on a permission, whichever way it comes.
 *
 *   pending ── allow_once, allow_for_thread ─▶ allowed
 *           ── deny ─────────────────────────▶ denied
 *           ── time is up, or the run ends ──▶ expired
 *
 * D1  One decision wins: it is written with `state = 'pending'` in its `where`, under the thread's lock.
 * D2  Who decides is checked against the caller's rights as they stand until the commit.
 * D3  A decision is about the arguments and the version that were shown; naming others refuses it.
 */
import {
  CallboardError,
  type DecidePermission,
  fromUuid,
  type Permission,
  type PermissionId,
  type RequestId,
  toUuid,
} from "@callboard/protocol";
import { audit, type Caller, decidePermission, invalidRequest, principalId } from "../access/index.ts";
import type { Database, Transaction, Wakes } from "../storage/index.ts";
import { toFacts, toThread } from "../threads/index.ts";
import { endRun } from "./end.ts";
import { lockLog, type ManageDeps } from "./manage.ts";
import { permissionFacts, toPermission } from "./permission.ts";
import {
  allowForThread,
  closePermission,
  findPermission,
  type PermissionRow,
  permissionsOf,
} from "./permission-store.ts";
import { keyOf, type RunRow, runError } from "./run.ts";
import { findRun, moveRun } from "./store.ts";
import { ThreadLog } from "./thread-log.ts";

export type Deciding = {
  readonly caller: Caller;
  readonly requestId: RequestId | null;
  readonly permissionId: PermissionId;
  readonly decision: DecidePermission;
  /** Path of the decision in the request, for its refusals: `events[0].`, or nothing. */
  readonly path: string;
};

export type Decided = {
  /** Where it stands in the log. */
  readonly event: { id: string; seq: number };
  readonly run: RunRow;
  /** Nothing else is open: the run is in the queue. The caller wakes who claims it, after the commit. */
  readonly queued: boolean;
};

/**
 * Writes a decision on a locked thread; the caller saves the log.
 *
 * @param log the thread the permission belongs to
 * @returns `same` when this caller decided the same before
 * @throws not_found, forbidden, permission_expired, permission_decided, permission_mismatch, invalid_request
 */
export async function decide(tx: Transaction, log: ThreadLog, deciding: Deciding): Promise<Decided | "same"> {
  const { caller, permissionId, decision } = deciding;
  const row = await findPermission(tx, log.row.organization_id, toUuid(permissionId));
  if (row === undefined || row.thread_id !== log.row.id) throw notInThread(deciding);
  decidePermission(caller, await permissionFacts(tx, row), toFacts(toThread(log.row)));
  const by = { kind: caller.kind, id: principalId(caller) };
  if (row.decision === decision.decision && row.decided_by?.id === by.id) return "same";
  refuseClosed(row, permissionId);
  refuseOther(row, deciding);

  const message = decision.message ?? null;
  const state = decision.decision === "deny" ? "denied" : "allowed";
  const first = await closePermission(tx, row, { state, decision: decision.decision, message, by }, log.at);
  if (!first) throw new Error(`permission ${row.id} was decided while its thread was locked`);
  if (decision.decision === "allow_for_thread" && row.scope !== null) await allowForThread(tx, row, row.scope);
  const event = log.append("permission.decided", row.run_id, {
    permission_id: permissionId,
    call_id: fromUuid("call", row.call_id),
    decision: decision.decision,
    ...(message === null ? {} : { message }),
    decided_by: by,
  });
  await audit(tx, {
    actor: { caller },
    action: "permission.decide",
    target: permissionId,
    outcome: "done",
    details: { decision: decision.decision, ...namesOf(row) },
    requestId: deciding.requestId,
  });
  return { event, ...(await goOn(tx, log, row.run_id)) };
}

/**
 * The same, by the permission's id alone; repeating one's own decision answers as the first time did.
 *
 * @throws not_found, forbidden, permission_expired, permission_decided, permission_mismatch, invalid_request; StaleAccess
 */
export async function decideById(
  tx: Transaction,
  deps: Pick<ManageDeps, "feed" | "wakes" | "now">,
  deciding: Deciding,
): Promise<Permission> {
  const { caller, permissionId } = deciding;
  const find = () => findPermission(tx, toUuid(caller.organizationId), toUuid(permissionId));
  const known = await find();
  if (known === undefined) {
    throw new CallboardError("not_found", "there is no such permission request for this caller");
  }
  const log = await lockLog(tx, deps, caller, fromUuid("thread", known.thread_id));
  const decided = await decide(tx, log, deciding);
  if (decided !== "same") {
    await log.save(deps.feed);
    tellDecided(tx, deps.wakes, log, decided.queued);
  }
  return toPermission((await find()) ?? known, true);
}

/**
 * Closes a request that nobody decided in time. Its run fails, or goes on without the call: as the agent says.
 *
 * @param found one whose time is up; it may have been decided meanwhile
 */
export async function expire(
  database: Database,
  deps: Pick<ManageDeps, "feed" | "wakes" | "now">,
  found: PermissionRow,
): Promise<void> {
  const { organizationId, threadId, runId } = keyOf({ ...found, id: found.run_id });
  await database.transaction(async (tx) => {
    const log = await ThreadLog.lock(tx, organizationId, threadId, deps.now().toISOString());
    const run = await findRun(tx, organizationId, runId);
    const row = await findPermission(tx, found.organization_id, found.id);
    // Whoever held the thread first has won (D1).
    if (log === undefined || run?.state !== "waiting" || row?.state !== "pending" || !row.is_late) return;
    if (row.on_expiry === "fail") await endRun(tx, log, run, "failed", runError("permission_expired"));
    else {
      await closePermission(tx, row, { state: "expired", decision: "expired" }, log.at);
      log.append("permission.decided", row.run_id, {
        permission_id: fromUuid("permission", row.id),
        call_id: fromUuid("call", row.call_id),
        decision: "expired",
      });
      await goOn(tx, log, row.run_id);
    }
    await log.save(deps.feed);
    // The run itself, or the next one of its thread.
    tellDecided(tx, deps.wakes, log, true);
  });
}

/** @param queued a run is in the queue by it */
export function tellDecided(tx: Transaction, wakes: Pick<Wakes, "send">, log: ThreadLog, queued: boolean): void {
  tx.after(() => {
    wakes.send("permission", log.row.organization_id);
    if (queued) wakes.send("queue", "");
  });
}

/** With the last open question closed, the run goes back to the queue. */
async function goOn(tx: Transaction, log: ThreadLog, run: string): Promise<{ run: RunRow; queued: boolean }> {
  const organizationId = fromUuid("organization", log.row.organization_id);
  const row = await findRun(tx, organizationId, fromUuid("run", run));
  if (row === undefined) throw new Error(`run ${run} of a permission request is gone`);
  const open = (await permissionsOf(tx, row.organization_id, run)).filter(({ state }) => state === "pending");
  const waitingFor = [
    ...(row.waiting_for ?? []).filter(({ kind }) => kind === "run"),
    ...open.map(({ id }) => ({ kind: "permission" as const, id: fromUuid("permission", id) })),
  ];
  if (open.length > 0 || row.state !== "waiting") return { run: { ...row, waiting_for: waitingFor }, queued: false };
  // `waiting_for` stays until the claim: an empty list there tells that the run comes back from waiting.
  await moveRun(tx, row, "queued", { waitingFor: [] });
  log.row.state = "running";
  return { run: { ...row, state: "queued", waiting_for: null }, queued: true };
}

function refuseClosed(row: PermissionRow, id: PermissionId): void {
  if (row.state === "expired" || (row.state === "pending" && row.is_late)) {
    throw new CallboardError("permission_expired", `permission request ${id} expired at ${row.expires_at}`);
  }
  if (row.state !== "pending") {
    throw new CallboardError("permission_decided", `permission request ${id} is ${row.state} already`);
  }
}

/** D3 */
function refuseOther(row: PermissionRow, { decision, path }: Deciding): void {
  const { arguments_hash = row.arguments_hash, agent_version = row.agent_version } = decision;
  if (arguments_hash !== row.arguments_hash || agent_version !== row.agent_version) {
    const what = arguments_hash === row.arguments_hash ? "agent_version" : "arguments_hash";
    throw new CallboardError("permission_mismatch", `${path}${what}: the request is about another one; read it again`);
  }
  if (decision.decision !== "allow_for_thread" || row.scope !== null) return;
  const message = "this call can be allowed once or denied, and not for the thread";
  throw invalidRequest([{ path: `${path}decision`, message }]);
}

const namesOf = (row: PermissionRow) => ({
  tool: row.tool,
  arguments_hash: row.arguments_hash,
  call_id: fromUuid("call", row.call_id),
  run_id: fromUuid("run", row.run_id),
  thread_id: fromUuid("thread", row.thread_id),
});

function notInThread({ permissionId, path }: Deciding): CallboardError {
  const message = "no such permission request in this thread";
  return new CallboardError("not_found", `there is no permission request ${permissionId} in this thread`, {
    fields: [{ path: `${path}permission_id`, message }],
  });
}
