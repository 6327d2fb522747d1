/**
 * Jobs: calls of endpoints in polling mode. Accepting, working, waiting, canceling, from any process.
 *
 * J1  A job is written before its call is answered. A process works on it under its lease in `workers`; when that
 *     is gone another process runs the handler again, and its `runAgent` calls join the runs there are.
 * J2  Every write of a worker checks its claim (`attempt`): who was replaced changes nothing.
 * J3  Canceling is written first, then the runs are canceled by whoever canceled, then the worker is told.
 * J4  A handler works for its caller as that one stands: when the token, the membership or the right to call the
 *     endpoint ends, the job fails with the refusal, and its runs are canceled.
 * J5  A job that is gone (its thread was deleted) is worked on no more, and its other runs are canceled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CallboardError, isJobEnded, type JobError, runErrorCatalogue, toUuid } from "@callboard/protocol";
import { type Caller, callEndpoint, principalId, scopeOf } from "../access/index.ts";
import { errorFacts } from "../log/index.ts";
import { holdRights } from "../runs/index.ts";
import type { Transaction } from "../storage/index.ts";
import { cancelRunsOf } from "./agent-runs.ts";
import { CallMoved, type CallRequest, type EndpointWorld, type Outcome } from "./asked.ts";
import { answerCall } from "./call.ts";
import { JobFollower, type JobReader } from "./follow.ts";
import { openHeaders, type StoredRequest, sealHeaders } from "./headers.ts";
import { creatorOf, type JobRow, jobIdOf, MAX_CRASHES, organizationOf, tokenOf } from "./job.ts";
import type { LoadedEndpoint } from "./load.ts";
import { toRefusal } from "./refusal.ts";
import {
  cancelAbandoned,
  cancelRow,
  claimJobs,
  disownJobs,
  findJob,
  findSame,
  finishJob,
  insertJob,
  jobStates,
  type NewJob,
  releaseJob,
} from "./store.ts";
import { Wakeup } from "./wakeup.ts";
import { JobWatch } from "./watch.ts";

export type JobsOptions = {
  world: EndpointWorld;
  /** The lease under which this process works on jobs; null when it does not. */
  worker: () => string | null;
};

/** How often jobs are looked at without a wake-up. */
const LOOK_MS = 1000;
const CLAIM_LIMIT = 50;
/** Jobs at once in this process. */
const SLOTS = 1000;
const AGAIN_MS = 500;

const canceled: JobError = {
  code: "canceled",
  message: "Somebody asked for the job to stop.",
  retryable: false,
  status: 409,
};
const abandoned = toRefusal(new CallboardError("job_abandoned")) as JobError;

/** The call ended itself; all other reasons are somebody's who took the job away. */
const isTimedOut = ({ reason }: AbortSignal): boolean =>
  reason instanceof CallboardError && reason.code === "endpoint_timeout";

type Work = { row: JobRow; worker: string; abort: AbortController; done: Promise<void> };

export type JobRequest = {
  id: string;
  caller: Caller;
  endpoint: LoadedEndpoint;
  request: CallRequest;
  requestHash: string;
  keyed: boolean;
};

export class Jobs {
  readonly watch: JobWatch;
  readonly #options: JobsOptions;
  readonly #world: EndpointWorld;
  /** By the job's uuid. */
  readonly #works = new Map<string, Work>();
  readonly #off: Array<() => void>;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #lookAgain = false;
  #stopping = false;
  #abandonedAtMs = 0;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#world = options.world;
    this.watch = new JobWatch(options.world);
    this.#off = [
      options.world.wakes.on("job", () => this.#look()),
      options.world.wakes.on("access", (organizations) => this.#recheck(organizations)),
    ];
  }

  /** Begins to work on jobs, if this process does. */
  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  /** Hands the jobs over: others go on with them at once. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    this.watch.stop();
    for (const work of this.#works.values()) work.abort.abort(new CallMoved());
    await Promise.all([...this.#works.values()].map(({ done }) => done));
    for (const off of this.#off) off();
  }

  /** Jobs are being handed over: who waits here waits elsewhere from now on. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Jobs under way here. */
  get size(): number {
    return this.#works.size;
  }

  /**
   * Writes a job down, or finds the one under way for the same request. Call `begin` once that is committed.
   *
   * @throws StaleAccess
   */
  async accept(tx: Transaction, asked: JobRequest): Promise<JobRow> {
    const { caller, endpoint } = asked;
    const row: NewJob = {
      mode: "polling",
      organization: toUuid(caller.organizationId),
      id: asked.id,
      endpoint: endpoint.name,
      createdByKind: caller.kind,
      createdById: toUuid(principalId(caller)),
      token: toUuid(caller.tokenId),
      request: sealHeaders(
        this.#world.keys,
        { organization: toUuid(caller.organizationId), id: asked.id },
        asked.request,
      ),
      requestHash: asked.requestHash,
      keyed: asked.keyed,
      owner: null,
      timeoutMs: endpoint.timeoutMs,
      abandonAfterMs: endpoint.definition.abandonAfterMs ?? null,
    };
    for (;;) {
      const found = (await insertJob(tx, row)) ?? (await findSame(tx, row));
      if (found === undefined) continue; // the other one has ended between the two statements
      await holdRights(tx, caller);
      return found;
    }
  }

