/** For tests: a database with one organization, and the rooms that accept, claim and write runs on it. */
import { randomUUID } from "node:crypto";
import {
  type AgentConfig,
  type AgentId,
  type CallId,
  type ClientEvent,
  type Event,
  type EventData,
  type EventType,
  fromUuid,
  newId,
  type OnActiveRun,
  type PermissionId,
  type Run,
  type SendEventsAnswer,
  scopes,
  type Thread,
  type ThreadId,
  toUuid,
} from "@callboard/protocol";
import { type Caller, createOrganization } from "../access/index.ts";
import { eventJson, eventsAfter, Feed, newEvent } from "../events/index.ts";
import { SecretKeys } from "../secrets/index.ts";
import { Database, Lane, statement, Wakes } from "../storage/index.ts";
import { createTestDatabase } from "../testing/database.ts";
import { findThread, type ThreadRow } from "../threads/index.ts";
import { RunsAtOnce } from "./at-once.ts";
import type { PermissionRow as NewPermission, RunEnd } from "./change.ts";
import { type Claim, claimRuns } from "./claim.ts";
import { RunCommits } from "./commits.ts";
import type { IdempotencyKey, RunHost } from "./host.ts";
import { cancelRun, lockLog, removeThread, setArchived } from "./manage.ts";
import type { RunRow } from "./run.ts";
import { sendEvents } from "./send.ts";
import { principalOf, startThread } from "./start.ts";
import { StartBatch } from "./start-batch.ts";
import { findRun, runColumns } from "./store.ts";
import { registerWorker } from "./workers.ts";

export type RunsWorld = Awaited<ReturnType<typeof createRunsWorld>>;

const runsOfThread = statement(
  "runs_fixture.runs",
  `select ${runColumns} from runs r where organization_id = $1 and thread_id = $2 order by queued_seq`,
);

/** A process that works on runs, as the rooms see one; what it is handed is only noted down. */
export class TestHost implements RunHost {
  readonly id: string = randomUUID();
  room = true;
  readonly adopted: Claim[] = [];
  readonly dropped: string[] = [];
  worker(): string | null {
    return this.id;
  }
  hasRoom(): boolean {
    return this.room;
  }
  adopt(claim: Claim): void {
    this.adopted.push(claim);
  }
  drop(run: string): void {
    this.dropped.push(run);
  }
  /** The claim that was handed over last. */
  last(): Claim {
    const claim = this.adopted.at(-1);
    if (claim === undefined) throw new Error("nothing was handed over");
    return claim;
  }
}

