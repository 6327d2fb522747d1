/**
 * The runs that one call of an endpoint starts: through the same doors as everybody's, for the call's own caller.
 *
 * R1  A run is written down before its model is called. In a call with a job id, under the key `<job>/<n>`:
 *     the n-th `runAgent` of a repeated call finds the run of the first one and waits for it.
 * R2  When the call is stopped its runs are canceled, also one that was being started at that moment.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type AgentFile,
  type AgentRef,
  type FinishedRun,
  type RunAgent,
  type RunAgentOptions,
  RunNotCompleted,
} from "@callboard/kit";
import {
  CallboardError,
  isTerminal,
  type JobId,
  type OrganizationId,
  type Run,
  toUuid,
  userMessageInput,
  type VariableValue,
} from "@callboard/protocol";
import { type Caller, invalidRequest, principalId, requireStorable, scopeOf } from "../access/index.ts";
import {
  answersUnder,
  type CallWorld,
  callable,
  reserve,
  sendTo,
  start,
  store,
  storedAnswer,
  toWrite,
  waitForEnd,
} from "../calls/index.ts";
import { errorFacts } from "../log/index.ts";
import { AlreadyAnswered, cancelRun, findRun, type IdempotencyKey, StaleAccess, toRun } from "../runs/index.ts";
import { type Call, CallMoved, type EndpointWorld } from "./asked.ts";
import type { RunPlace } from "./relay.ts";

/** Idempotency keys of runs in jobs have this in the place of a route. */
const ROUTE = "endpoints.run";
const MAX_ATTEMPTS = 4;
const WAIT_SECONDS = 60;
const AGAIN_MS = 500;
/** How often a cancel is tried while the database is away. */
const CANCEL_TRIES = 20;

type Options = RunAgentOptions<Record<string, VariableValue>>;
const optionNames = ["message", "variables", "thread", "signal"] as const satisfies ReadonlyArray<keyof Options>;

type Agent = AgentFile | AgentRef | string;
const isFile = (agent: Agent): agent is AgentFile =>
  typeof agent === "object" && agent !== null && "kind" in agent && agent.kind === "agent";

/** A run and a place in its thread's log before its end. */
type Started = { run: Run; afterSeq: number };

export class AgentRuns {
  readonly #world: EndpointWorld;
  readonly #call: Call;
  readonly #ended = new AbortController();
  readonly #stop: AbortSignal;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #underWay = new Set<RunPlace>();
  #caller: Caller;
  #count = 0;

  /** @param signal stops the call */
  constructor(world: EndpointWorld, call: Call, signal: AbortSignal) {
    this.#world = world;
    this.#call = call;
    this.#caller = call.caller;
    this.#stop = AbortSignal.any([signal, this.#ended.signal]);
  }

  /** `runAgent` of the handler. */
  readonly run: RunAgent = <Variables, Output>(
    agent: AgentFile<Variables, Output> | AgentRef<Variables, Output> | string,
    options: RunAgentOptions<Variables>,
  ): Promise<FinishedRun<Output>> => {
    const work = this.#run(agent as Agent, options as Options, ++this.#count);
    this.#pending.add(work);
    const settled = work.then(
      (run) => run as FinishedRun<Output>,
      // A handler that is over hears nothing more: a rejection nobody waits for would end the process.
      (error) => (this.#ended.signal.aborted ? new Promise<never>(() => {}) : Promise.reject(error)),
    );
    settled.catch(() => {});
    work.catch(() => {}).finally(() => this.#pending.delete(work));
    return settled;
  };

  /** The handler is over: cancels what it left behind, and returns when that is done. */
  async end(): Promise<void> {
    this.#ended.abort(new CallboardError("endpoint_timeout", "the call of the endpoint is over"));
    await Promise.allSettled(this.#pending);
  }

  /** The runs that are waited for now. */
  underWay(): RunPlace[] {
    return [...this.#underWay];
  }

  async #run(agent: Agent, options: Options, number: number): Promise<FinishedRun<unknown>> {
    const slug = this.#slug(agent);
    checkOptions(options);
    const { signal } = options;
    const stop = signal === undefined ? this.#stop : AbortSignal.any([this.#stop, signal]);
    stop.throwIfAborted();
    const started = await this.#start(slug, options, number);
    const run = await this.#wait(started, stop);
    if (isTerminal(run.state)) return toFinished(run, isFile(agent) ? agent.output : undefined);
    if (!(stop.reason instanceof CallMoved)) await cancel(this.#world, this.#caller.organizationId, run);
    throw stop.reason;
  }

  #slug(agent: Agent): string {
    if (typeof agent === "string") return agent;
    const slug = isFile(agent) ? this.#world.endpoints.slugOf(agent) : agent?.slug;
    if (typeof slug !== "string")
      throw new TypeError("runAgent: expected a slug or the default export of a file in agents/");
    return slug;
  }

  async #start(slug: string, options: Options, number: number): Promise<Started> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#startOnce(slug, options, number);
      } catch (error) {
        if (!(error instanceof StaleAccess || isUnderWay(error))) throw error;
        if (attempt === MAX_ATTEMPTS) throw new CallboardError("unavailable", "access keeps changing; try again");
        this.#caller = await this.#world.authenticator.refresh(this.#caller);
      }
    }
  }

