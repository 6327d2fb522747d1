/**
 * The runs that one call of an endpoint starts: through the same doors as everybody's, for the call's own caller.
 *
 * R1  A run is written down before its model is called. In a call with a job id, under the key `<job>/<n>`:
 *     the n-th run of a repeated call finds the n-th run of the first one and waits for it.
 * R2  When the call is stopped its runs are canceled, also one that was being started at that moment.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type {
  AgentFile,
  AgentRef,
  FinishedRun,
  RunAdHoc,
  RunAgent,
  RunAgentOptions,
  StandardSchema,
} from "@callboard/kit";
import { CallboardError, isTerminal, type JobId, type OrganizationId, type Run, toUuid } from "@callboard/protocol";
import { type Caller, principalId } from "../access/index.ts";
import {
  answersUnder,
  type CallWorld,
  type NamedAgent,
  schemaOf,
  slugOf,
  storedAnswer,
  toFinished,
  waitForEnd,
} from "../calls/index.ts";
import { errorFacts } from "../log/index.ts";
import {
  AlreadyAnswered,
  Attempts,
  cancelRun,
  findRun,
  type IdempotencyKey,
  StaleAccess,
  toRun,
} from "../runs/index.ts";
import { type Call, CallMoved, type EndpointWorld } from "./asked.ts";
import type { RunPlace } from "./relay.ts";
import {
  type AdHocOptions,
  type AgentOptions,
  adHocStarter,
  agentStarter,
  type Started,
  type Starter,
} from "./starting.ts";

/** Idempotency keys of runs in jobs have this in the place of a route. */
const ROUTE = "endpoints.run";
const WAIT_SECONDS = 60;
const AGAIN_MS = 500;
/** How often a cancel is tried while the database is away. */
const CANCEL_TRIES = 20;

export class AgentRuns {
  readonly #world: EndpointWorld;
  readonly #call: Call;
  /** Few or none, and arrays cost nothing while they are empty. */
  #pending: Array<Promise<unknown>> = [];
  #underWay: RunPlace[] = [];
  #caller: Caller;
  #count = 0;
  /** The handler is over. */
  #over = false;

  constructor(world: EndpointWorld, call: Call) {
    this.#world = world;
    this.#call = call;
    this.#caller = call.caller;
  }

  /** `runAgent` of the handler. */
  readonly run: RunAgent = <Variables, Output>(
    agent: AgentFile<Variables, Output> | AgentRef<Variables, Output> | string,
    options: RunAgentOptions<Variables>,
  ): Promise<FinishedRun<Output>> => {
    const schema = schemaOf(agent as NamedAgent);
    return this.#promise<Output>(schema, options.signal, () =>
      agentStarter(this.#place, this.#slug("runAgent", agent as NamedAgent), options as AgentOptions),
    );
  };

  /** `runAdHoc` of the handler. */
  readonly runAdHoc: RunAdHoc = <Output>(given: object): Promise<FinishedRun<Output>> => {
    const options = given as AdHocOptions;
    const { agent, signal } = options;
    const schema = options.output ?? schemaOf(agent);
    return this.#promise<Output>(schema, signal, () =>
      adHocStarter(this.#place, agent === undefined ? undefined : this.#slug("runAdHoc", agent), options),
    );
  };

  /** What the handler gets for a run, which counts from now on as its n-th. */
  #promise<Output>(
    schema: StandardSchema | undefined,
    signal: AbortSignal | undefined,
    toStarter: () => Starter,
  ): Promise<FinishedRun<Output>> {
    const number = ++this.#count;
    const work = this.#run(toStarter, schema, signal, number);
    this.#pending = [...this.#pending, work]; // `push` would make room for 16 more
    const done = () => {
      this.#pending = this.#pending.filter((one) => one !== work);
    };
    work.then(done, done);
    // A handler that is over hears nothing more: a rejection nobody waits for would end the process.
    const settled = work.catch((error) => (this.#over ? new Promise<never>(() => {}) : Promise.reject(error)));
    settled.catch(() => {});
    return settled as Promise<FinishedRun<Output>>;
  }

  /** The handler is over: cancels what it left behind, and returns when that is done. */
  async end(): Promise<void> {
    this.#over = true;
    if (this.#pending.length === 0) return;
    this.#call.stop.abort(isOver());
    await Promise.allSettled(this.#pending);
  }

  /** The runs that are waited for now. */
  underWay(): RunPlace[] {
    return this.#underWay.slice();
  }

  async #run(
    toStarter: () => Starter,
    schema: StandardSchema | undefined,
    signal: AbortSignal | undefined,
    number: number,
  ): Promise<FinishedRun<unknown>> {
    const own = this.#call.stop.signal;
    const stop = signal === undefined ? own : AbortSignal.any([own, signal]);
    stop.throwIfAborted();
    if (this.#over) throw isOver();
    const run = await this.#wait(await this.#start(toStarter(), number), stop);
    if (isTerminal(run.state)) return toFinished(run, schema);
    if (!(stop.reason instanceof CallMoved)) await cancel(this.#world, this.#caller.organizationId, run);
    throw stop.reason;
  }

  get #place() {
    return { world: this.#world, call: this.#call };
  }

  #slug(verb: string, agent: NamedAgent): string {
    return slugOf(verb, agent, (file) => this.#world.endpoints.slugOf(file));
  }

  async #start(starter: Starter, number: number): Promise<Started> {
    const attempts = new Attempts();
    for (;;) {
      const { jobId } = this.#call;
      const key = jobId === null ? null : runKey(this.#caller, jobId, number);
      try {
        // Its end by time changes no epoch, so the commit would not see it.
        const { expiresAtMs } = this.#caller;
        if (expiresAtMs !== null && expiresAtMs <= Date.now()) this.#caller = await this.#callerNow();
        const before = key === null ? undefined : await this.#joined(key);
        return before ?? (await starter(this.#caller, key));
      } catch (error) {
        const isTaken = error instanceof AlreadyAnswered;
        if (!(isTaken || error instanceof StaleAccess || isUnderWay(error))) throw error;
        await attempts.again();
        if (!isTaken) this.#caller = await this.#callerNow();
      }
    }
  }

  /** A job goes on when its token got another secret; a request that came with the old one does not. */
  #callerNow(): Promise<Caller> {
    const { authenticator } = this.#world;
    return this.#call.requestId === null
      ? authenticator.callerOf(this.#caller, true)
      : authenticator.refresh(this.#caller);
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
    this.#underWay = [...this.#underWay, place];
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
    this.#underWay = this.#underWay.filter((one) => one !== place);
    return now;
  }
}

const isOver = () => new CallboardError("endpoint_timeout", "the call of the endpoint is over");
const gone = () => new CallboardError("not_found", "the run's thread was deleted");
const isAway = (error: unknown): boolean => error instanceof CallboardError && error.code === "unavailable";

/** A process that is being replaced writes the same run at this moment. */
const isUnderWay = (error: unknown): boolean =>
  error instanceof CallboardError && error.code === "idempotency_in_progress";

/** What was asked does not count: the repeated handler may say it in other words, and still means this run. */
function runKey(caller: Caller, jobId: JobId, number: number): IdempotencyKey {
  return { principal: principalId(caller), route: ROUTE, key: `${jobId}/${number}`, hash: "", job: toUuid(jobId) };
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