/** @param lane stands in for the connection of group commits */
export async function createRunsWorld(options: { lane?: (lane: Lane) => Pick<Lane, "rows" | "close"> } = {}) {
  const { url, drop } = await createTestDatabase();
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const database = new Database({ connectionString: url, poolSize: 6, onError });
  const wakes = new Wakes(url, "test", onError);
  wakes.othersAlive = false;
  const feed = new Feed(database, wakes);
  const wrap = options.lane ?? ((lane: Lane) => lane);
  const commitLane = wrap(new Lane(url, onError)) as Lane;
  const startLane = wrap(new Lane(url, onError)) as Lane;
  const commits = new RunCommits(commitLane, feed, onError);
  const batch = new StartBatch(startLane);

  // A clock that moves with each look.
  let atMs = Date.now();
  const now = () => new Date(++atMs);

  const { organizationId, userId } = await database.transaction((tx) =>
    createOrganization(tx, {
      name: "Acme",
      membersEditAgents: false,
      rawRuns: true,
      owner: { email: "olga@example.com", name: "Olga" },
    }),
  );
  const caller: Caller = {
    organizationId,
    kind: "user",
    tokenId: newId("token"),
    userId,
    email: "olga@example.com",
    role: "owner",
    groups: [],
    scopes: new Set(scopes),
    agentIds: null,
    mayAttribute: false,
    membersEditAgents: false,
    rawRuns: true,
    limits: { requestsPerMinute: null, organizationRequestsPerMinute: null, runsAtOnce: null },
    epoch: 1,
    expiresAtMs: null,
  };
  const agentId: AgentId = newId("agent");
  const host = new TestHost();
  await registerWorker(database, host.id, "all");
  const keys = SecretKeys.parse(SecretKeys.generate());
  const atOnce = new RunsAtOnce({ sql: database, defaultLimit: null, onError });
  const deps = { database, batch, feed, host, atOnce, wakes, now, wakeQueue: () => wakes.send("queue", "") };

  type Starting = {
    text?: string | null;
    host?: RunHost;
    caller?: Caller;
    idempotency?: IdempotencyKey | null;
    config?: AgentConfig | null;
    title?: string | null;
    prompt?: string;
  };
  /** Opens a thread; with text (the default) also its first run. */
  async function start(more: Starting = {}): Promise<{ thread: Thread; run: Run | null; text: string }> {
    const { text = "Hello" } = more;
    const { answer, text: stored } = await startThread(
      { ...deps, host: more.host ?? host },
      {
        caller: more.caller ?? caller,
        agent: more.config == null ? { id: agentId, version: 1 } : null,
        config: more.config ?? null,
        attributed: null,
        content: text === null ? null : [{ type: "text", text }],
        title: more.title ?? null,
        ref: null,
        prompt: more.prompt ?? "Be brief.",
        variables: {},
        metadata: {},
        files: null,
        idempotency: more.idempotency ?? null,
        present: (made) => ({ status: 201, text: JSON.stringify(made) }),
      },
    );
    return { ...answer, text: stored };
  }

  /** Sends a batch as the caller would. */
  function send(thread: ThreadId, ...events: ClientEvent[]): Promise<SendEventsAnswer> {
    return sendFor(host, thread, ...events);
  }
  const sendFor = (to: RunHost, thread: ThreadId, ...events: ClientEvent[]) => sendAs(caller, to, thread, ...events);
  function sendAs(who: Caller, to: RunHost, thread: ThreadId, ...events: ClientEvent[]): Promise<SendEventsAnswer> {
    return database.transaction(async (tx) => {
      const log = await lockLog(tx, deps, organizationId, thread);
      const principal = principalOf(who, null);
      const request = {
        caller: who,
        requestId: null,
        principal,
        prompt: "Be brief.",
        config: null,
        history: [],
        attach: async () => undefined,
      };
      return sendEvents(tx, { ...deps, host: to }, log, request, events);
    });
  }

  const cancel = (thread: ThreadId, run: Run["id"]): Promise<RunRow> =>
    database.transaction((tx) => cancelRun(tx, deps, organizationId, thread, run));
  const archive = (thread: ThreadId, archived: boolean): Promise<Thread> =>
    database.transaction((tx) => setArchived(tx, deps, organizationId, thread, archived, { kind: "user", id: userId }));
  const remove = (thread: ThreadId): Promise<ThreadId[]> =>
    database.transaction((tx) => removeThread(tx, deps, organizationId, thread));
  const claim = (limit = 20, worker = host.id, withSuspect = true): Promise<Claim[]> =>
    claimRuns(database, feed, worker, limit, withSuspect, now);
  const claimOf = (thread: ThreadId, worker = host.id): Promise<Claim[]> =>
    claimRuns(database, feed, worker, 1, true, now, { organization: toUuid(organizationId), thread: toUuid(thread) });

  /** What a run of this caller asks about one call, as the engine writes it. */
  const question = (permission: PermissionId, call: CallId, more: Partial<NewPermission> = {}): NewPermission => ({
    id: toUuid(permission),
    call: toUuid(call),
    agent: toUuid(agentId),
    agentName: "Test",
    version: 1,
    reason: "approval",
    tool: "refund",
    input: {},
    argumentsHash: "00".repeat(32),
    scope: "",
    approvals: { approvers: ["caller"], not_requester: false, on_expiry: "fail" },
    requesterUser: toUuid(userId),
    requesterToken: null,
    expiresAt: "2099-01-01T00:00:00.000Z",
    at: now().toISOString(),
    ...more,
  });

  async function threadOf(thread: ThreadId): Promise<ThreadRow> {
    const row = await findThread(database, organizationId, thread);
    if (row === undefined) throw new Error(`there is no thread ${thread}`);
    return row;
  }
  async function runOf(run: Run["id"]): Promise<RunRow> {
    const row = await findRun(database, organizationId, run);
    if (row === undefined) throw new Error(`there is no run ${run}`);
    return row;
  }
  /** The runs of a thread in their order. */
  const runsOf = (thread: ThreadId): Promise<RunRow[]> =>
    database.rows<RunRow>(runsOfThread, [toUuid(organizationId), toUuid(thread)]);
  /** The whole log of a thread. */
  async function logOf(thread: ThreadId): Promise<Event[]> {
    const key = { organization: toUuid(organizationId), thread: toUuid(thread) };
    return (await eventsAfter(database, key, 0, 10_000)).map((event) => JSON.parse(eventJson(event)) as Event);
  }

  const event = <T extends EventType>({ key }: Claim, type: T, data: EventData<T>) =>
    newEvent(key.threadId, key.runId, type, data, now().toISOString());
  const delta = (of: Claim, text: string) =>
    event(of, "agent.message.delta", { message_id: fromUuid("message", of.key.run), text });
  /** The end of a turn, with what a run needs at least. */
  const ending = (state: RunEnd["state"], more: Partial<RunEnd> = {}): RunEnd => ({
    state,
    at: now().toISOString(),
    runningMs: 1,
    usage: { input_tokens: 1, output_tokens: 2, cost_micros: 3 },
    ...(state === "completed" ? { result: { text: "done" }, steered: 0 } : {}),
    ...(state === "failed" ? { error: { code: "internal", message: "broken", retryable: true } } : {}),
    ...more,
  });
  /** Completes a claimed run. */
  const complete = (of: Claim, more: Partial<RunEnd> = {}) => {
    const end = ending("completed", more);
    const data = { result: end.result ?? { text: "" }, usage: end.usage };
    return commits.commit(of.key, of.fence, { events: [event(of, "run.completed", data)], end });
  };
  const message = (text: string, on_active_run: OnActiveRun = "enqueue"): ClientEvent => ({
    type: "user.message",
    content: [{ type: "text", text }],
    on_active_run,
  });

  async function end(): Promise<void> {
    await commitLane.close();
    await startLane.close();
    await wakes.close();
    await database.close();
    await drop();
  }
  return {
    url,
    database,
    wakes,
    feed,
    commits,
    batch,
    host,
    deps,
    caller,
    organizationId,
    agentId,
    errors,
    keys,
    now,
    start,
    send,
    sendFor,
    sendAs,
    question,
    cancel,
    archive,
    remove,
    claim,
    claimOf,
    threadOf,
    runOf,
    runsOf,
    logOf,
    event,
    delta,
    ending,
    complete,
    message,
    end,
  };
}
