/**
 * A run that another run calls: on a thread of its own, for the same principal, visible to the same people.
 *
 * One transaction under the lock of the parent's thread: it is written only while the parent is this process's,
 * and once for each call, since its id is the call's.
 */
import { type AgentId, type CallId, type ContentPart, fromUuid, toUuid, type VariableValue } from "@callboard/protocol";
import { type Feed, insertEvents, newEvent } from "../events/index.ts";
import type { Database, Transaction, Wakes } from "../storage/index.ts";
import { insertThread, type ThreadRow } from "../threads/index.ts";
import { childIds } from "./child-id.ts";
import { type Below, readBelow } from "./children.ts";
import type { Claim } from "./claim.ts";
import type { RunHost } from "./host.ts";
import { keyOf, type RunLimits, type RunRow, runScope } from "./run.ts";
import { findRun, insertRun } from "./store.ts";
import { ThreadLog } from "./thread-log.ts";

export type ChildDeps = { database: Database; feed: Feed; host: RunHost; wakes: Pick<Wakes, "send">; now: () => Date };

export type ChildRequest = {
  parent: RunRow;
  /** Under which the parent is worked on here. */
  fence: number;
  callId: CallId;
  /** Which run of that call, from 1. */
  number: number;
  agent: { id: AgentId; version: number };
  content: ContentPart[];
  prompt: string;
  variables: Record<string, VariableValue>;
  /** What it may use, of what its caller has left; undefined for nothing. */
  limits: (below: Below) => RunLimits | undefined;
  /** The access epoch under which the call was allowed. */
  epoch: number;
};

/**
 * `fenced`: the parent is not this process's any more. `stale`: access changed since it was read. `spent`: the parent
 * has nothing left for it.
 */
export type ChildStarted = { kind: "started"; row: RunRow } | { kind: "fenced" | "stale" | "spent" };

export function startChild(deps: ChildDeps, request: ChildRequest): Promise<ChildStarted> {
  const { parent, fence, epoch } = request;
  const key = keyOf(parent);
  return deps.database.tenant(runScope(key, parent.principal), async (tx) => {
    const at = deps.now().toISOString();
    const log = await ThreadLog.hold(tx, key.organizationId, key.threadId, at);
    if (log === undefined || log.row.active_run_id !== parent.id || log.row.active_fence !== fence) {
      return { kind: "fenced" };
    }
    const before = await findRun(tx, key.organizationId, childIds(request.callId, request.number).runId);
    if (before !== undefined) return { kind: "started", row: before };
    if (log.epoch !== epoch) return { kind: "stale" };
    const limits = request.limits(await readBelow(tx, key.organization, key.run));
    if (limits === undefined) return { kind: "spent" };
    return { kind: "started", row: await write(tx, deps, request, limits, log.row, at) };
  });
}

async function write(
  tx: Transaction,
  { host, feed, wakes }: ChildDeps,
  request: ChildRequest,
  limits: RunLimits,
  parentThread: ThreadRow,
  at: string,
): Promise<RunRow> {
  const { parent, agent, content } = request;
  const { runId, threadId } = childIds(request.callId, request.number);
  const worker = host.hasRoom() ? host.worker() : null;
  const by = parentThread.created_by_kind;
  const id = fromUuid(by === "user" ? "user" : "token", parentThread.created_by_id);
  const events = [
    newEvent(threadId, runId, "user.message", { content, sent_by: { kind: by, id } }, at),
    newEvent(threadId, runId, "run.queued", { agent_version: agent.version }, at),
    ...(worker === null ? [] : [newEvent(threadId, runId, "run.started", { attempt: 1 }, at)]),
  ];
  const run = toUuid(runId);
  const thread: ThreadRow = {
    organization_id: parent.organization_id,
    id: toUuid(threadId),
    agent_id: toUuid(agent.id),
    agent_version: agent.version,
    parent_thread_id: parent.thread_id,
    title: null,
    state: "running",
    archived: false,
    client_external_ref: null,
    attributed_user_id: parentThread.attributed_user_id,
    created_by_kind: by,
    created_by_id: parentThread.created_by_id,
    last_seq: events.length,
    active_run_id: run,
    active_fence: 1,
    steered: 0,
    queued: 0,
    last_run_id: run,
    variables: request.variables,
    metadata: {},
    created_at: at,
    updated_at: at,
  };
  const row: RunRow = {
    organization_id: parent.organization_id,
    id: run,
    thread_id: thread.id,
    agent_id: thread.agent_id,
    agent_version: agent.version,
    parent_run_id: parent.id,
    parent_call_id: toUuid(request.callId),
    depth: parent.depth + 1,
    limits,
    state: worker === null ? "queued" : "running",
    trigger: "agent",
    attempt: worker === null ? 0 : 1,
    crashes: 0,
    fence: 1,
    lease_owner: worker,
    running_ms: 0,
    principal: parent.principal,
    config: null,
    prompt: request.prompt,
    variables: request.variables,
    input: [{ content, seq: 1 }],
    queued_seq: 2,
    input_tokens: 0,
    output_tokens: 0,
    cost_micros: 0,
    result: null,
    error: null,
    waiting_for: null,
    created_at: at,
    started_at: worker === null ? null : at,
    ended_at: null,
  };
  await insertThread(tx, thread);
  await insertRun(tx, row);
  const key = keyOf(row);
  const written = events.map(({ type, body }) => ({ run, type, body }));
  await insertEvents(tx, key, 1, written);
  tx.after(() => {
    if (worker === null) {
      wakes.send("queue", "");
      return;
    }
    feed.keepTail(
      key,
      events.map(({ type, body }, i) => ({ seq: i + 1, type, body })),
    );
    const claim: Claim = { key, fence: 1, row, fresh: true };
    host.adopt(claim);
  });
  return row;
}
