/** Opening a thread together with its first run. */
import {
  type AgentConfig,
  type AgentId,
  type ContentPart,
  newId,
  type Run,
  type Scope,
  type Thread,
  type ThreadAnswer,
  toUuid,
  type UserId,
  type VariableValue,
} from "@callboard/protocol";
import { type Caller, principalId, scopeOf } from "../access/index.ts";
import { type Feed, type NewEvent, newEvent } from "../events/index.ts";
import type { Database } from "../storage/index.ts";
import { type ThreadRow, threadLinks, toThread } from "../threads/index.ts";
import type { RunsAtOnce } from "./at-once.ts";
import type { Claim } from "./claim.ts";
import { AlreadyAnswered, type IdempotencyKey, type RunHost } from "./host.ts";
import { keyOf, type Principal, type RunInput, type RunRow, toRun } from "./run.ts";
import { StaleAccess } from "./stale.ts";
import { type Start, type StartBatch, startIn } from "./start-batch.ts";

export type StartDeps = {
  database: Database;
  batch: StartBatch;
  feed: Feed;
  host: RunHost;
  atOnce: RunsAtOnce;
  wakeQueue: () => void;
  now: () => Date;
};

/** Moves uploaded files into the new thread, inside the transaction; gives the `file.added` events. */
export type FileMover = (
  tx: Parameters<Parameters<Database["transaction"]>[0]>[0],
  thread: { organization: string; thread: string },
  at: string,
) => Promise<void>;

export type StartRequest = {
  caller: Caller;
  /** The agent's live version; null for a raw run without one. */
  agent: { id: AgentId; version: number } | null;
  /** Only for a raw run, which may have an agent all the same. */
  config: AgentConfig | null;
  /** For whom a service asks; null for the caller. */
  attributed: { id: UserId; email: string; groups: readonly string[] } | null;
  /** What was said before, in a raw run. */
  history?: RunInput[];
  content: ContentPart[] | null;
  title: string | null;
  ref: string | null;
  prompt: string;
  variables: Record<string, VariableValue>;
  metadata: Record<string, string>;
  /** Files of the request, with what to write for them. */
  files: { added: ReadonlyArray<(threadId: Thread["id"], at: string) => NewEvent>; move: FileMover } | null;
  idempotency: IdempotencyKey | null;
  /** Makes the stored answer: status and JSON text. */
  present: (answer: ThreadAnswer) => { status: number; text: string };
};

/** Who a run works for. */
export function principalOf(caller: Caller, attributed: StartRequest["attributed"]): Principal {
  return {
    kind: caller.kind,
    tokenId: caller.tokenId,
    userId: attributed?.id ?? caller.userId,
    email: attributed?.email ?? caller.email,
    groups: attributed?.groups ?? caller.groups.map((group) => group.slug),
    scopes: [...caller.scopes] as Scope[],
  };
}

/**
 * Creates a thread and, with content, its first run, in one commit.
 *
 * @throws StaleAccess, AlreadyAnswered, too_many_runs; unavailable when the database is away
 */
