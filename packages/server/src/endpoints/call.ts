/**
 * One call of an endpoint: input checked, handler run within its time, answer checked and printed.
 *
 *   request or job ── signal ──▶ call ──▶ handler ──▶ runAgent ──▶ run
 *
 * E1  What the signal or the time limit stops is stopped all the way down: runs are canceled before this returns.
 * E2  Except when the call goes on elsewhere (`CallMoved`): its runs are left alone, and joined there.
 * E3  A handler may throw, hang or answer with anything; what comes back from here is always an outcome.
 */
import {
  type EndpointCaller,
  type EndpointContext,
  EndpointProblem,
  issuePath,
  type SchemaIssue,
} from "@callboard/kit";
import { CallboardError, type FieldProblem, type JobError, type Json } from "@callboard/protocol";
import { invalidRequest, scopeOf } from "../access/index.ts";
import { documentsFor } from "../documents/index.ts";
import { errorFacts } from "../log/index.ts";
import { AgentRuns } from "./agent-runs.ts";
import { toText } from "./answer.ts";
import { type Call, CallMoved, type CallRequest, type EndpointWorld, type Outcome } from "./asked.ts";
import { endpointCaller } from "./caller.ts";
import type { LoadedEndpoint } from "./load.ts";
import { projectPlace } from "./place.ts";
import { EndpointRefusal, toRefusal } from "./refusal.ts";
import { StatusRelay, toStatus } from "./relay.ts";

/**
 * @param value undefined for no body, which stands for an empty object where the schema does not take nothing
 * @throws invalid_request with the paths of the wrong fields
 */
export async function checkInput(endpoint: LoadedEndpoint, value: unknown): Promise<unknown> {
  const { validate } = endpoint.definition.input["~standard"];
  let result = await validate(value);
  if (value === undefined && result.issues !== undefined) {
    const ofNone = await validate({});
    // Another kind of schema would speak of an object that nobody sent.
    if (ofNone.issues?.every((issue) => issuePath(issue) !== "") ?? true) result = ofNone;
  }
  if (result.issues === undefined) return result.value;
  throw invalidRequest(result.issues.slice(0, 20).flatMap(toFields));
}

/** An issue about unknown keys names them beside the path, in the schema libraries that have strict objects. */
function toFields(issue: SchemaIssue): FieldProblem[] {
  const path = issuePath(issue);
  const { keys } = issue as { keys?: unknown };
  if (!Array.isArray(keys)) return [{ path, message: issue.message }];
  return keys.map((key) => ({ path: path === "" ? String(key) : `${path}.${key}`, message: "unknown field" }));
}

/** @throws CallMoved when the signal was aborted with it */
export async function answerCall(
  world: EndpointWorld,
  endpoint: LoadedEndpoint,
  request: CallRequest,
  call: Call,
): Promise<Outcome> {
  const names = { endpoint: endpoint.name, request_id: call.requestId ?? undefined, job_id: call.jobId ?? undefined };
  const { stop } = call;
  const tooLate = () =>
    new CallboardError("endpoint_timeout", `the endpoint did not answer within ${call.timeoutMs} ms`);
  const timer = setTimeout(() => stop.abort(tooLate()), call.timeoutMs);
  const runs = new AgentRuns(world, call);
  const relay = new StatusRelay(world, names, call.claim);
  world.loop.enter(endpoint.name);
  try {
    const { input } = call.checked ?? { input: await checkInput(endpoint, request.input) };
    stop.signal.throwIfAborted();
    const context = toContext(world, request, call, { input, signal: stop.signal, runs, relay, names });
    const { handle } = endpoint.definition;
    return { ok: true, text: await toText(endpoint, await unlessAborted(stop.signal, () => handle(context))) };
  } catch (thrown) {
    const error = stop.signal.aborted ? stop.signal.reason : thrown;
    if (error instanceof CallMoved) throw error;
    const refusal = error instanceof EndpointRefusal ? error.refusal : toRefusal(error);
    if (refusal !== undefined && refusal.status < 500) return { ok: false, refusal };
    const at = projectPlace(error, world.endpoints.folder);
    world.log.error({ ...names, file: endpoint.file, at, error: errorFacts(error) }, "a call of an endpoint failed");
    return { ok: false, refusal: refusal ?? failure(call) };
  } finally {
    world.loop.leave(endpoint.name);
    clearTimeout(timer);
    await Promise.all([relay.written(), runs.end()]);
  }
}

/** A job is read by requests that the log knows nothing of. */
function failure({ requestId }: Call): JobError {
  const words = requestId === null ? "The server failed; the job's id finds it in the log." : undefined;
  return toRefusal(new CallboardError("internal", words)) as JobError;
}

/** Rejects also for a handler that does not honour its signal: its client has an answer then. */
const unlessAborted = (signal: AbortSignal, handle: () => unknown): Promise<unknown> =>
  new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    (async () => handle())().then(resolve, reject);
  });

type Parts = { input: unknown; signal: AbortSignal; runs: AgentRuns; relay: StatusRelay; names: object };

function toContext(
  { log, database }: EndpointWorld,
  request: CallRequest,
  call: Call,
  { input, signal, runs, relay, names }: Parts,
): EndpointContext<unknown> {
  let headers: Headers | undefined;
  let query: URLSearchParams | undefined;
  let documents: EndpointContext<unknown>["documents"] | undefined;
  let caller: EndpointCaller | undefined;
  // Made when they are asked for: most handlers look at none of them, and a job keeps what it has for hours.
  return Object.freeze({
    input,
    get headers() {
      headers ??= new Headers(request.headers);
      return headers;
    },
    get query() {
      query ??= new URLSearchParams(request.query);
      return query;
    },
    get documents() {
      documents ??= documentsFor(database, scopeOf(call.caller), call.caller.scopes);
      return documents;
    },
    params: Object.freeze({ ...request.params }),
    get caller() {
      caller ??= endpointCaller(call.caller);
      return caller;
    },
    signal,
    log: {
      info: (message: string, facts?: object) => log.info({ ...names, facts }, message),
      warn: (message: string, facts?: object) => log.warn({ ...names, facts }, message),
    },
    runAgent: runs.run,
    runAdHoc: runs.runAdHoc,
    relayStatus: (text: string, more?: { progress?: number; data?: Json }) =>
      relay.say(toStatus(text, more), runs.underWay()),
    problem: (status: number, message: string, details?: Record<string, Json>): never => {
      if (!(Number.isInteger(status) && status >= 400 && status < 600)) {
        throw new TypeError(`problem: status is ${status}; expected 400 to 599`);
      }
      throw new EndpointProblem(status, message, details);
    },
  });
}