  async #startOnce(slug: string, { message, variables, thread }: Options, number: number): Promise<Started> {
    const world = this.#world;
    const caller = this.#caller;
    const { jobId } = this.#call;
    const key = jobId === null ? null : runKey(caller, jobId, number);
    const before = key === null ? undefined : await this.#joined(key);
    if (before !== undefined) return before;
    const { content } = parseMessage(message);
    const agent = await callable(world, caller, slug);
    try {
      if (thread !== undefined) return await this.#onThread(agent.agentId, thread, content, variables, key);
      const { answer } = await start(world, {
        caller,
        agent,
        attributedTo: undefined,
        content,
        files: [],
        title: null,
        ref: null,
        variables,
        metadata: {},
        idempotency: key,
        present: ({ run }) => ({ status: 202, text: JSON.stringify(run) }),
      });
      return { run: answer.run as Run, afterSeq: 0 };
    } catch (error) {
      if (!(error instanceof AlreadyAnswered) || key === null) throw error;
      const joined = await this.#joined(key);
      if (joined === undefined) throw error;
      return joined;
    }
  }

  async #onThread(
    agentId: Awaited<ReturnType<typeof callable>>["agentId"],
    threadId: string,
    content: ReturnType<typeof parseMessage>["content"],
    variables: Options["variables"],
    key: IdempotencyKey | null,
  ): Promise<Started> {
    const world = this.#world;
    const caller = this.#caller;
    const { id } = await toWrite(world, { caller, requestId: this.#call.requestId }, threadId);
    const row = await world.threads.row(caller.organizationId, id);
    if (row === undefined || row.agent_id !== toUuid(agentId)) {
      throw new CallboardError("not_found", "there is no such thread of this agent for this caller");
    }
    const event = { type: "user.message" as const, content, on_active_run: "enqueue" as const };
    const run = await world.database.tenant(scopeOf(caller), async (tx) => {
      if (key !== null) await reserve(tx, caller, key, toUuid(id));
      const { events } = await sendTo(world, tx, caller, id, [event], { variables });
      const started = events[0]?.run as Run;
      if (key !== null) await store(tx, caller, key, { status: 202, text: JSON.stringify(started) });
      return started;
    });
    return { run, afterSeq: row.last_seq };
  }

  /** The run that was started under this key. */
  async #joined(key: IdempotencyKey): Promise<Started | undefined> {
    const stored = await storedAnswer(this.#world.database, this.#caller, key);
    if (stored === undefined) return undefined;
    const row = await findRun(this.#world.database, this.#caller.organizationId, (JSON.parse(stored.text) as Run).id);
    if (row === undefined) throw gone();
    return { run: toRun(row), afterSeq: row.queued_seq };
  }

  /** The run when it has ended, or as it is when the call was stopped. */
  async #wait({ run, afterSeq }: Started, stop: AbortSignal): Promise<Run> {
    const { database, feed } = this.#world;
    const { organizationId } = this.#caller;
    const place = {
      organization_id: toUuid(organizationId),
      thread_id: toUuid(run.thread_id),
      id: toUuid(run.id),
    };
    this.#underWay.add(place);
    let now = run;
    while (!isTerminal(now.state) && !stop.aborted) {
      try {
        now = await waitForEnd(database, feed, organizationId, now, afterSeq, WAIT_SECONDS, stop);
        if (isTerminal(now.state) || stop.aborted) break;
        if ((await findRun(database, organizationId, run.id)) === undefined) throw gone();
      } catch (error) {
        if (!isAway(error)) throw error;
        await sleep(AGAIN_MS);
      }
    }
    this.#underWay.delete(place);
    return now;
  }
}

const gone = () => new CallboardError("not_found", "the run's thread was deleted");
const isAway = (error: unknown): boolean => error instanceof CallboardError && error.code === "unavailable";

/** A process that is being replaced writes the same run at this moment. */
const isUnderWay = (error: unknown): boolean =>
  error instanceof CallboardError && error.code === "idempotency_in_progress";

/** Only the four options there are: nobody is named here, least of all a user. */
function checkOptions(options: Options): void {
  const unknown = Object.keys(options).find((name) => !(optionNames as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`runAgent takes ${optionNames.join(", ")}; found ${unknown}`);
  }
  requireStorable({ message: options.message, variables: options.variables });
}

function parseMessage(message: string): { content: ReturnType<typeof userMessageInput.parse>["content"] } {
  const parsed = userMessageInput.safeParse({ type: "user.message", text: message });
  if (parsed.success) return parsed.data;
  throw invalidRequest([{ path: "message", message: "expected text of 1 to 1,000,000 characters" }]);
}

/** What was asked does not count: the repeated handler may say it in other words, and still means this run. */
function runKey(caller: Caller, jobId: JobId, number: number): IdempotencyKey {
  return { principal: principalId(caller), route: ROUTE, key: `${jobId}/${number}`, hash: "", job: toUuid(jobId) };
}

async function toFinished(run: Run, schema: AgentFile["output"]): Promise<FinishedRun<unknown>> {
  const base = { id: run.id, threadId: run.thread_id, agentVersion: run.agent_version, usage: run.usage };
  if (run.state !== "completed" || run.result === undefined) {
    const error = run.error ?? { code: "internal", message: "the run has no result", retryable: true };
    const state = run.state === "canceled" ? "canceled" : "failed";
    const unfinished = {
      ...base,
      state,
      error,
      output: (): never => {
        throw new RunNotCompleted(unfinished);
      },
    } as const;
    return unfinished;
  }
  const { text, output } = run.result;
  const answer = output ?? text;
  // The live version may be another one than the file's: the types hold all the same.
  const checked = schema === undefined ? undefined : await schema["~standard"].validate(answer);
  return {
    ...base,
    state: "completed",
    text,
    output: () => {
      if (checked?.issues !== undefined) {
        throw new Error(`the output of run ${run.id} does not fit the schema of the agent's file: is it published?`);
      }
      return checked === undefined ? answer : checked.value;
    },
  };
}

type CancelWorld = CallWorld & Pick<EndpointWorld, "log">;

/** Cancels the runs that a job has started so far, wherever they are. */
export async function cancelRunsOf(
  world: CancelWorld,
  job: { organizationId: OrganizationId; principal: string; jobId: JobId },
): Promise<void> {
  const { organizationId, principal, jobId } = job;
  const answers = await answersUnder(world.database, organizationId, principal, ROUTE, `${jobId}/`);
  await Promise.all(answers.map(({ text }) => cancel(world, organizationId, JSON.parse(text) as Run)));
}

/** Cancels a run; one that has ended or is gone is as good as canceled. */
async function cancel(world: CancelWorld, organizationId: OrganizationId, run: Run): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await world.database.transaction((tx) => cancelRun(tx, world, organizationId, run.thread_id, run.id));
      return;
    } catch (error) {
      if (error instanceof CallboardError && (error.code === "run_not_active" || error.code === "not_found")) return;
      if (isAway(error) && attempt < CANCEL_TRIES) await sleep(AGAIN_MS);
      else {
        world.log.error({ run_id: run.id, error: errorFacts(error) }, "a run could not be canceled");
        return;
      }
    }
  }
}