  /** Somebody claims the job now: this process, or another one that works on jobs. */
  begin(row: JobRow): void {
    if (row.state === "queued") this.#world.wakes.send("job", row.id);
  }

  /**
   * The job once it has ended, or as it is when the time is up, the client is gone or this process stops;
   * undefined when it is not there.
   *
   * @param afterSeq also returns when the job has an event after this one
   */
  async wait(row: JobRow, ms: number, signal: AbortSignal, afterSeq?: number): Promise<JobRow | undefined> {
    const isOver = (now: JobRow) => isJobEnded(now.state) || (afterSeq !== undefined && now.last_seq > afterSeq);
    if (isOver(row) || ms <= 0) return row;
    const woken = new Wakeup(ms, signal);
    const off = this.watch.watch(row, afterSeq === undefined ? "end" : "all", woken.wake);
    try {
      for (;;) {
        let now = await findJob(this.#world.database, row.organization_id, row.id);
        if (now === undefined || isOver(now) || woken.over || this.#stopping) return now;
        now = undefined; // thousands may wait here
        await woken.next();
      }
    } finally {
      off();
      woken.end();
    }
  }

  /** Hands the job's events after `afterSeq` over, until its end. */
  follow(row: JobRow, afterSeq: number, reader: JobReader): JobFollower {
    return new JobFollower(this.#world, this.watch, row, afterSeq, reader);
  }

  /**
   * Cancels a job with its runs, for a caller who may. One that has ended stays as it is.
   *
   * @returns undefined when it is not there
   * @throws StaleAccess
   */
  async cancel(row: JobRow, caller: Caller): Promise<JobRow | undefined> {
    const { database } = this.#world;
    const ended = await database.tenant(scopeOf(caller), async (tx) => {
      const found = await cancelRow(tx, row.organization_id, row.id, canceled, false);
      await holdRights(tx, caller);
      return found;
    });
    if (ended === undefined) return findJob(database, row.organization_id, row.id);
    await this.#stopped(ended, "the job was canceled");
    return ended;
  }

  /** Cancels a job that nobody has heard of, unless another request has joined it. @returns whether it did */
  async dismiss(row: JobRow): Promise<boolean> {
    const ended = await cancelRow(this.#world.database, row.organization_id, row.id, canceled, true);
    if (ended === undefined) return false;
    await this.#stopped(ended, "the client went away");
    return true;
  }

  /** A job was written as canceled: what works on it ends, here and elsewhere (J3). */
  async #stopped(row: JobRow, why: string): Promise<void> {
    this.#works.get(row.id)?.abort.abort(new CallboardError("bad_request", why));
    await this.#cancelRuns(row);
    this.#world.wakes.send("job", row.id);
  }

  // Working

  /** The lease for one more job, if there is room. */
  #room(): string | null {
    return this.#stopping || this.#works.size >= SLOTS ? null : this.#options.worker();
  }

  #look(): void {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    if (this.#stopping) return;
    this.#looking = true;
    this.#lookAgain = false;
    this.#lookOnce()
      .catch((error) => this.#world.log.warn({ error: errorFacts(error) }, "jobs could not be looked at"))
      .finally(() => {
        this.#looking = false;
        if (this.#lookAgain) this.#look();
      });
  }

  async #lookOnce(): Promise<void> {
    await this.#dropLost();
    await this.#endAbandoned();
    const worker = this.#room();
    if (worker === null) return;
    const { database, endpoints } = this.#world;
    await disownJobs(database, worker, [...this.#works.keys()]);
    const names = endpoints.list().map(({ name }) => name);
    const rows = await claimJobs(database, worker, CLAIM_LIMIT, names);
    for (const { request, ...row } of rows) this.#work(row, request, worker);
    if (rows.length === CLAIM_LIMIT) this.#lookAgain = true;
  }

  async #endAbandoned(): Promise<void> {
    const now = Date.now();
    if (now - this.#abandonedAtMs < LOOK_MS) return; // looks follow each other closely when much is going on
    this.#abandonedAtMs = now;
    const rows = await cancelAbandoned(this.#world.database, abandoned);
    await Promise.all(rows.map((row) => this.#stopped(row, "nobody asked for the job")));
  }

  /** Stops work on jobs that were canceled or taken over, and all work under a lease that was lost. */
  async #dropLost(): Promise<void> {
    const works = [...this.#works.values()];
    if (works.length === 0) return;
    const rows = await jobStates(
      this.#world.database,
      works.map(({ row }) => row),
    );
    const known = new Map(rows.map((row) => [row.id, row]));
    for (const { row, worker, abort } of works) {
      const now = known.get(row.id);
      if (now === undefined) abort.abort(new CallboardError("not_found", "the job's thread was deleted"));
      else if (now.state === "canceled") abort.abort(new CallboardError("bad_request", "the job was canceled"));
      else if (worker !== this.#options.worker() || now.state !== "running" || now.attempt !== row.attempt) {
        abort.abort(new CallMoved());
      }
    }
  }

  #work(row: JobRow, request: StoredRequest, worker: string): void {
    this.#works.get(row.id)?.abort.abort(new CallMoved()); // an earlier claim, lost and had again
    const abort = new AbortController();
    const done = this.#answer(row, this.#call(row, request, abort), abort.signal)
      .catch((error) => this.#world.log.error({ job_id: jobIdOf(row), error: errorFacts(error) }, "a job was dropped"))
      .finally(() => {
        if (this.#works.get(row.id)?.abort === abort) this.#works.delete(row.id);
      });
    this.#works.set(row.id, { row, worker, abort, done });
  }

  async #answer(row: JobRow, call: Promise<Outcome>, signal: AbortSignal): Promise<void> {
    try {
      await this.#finish(row, await call, signal);
    } catch (error) {
      if (!(error instanceof CallMoved)) throw error;
      if (!this.#stopping) return; // it is somebody else's
      await releaseJob(this.#world.database, row);
      this.#world.wakes.tell("job", row.id);
    }
  }

  async #call(row: JobRow, stored: StoredRequest, stop: AbortController): Promise<Outcome> {
    const failed = (error: CallboardError): Outcome => ({ ok: false, refusal: toRefusal(error) as JobError });
    if (row.crashes >= MAX_CRASHES) {
      const { summary: message, retryable } = runErrorCatalogue.crash_loop;
      return { ok: false, refusal: { code: "crash_loop", message, retryable, status: 500 } };
    }
    const endpoint = this.#world.endpoints.get(row.endpoint);
    if (row.left_ms <= 0 || endpoint === undefined) return failed(new CallboardError("endpoint_timeout"));
    const caller = await this.#caller(row, endpoint, stop.signal);
    if (caller instanceof CallboardError) return failed(caller);
    const request = openHeaders(this.#world.keys, { organization: row.organization_id, id: row.id }, stored);
    return answerCall(this.#world, endpoint, request, {
      caller,
      requestId: null,
      jobId: jobIdOf(row),
      timeoutMs: row.left_ms,
      stop,
      claim: row,
    });
  }

  /** J4, when somebody's access has changed. */
  #recheck(organizations: readonly string[]): void {
    for (const { row, abort } of this.#works.values()) {
      if (!organizations.includes("*") && !organizations.includes(row.organization_id)) continue;
      const endpoint = this.#world.endpoints.get(row.endpoint);
      if (endpoint === undefined) continue;
      void this.#caller(row, endpoint, abort.signal).then(
        (found) => found instanceof CallboardError && abort.abort(found),
        () => {}, // it is over already
      );
    }
  }

  /** The caller with the rights of now, or the refusal when there are none any more (J4). */
  async #caller(row: JobRow, endpoint: LoadedEndpoint, signal: AbortSignal): Promise<Caller | CallboardError> {
    const token = { organizationId: organizationOf(row), tokenId: tokenOf(row) };
    for (;;) {
      signal.throwIfAborted();
      try {
        const caller = await this.#world.authenticator.callerOf(token, true);
        callEndpoint(caller, endpoint.name, endpoint.definition.access);
        return caller;
      } catch (error) {
        if (!(error instanceof CallboardError)) throw error;
        if (error.code !== "unavailable") return error;
        await sleep(AGAIN_MS);
      }
    }
  }

  async #finish(row: JobRow, outcome: Outcome, signal: AbortSignal): Promise<void> {
    const end = outcome.ok
      ? ({ state: "completed", result: outcome.text } as const)
      : ({ state: "failed", error: outcome.refusal } as const);
    for (;;) {
      try {
        const finished = await finishJob(this.#world.database, row, end);
        // Runs of an earlier attempt that this one did not get to, after a crash.
        if (finished && !outcome.ok && row.attempt > 1) await this.#cancelRuns(row);
        if (finished) this.#world.wakes.send("job", row.id);
        return;
      } catch (error) {
        if (!(error instanceof CallboardError && error.code === "unavailable")) throw error;
        if (signal.aborted && !isTimedOut(signal)) return; // it will be found without an owner
        await sleep(AGAIN_MS);
      }
    }
  }

  #cancelRuns(row: JobRow): Promise<void> {
    const job = { organizationId: organizationOf(row), principal: creatorOf(row), jobId: jobIdOf(row) };
    return cancelRunsOf(this.#world, job);
  }
}
