/**
 * Calls of a project's endpoints, below `/endpoints`.
 *
 *   match ─ gate (token, limits) ─ access ─ body ─ input ─┬─ sync: handler ─ answer
 *                                          └─ polling: job ─ 202; with `answerWithinMs`: job ─ answer, or 202
 *
 * With an `Idempotency-Key` the answer is kept beside the key. A sync call reserves the key before its handler
 * runs and is a job of its own meanwhile, so that a repeat after a crash joins the runs the first call started.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  CallboardError,
  isJobEnded,
  type JobAccepted,
  type JobError,
  type JobId,
  newId,
  parseId,
  type RequestId,
  toUuid,
} from "@callboard/protocol";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import { type Caller, callEndpoint, principalId, type Refusals, readJob, scopeOf } from "../access/index.ts";
import { forget, idempotencyKey, reserve, type StoredAnswer, store, storedAnswer } from "../calls/index.ts";
import {
  answerCall,
  type CallRequest,
  checkInput,
  ENDPOINTS_PREFIX,
  EndpointRefusal,
  type EndpointWorld,
  insertJob,
  type JobRow,
  type Jobs,
  joinJob,
  type LoadedEndpoint,
  type Match,
  type Outcome,
  removeJob,
  takeOverCall,
  toFacts,
  toJob,
} from "../endpoints/index.ts";
import type { Logger } from "../log/index.ts";
import { AlreadyAnswered, Attempts, holdRights, type IdempotencyKey, StaleAccess } from "../runs/index.ts";
import { auditRefusal } from "./audited.ts";
import { callerAfter } from "./caller.ts";
import { readRequest } from "./endpoint-request.ts";
import { sendError } from "./errors.ts";
import type { Gate } from "./gate.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenRequests } from "./open.ts";

export type EndpointCallDeps = {
  world: EndpointWorld;
  jobs: Jobs;
  /** The lease under which this process holds keyed calls; null before it has one. */
  lease: () => string | null;
  /** Aborted when the server stops and nobody else can go on with runs. */
  stopping: AbortSignal;
  open: OpenRequests;
  gate: Gate;
  refusals: Refusals;
  metrics: Metrics;
  log: Logger;
};

const JOBS_PATH = "/api/v1/jobs";
/** Stored in the place of a status while a sync call is under way. */
const UNDER_WAY = 0;
const ACCEPTED = 202;

/**
 * Adds `/endpoints/*` to the router.
 *
 * @returns `settled`: resolves when the calls under way are over, also those whose clients have left
 */
export function serveEndpoints(
  app: Hono<{ Bindings: HttpBindings }>,
  deps: EndpointCallDeps,
): { settled(): Promise<void> } {
  const open = new Set<Promise<void>>();
  app.all(`${ENDPOINTS_PREFIX}/*`, async (context) => {
    const incoming = context.env.incoming as IncomingMessage;
    const outgoing = context.env.outgoing as ServerResponse;
    const requestId = newId("request");
    const started = performance.now();
    let name = "none";
    let call: EndpointCall | undefined;
    try {
      await deps.world.endpoints.refresh();
      const path = (incoming.url ?? "").split("?")[0] as string;
      const match = deps.world.endpoints.match(path);
      if (match === undefined) {
        const broken = deps.world.endpoints.brokenAt(path);
        if (broken === undefined) throw new CallboardError("not_found", "there is no such path");
        throw new CallboardError("unavailable", `endpoints/${broken} cannot be loaded; the server's log says why`);
      }
      name = match.endpoint.name;
      call = new EndpointCall(deps, match, requestId, incoming, outgoing);
      const answered = call.answer();
      open.add(answered);
      await answered.finally(() => open.delete(answered));
    } catch (error) {
      await auditRefusal(deps.refusals, error, {
        caller: call?.caller,
        action: "endpoint.call",
        target: name,
        requestId,
      });
      sendError(outgoing, error, requestId, deps.log);
    }
    deps.metrics.request(`endpoints/${name}`, outgoing.statusCode, performance.now() - started);
    return RESPONSE_ALREADY_SENT;
  });
  return {
    async settled() {
      await Promise.allSettled(open);
    },
  };
}