export async function startThread(
  deps: StartDeps,
  request: StartRequest,
): Promise<{ answer: ThreadAnswer; text: string }> {
  const { caller } = request;
  const at = deps.now().toISOString();
  const atMs = Date.parse(at);
  const threadId = newId("thread", atMs);
  const runId = request.content === null ? null : newId("run", atMs);
  const claimed = runId !== null && deps.host.hasRoom() ? deps.host.worker() : null;

  const events: NewEvent[] = [];
  for (const added of request.files?.added ?? []) events.push(added(threadId, at));
  const messageSeq = events.length + 1;
  if (runId !== null && request.content !== null) {
    const sentBy = { kind: caller.kind, id: principalId(caller) };
    events.push(newEvent(threadId, runId, "user.message", { content: request.content, sent_by: sentBy }, at));
    events.push(newEvent(threadId, runId, "run.queued", { agent_version: request.agent?.version ?? null }, at));
    if (claimed !== null) events.push(newEvent(threadId, runId, "run.started", { attempt: 1 }, at));
  }

  const organization = toUuid(caller.organizationId);
  const thread = toUuid(threadId);
  const run = runId === null ? null : toUuid(runId);
  const threadRow: ThreadRow = {
    organization_id: organization,
    id: thread,
    agent_id: request.agent === null ? null : toUuid(request.agent.id),
    agent_version: request.agent?.version ?? null,
    parent_thread_id: null,
    title: request.title,
    state: run === null ? "idle" : "running",
    archived: false,
    client_external_ref: request.ref,
    attributed_user_id: request.attributed === null ? null : toUuid(request.attributed.id),
    created_by_kind: caller.kind,
    created_by_id: toUuid(principalId(caller)),
    last_seq: events.length,
    active_run_id: run,
    active_fence: run === null ? 0 : 1,
    steered: 0,
    queued: 0,
    last_run_id: run,
    variables: request.variables,
    metadata: request.metadata,
    created_at: at,
    updated_at: at,
  };
  const runRow: RunRow | null =
    run === null || request.content === null
      ? null
      : {
          organization_id: organization,
          id: run,
          thread_id: thread,
          agent_id: threadRow.agent_id,
          agent_version: threadRow.agent_version,
          parent_run_id: null,
          parent_call_id: null,
          depth: 0,
          limits: null,
          state: claimed === null ? "queued" : "running",
          trigger: request.config === null ? "message" : "raw",
          attempt: claimed === null ? 0 : 1,
          crashes: 0,
          fence: 1,
          lease_owner: claimed,
          running_ms: 0,
          principal: principalOf(caller, request.attributed),
          config: request.config,
          prompt: request.prompt,
          variables: request.variables,
          input: [...(request.history ?? []), { content: request.content, seq: messageSeq }],
          queued_seq: messageSeq + 1,
          input_tokens: 0,
          output_tokens: 0,
          cost_micros: 0,
          result: null,
          error: null,
          waiting_for: null,
          created_at: at,
          started_at: claimed === null ? null : at,
          ended_at: null,
        };
  const shownRun: Run | null = runRow === null ? null : toRun(runRow);
  const answer: ThreadAnswer = { thread: toThread(threadRow), run: shownRun, links: threadLinks(threadId) };
  const { status, text } = request.present(answer);

  const start = toStart(request, threadRow, runRow, events, status, text);
  await write(deps, request, start, threadRow, at);

  if (runRow !== null) {
    const key = keyOf(runRow);
    const logged = events.map((event, i) => ({ seq: i + 1, type: event.type, body: event.body }));
    if (claimed !== null) {
      deps.feed.keepTail(key, logged);
      const claim: Claim = { key, fence: 1, row: runRow, fresh: true };
      deps.host.adopt(claim);
    } else deps.wakeQueue();
  }
  return { answer, text };
}

async function write(
  deps: StartDeps,
  request: StartRequest,
  start: Start,
  thread: ThreadRow,
  at: string,
): Promise<void> {
  const { files, caller } = request;
  const isFree = start.item.ru === null || deps.atOnce.admits(caller);
  const outcome =
    files === null && isFree
      ? await deps.batch.add(start)
      : await deps.database.tenant(scopeOf(caller), async (tx) => {
          if (!isFree) await deps.atOnce.require(tx, caller);
          const written = await startIn(tx, start);
          if (written === "started")
            await files?.move(tx, { organization: thread.organization_id, thread: thread.id }, at);
          return written;
        });
  if (outcome === "stale") throw new StaleAccess();
  if (outcome === "replay") throw new AlreadyAnswered();
}

function toStart(
  request: StartRequest,
  thread: ThreadRow,
  run: RunRow | null,
  events: readonly NewEvent[],
  status: number,
  text: string,
): Start {
  const { idempotency } = request;
  return {
    item: {
      o: thread.organization_id,
      ep: request.caller.epoch,
      ag: thread.agent_id,
      av: thread.agent_version,
      th: thread.id,
      title: thread.title,
      ts: thread.state as "idle" | "running",
      ref: thread.client_external_ref,
      au: thread.attributed_user_id,
      ck: thread.created_by_kind,
      ci: thread.created_by_id,
      n: events.length,
      va: thread.variables,
      me: thread.metadata,
      at: thread.created_at,
      ru: run?.id ?? null,
      rs: (run?.state as "queued" | "running" | undefined) ?? null,
      tr: run?.trigger ?? null,
      lo: run?.lease_owner ?? null,
      pr: run?.principal ?? null,
      co: (run?.config as object | null) ?? null,
      po: run?.prompt ?? null,
      inp: run?.input ?? null,
      qs: run?.queued_seq ?? null,
      ip: idempotency?.principal ?? null,
      ir: idempotency?.route ?? null,
      ik: idempotency?.key ?? null,
      ih: idempotency?.hash ?? null,
      ij: idempotency?.job ?? null,
      is: idempotency === null ? null : status,
      ib: idempotency === null ? null : text,
    },
    events: events.map((event, i) => ({ s: i + 1, r: eventRun(event, run), ty: event.type, b: event.body })),
  };
}

/** `file.added` belongs to no run. */
const eventRun = (event: NewEvent, run: RunRow | null): string | null =>
  event.type === "file.added" ? null : (run?.id ?? null);