/** One request on its way. */
class EndpointCall {
  readonly #deps: EndpointCallDeps;
  readonly #endpoint: LoadedEndpoint;
  readonly #params: Record<string, string>;
  readonly #requestId: RequestId;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  #caller: Caller | undefined;

  constructor(
    deps: EndpointCallDeps,
    { endpoint, params }: Match,
    requestId: RequestId,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) {
    this.#deps = deps;
    this.#endpoint = endpoint;
    this.#params = params;
    this.#requestId = requestId;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  /** Undefined until `answer` has found out. */
  get caller(): Caller | undefined {
    return this.#caller;
  }

  async answer(): Promise<void> {
    const { definition, name } = this.#endpoint;
    const { headers, method } = this.#incoming;
    const startedMs = performance.now();
    let caller = await this.#deps.gate.enter(this.#incoming);
    this.#caller = caller;
    if (method !== definition.method && !(method === "HEAD" && definition.method === "GET")) {
      this.#outgoing.setHeader("allow", definition.method);
      throw new CallboardError("method_not_allowed", `this path takes ${definition.method}`);
    }
    callEndpoint(caller, name, definition.access);
    const request = await readRequest(this.#incoming, this.#params, this.#endpoint.lists);
    caller = await callerAfter(this.#deps.world.authenticator, caller, startedMs);
    callEndpoint(caller, name, definition.access);
    const input = await checkInput(this.#endpoint, request.input);
    const parts = [this.#incoming.url ?? "", JSON.stringify(request.input ?? null)];
    const key = idempotencyKey(caller, `endpoints/${name}`, headers["idempotency-key"], parts);
    if (this.#endpoint.asJob) await this.#asJob(caller, request, key);
    else if (key === null) this.#send(await this.#call(caller, request, input, null));
    else await this.#once(caller, request, input, key);
  }

  // Sync

  /** @throws the refusal when the caller's access ends meanwhile: the call and its runs end with it */
  #call(caller: Caller, request: CallRequest, input: unknown, jobId: JobId | null): Promise<Outcome> {
    const { world, stopping, open } = this.#deps;
    const mayGoOn = (now: Caller) => callEndpoint(now, this.#endpoint.name, this.#endpoint.definition.access);
    const waiting = { caller, signal: AbortSignal.any([this.#clientLeft(), stopping]) };
    return open.wait(waiting, mayGoOn, (stop) =>
      answerCall(world, this.#endpoint, request, {
        caller,
        requestId: this.#requestId,
        jobId,
        timeoutMs: this.#endpoint.timeoutMs,
        checked: { input },
        stop,
        claim: null, // a client that waits for the answer has no place for a status
      }),
    );
  }

  /** A call with a key: what its first request was answered, or the call itself. */
  async #once(caller: Caller, request: CallRequest, input: unknown, key: IdempotencyKey): Promise<void> {
    const { database } = this.#deps.world;
    const held = await this.#hold(caller, request, key);
    if (held === undefined) return;
    let outcome: Outcome | undefined;
    try {
      outcome = await this.#call(this.#caller ?? caller, request, input, toJob(held).job_id);
    } finally {
      const kept = outcome === undefined || this.#outgoing.destroyed ? undefined : toKept(outcome);
      await database.tenant(scopeOf(caller), async (tx) => {
        if (!(await removeJob(tx, held))) return; // another request has taken the call over
        if (kept === undefined) await forget(tx, caller, key);
        else await store(tx, caller, key, kept);
      });
    }
    this.#send(outcome);
  }

  /** Reserves the key for this request; undefined when a stored answer was sent. @throws idempotency_in_progress */
  async #hold(asking: Caller, request: CallRequest, key: IdempotencyKey): Promise<JobRow | undefined> {
    const { world, lease } = this.#deps;
    const owner = lease();
    if (owner === null) throw new CallboardError("unavailable", "the server is starting", { retry_after_ms: 1000 });
    let caller = asking;
    for (const attempts = new Attempts(); ; ) {
      const stored = await storedAnswer(world.database, caller, key);
      if (stored !== undefined) {
        if (stored.status !== UNDER_WAY) {
          this.#replay(stored);
          return undefined;
        }
        const id = parseId("job", stored.text);
        const organization = toUuid(caller.organizationId);
        const taken =
          id === undefined ? undefined : await takeOverCall(world.database, organization, toUuid(id), owner);
        if (taken !== undefined) return taken;
        throw new CallboardError("idempotency_in_progress", `a call with the idempotency key ${key.key} is under way`, {
          retry_after_ms: 1000,
        });
      }
      try {
        return await world.database.tenant(scopeOf(caller), async (tx) => {
          const id = newId("job");
          await reserve(tx, caller, { ...key, job: toUuid(id) }, null);
          await store(tx, caller, key, { status: UNDER_WAY, text: id });
          const row = await insertJob(tx, {
            mode: "sync",
            organization: toUuid(caller.organizationId),
            id: toUuid(id),
            endpoint: this.#endpoint.name,
            createdByKind: caller.kind,
            createdById: toUuid(principalId(caller)),
            token: toUuid(caller.tokenId),
            request: { path: request.path },
            requestHash: key.hash,
            keyed: true,
            owner,
            timeoutMs: this.#endpoint.timeoutMs,
            abandonAfterMs: null,
          });
          await holdRights(tx, caller);
          return row as JobRow; // its id is new
        });
      } catch (error) {
        if (error instanceof StaleAccess) caller = await this.#callerNow(caller, attempts);
        else if (!(error instanceof AlreadyAnswered)) throw error;
      }
    }
  }

  /** The caller with the rights of now, when they are not what they were. @throws the refusal when they have ended */
  async #callerNow(caller: Caller, attempts: Attempts): Promise<Caller> {
    await attempts.again();
    const now = await this.#deps.world.authenticator.refresh(caller);
    callEndpoint(now, this.#endpoint.name, this.#endpoint.definition.access);
    this.#caller = now;
    return now;
  }

  // Jobs

  async #asJob(caller: Caller, request: CallRequest, key: IdempotencyKey | null): Promise<void> {
    const accepted = await this.#accept(caller, request, key);
    if (accepted === undefined) return;
    const { row, replayed } = accepted;
    const headers = replayed ? { "idempotency-replayed": "true" } : {};
    const { answerWithinMs } = this.#endpoint.definition;
    if (row === undefined || answerWithinMs === undefined) this.#accepted(accepted.job, headers);
    else await this.#within(answerWithinMs, caller, key, row, accepted.isNew, headers);
  }

  /** The job's answer when it comes in time, else the job. */
  async #within(
    ms: number,
    caller: Caller,
    key: IdempotencyKey | null,
    row: JobRow,
    isNew: boolean,
    headers: Record<string, string>,
  ): Promise<void> {
    const { world, jobs, open } = this.#deps;
    const left = this.#clientLeft();
    const mayRead = (who: Caller) => readJob(who, toFacts(row));
    const now = await open.wait({ caller, signal: left }, mayRead, ({ signal }) => jobs.wait(row, ms, signal));
    if (left.aborted) {
      // Nobody has heard of the job yet. One that others have joined is theirs as well.
      if (!isNew || jobs.stopping || !(await jobs.dismiss(row))) return;
      if (key !== null) await forget(world.database, caller, key);
      return;
    }
    if (now === undefined) throw new CallboardError("not_found", "the thread of this call was deleted");
    if (!isJobEnded(now.state)) {
      this.#accepted(toAccepted(now), headers);
      return;
    }
    const outcome = toOutcome(now);
    if (key !== null) {
      const kept = toKept(outcome);
      if (kept === undefined) await forget(world.database, caller, key);
      else await store(world.database, caller, key, kept);
    }
    this.#send(outcome, headers);
  }

  /**
   * Writes the call down as a job, or finds the one there is for it. `row` is undefined when that has expired.
   *
   * @returns undefined when a stored answer was sent
   */
  async #accept(
    asking: Caller,
    request: CallRequest,
    key: IdempotencyKey | null,
  ): Promise<{ job: JobAccepted; row: JobRow | undefined; isNew: boolean; replayed: boolean } | undefined> {
    const { world, jobs } = this.#deps;
    const hash = createHash("sha256").update(
      JSON.stringify(sorted([request.path, request.query, request.input ?? null, languageOf(request)])),
    );
    let caller = asking;
    const asked = {
      id: toUuid(newId("job")),
      endpoint: this.#endpoint,
      request,
      requestHash: hash.digest("hex"),
      keyed: key !== null,
    };
    for (const attempts = new Attempts(); ; ) {
      const stored = key === null ? undefined : await storedAnswer(world.database, caller, key);
      if (stored !== undefined) {
        if (stored.status !== ACCEPTED) {
          this.#replay(stored);
          return undefined;
        }
        const job = JSON.parse(stored.text) as JobAccepted;
        const row = await joinJob(world.database, toUuid(caller.organizationId), toUuid(job.job_id));
        return { job, row, isNew: false, replayed: true };
      }
      try {
        const row = await world.database.tenant(scopeOf(caller), async (tx) => {
          if (key !== null) await reserve(tx, caller, key, null);
          const written = await jobs.accept(tx, { ...asked, caller });
          const text = JSON.stringify(toAccepted(written));
          if (key !== null) await store(tx, caller, { ...key, job: written.id }, { status: ACCEPTED, text });
          return written;
        });
        jobs.begin(row);
        return { job: toAccepted(row), row, isNew: row.id === asked.id, replayed: false };
      } catch (error) {
        if (error instanceof StaleAccess) caller = await this.#callerNow(caller, attempts);
        else if (!(error instanceof AlreadyAnswered)) throw error;
      }
    }
  }

  // Answers

  #send(outcome: Outcome, headers: Record<string, string> = {}): void {
    if (!outcome.ok) throw new EndpointRefusal(outcome.refusal);
    this.#write(200, outcome.text, headers);
  }

  /** @throws what the first request was refused with */
  #replay(stored: StoredAnswer): void {
    this.#outgoing.setHeader("idempotency-replayed", "true");
    if (stored.status >= 400) throw new EndpointRefusal(JSON.parse(stored.text));
    this.#write(stored.status, stored.text, {});
  }

  #accepted(job: JobAccepted, headers: Record<string, string>): void {
    this.#write(ACCEPTED, JSON.stringify(job), {
      location: `${JOBS_PATH}/${job.job_id}`,
      "retry-after": "1",
      ...headers,
    });
  }

  #write(status: number, text: string, headers: Record<string, string>): void {
    this.#outgoing.writeHead(status, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
      "x-request-id": this.#requestId,
      ...headers,
    });
    this.#outgoing.end(text);
  }

  /** Aborted when the client goes away before it has its answer. */
  #clientLeft(): AbortSignal {
    const abort = new AbortController();
    const left = () => abort.abort(new CallboardError("bad_request", "the client went away"));
    if (this.#outgoing.destroyed) left();
    this.#outgoing.on("close", () => {
      if (!this.#outgoing.writableFinished) left();
    });
    return abort.signal;
  }
}

const toAccepted = (row: JobRow): JobAccepted => {
  const { job_id, state, status } = toJob(row);
  return { job_id, state, status };
};

/** What the client of an ended job is answered. */
const toOutcome = (row: JobRow): Outcome =>
  row.state === "completed" ? { ok: true, text: row.result as string } : { ok: false, refusal: row.error as JobError };

/** What a repeat is told: answers, and refusals that a repeat would meet again. */
function toKept(outcome: Outcome): { status: number; text: string } | undefined {
  if (outcome.ok) return { status: 200, text: outcome.text };
  const { refusal } = outcome;
  return refusal.status >= 500 || refusal.status === 429
    ? undefined
    : { status: refusal.status, text: JSON.stringify(refusal) };
}

/** The one header that asks for another answer to the same question; `*` is what some clients send for none. */
function languageOf({ headers }: CallRequest): string | null {
  const language = headers["accept-language"];
  return language === undefined || language === "*" ? null : language;
}

/** The same value for objects whose keys come in another order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
