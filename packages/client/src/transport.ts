/**
 * Sends one call and repeats it where that is safe.
 *
 *   failure                            GET, PUT, calls with an Idempotency-Key   other POST, PATCH, DELETE
 *   no answer, 502, 504                again                                     no: it may have been done
 *   429, 503                           again                                     again: nothing was done
 *   409 idempotency_in_progress        again                                     –
 *   anything else                      no                                        no
 */
import type { RouteAnswer, RouteBodyInput, RouteName, RouteParams } from "@callboard/protocol";
import { readJson, readRefusal } from "./answer.ts";
import { backoffMs, sleep } from "./backoff.ts";
import { type Call, calls } from "./calls.ts";
import { CallboardApiError, CallboardConnectionError } from "./errors.ts";
import type { CreateOptions, IfRevision, PreferWait, QueryInput } from "./types.ts";
import { fillPath, queryText } from "./url.ts";

const BACKOFF_BASE_MS = 300;
const BACKOFF_CAP_MS = 8_000;
/** A server that asks for a longer pause gets its refusal handed to the caller at once. */
const LONGEST_PAUSE_MS = 60_000;

export type ClientOptions = {
  /** Address of the server, without `/api/v1`. */
  baseUrl: string;
  /** Secret of a personal or service token. Absent: no `Authorization` header. */
  token?: string | undefined;
  /** Default: the global `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Sent with every request. */
  headers?: Record<string, string> | undefined;
  /** How often a call is repeated after a passing failure. Default 2; 0 switches retries off. */
  retries?: number | undefined;
};

/** A body that is not JSON. */
export type RawBody = {
  body: Blob | ReadableStream<Uint8Array>;
  contentType: string;
};

export type CallInput<N extends RouteName> = CreateOptions &
  PreferWait &
  IfRevision & {
    params?: RouteParams<N>;
    query?: QueryInput<N> | undefined;
    body?: RouteBodyInput<N> | undefined;
    rawBody?: RawBody;
    retries?: number;
  };

/** What a request is made of, whatever its route. */
type AnyInput = Omit<CreateOptions, "idempotencyKey"> &
  PreferWait &
  IfRevision & {
    /** Null sends none. */
    idempotencyKey?: string | null | undefined;
    body?: unknown;
    rawBody?: RawBody;
    retries?: number;
  };

export type Transport = {
  /** Calls a route and returns the JSON of its answer. */
  call<N extends RouteName>(name: N, input: CallInput<N>): Promise<RouteAnswer<N>>;
  /** Calls a route and returns its successful answer, body unread. */
  open<N extends RouteName>(name: N, input: CallInput<N>): Promise<Response>;
  /** Calls what is no route of the API; `path` goes from the server's root and is sent as it is. */
  send<T>(call: Call, input: AnyInput, read: (response: Response) => Promise<T>): Promise<T>;
};

export function createTransport(options: ClientOptions): Transport {
  const root = options.baseUrl.replace(/\/+$/, "");
  const send = options.fetch ?? ((url, init) => globalThis.fetch(url, init));

  function request<T, N extends RouteName>(
    name: N,
    input: CallInput<N>,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const call: Call = calls[name];
    return repeated(call, `/api/v1${fillPath(call.path, input.params ?? {})}${queryText(input.query)}`, input, read);
  }

  async function repeated<T>(
    call: Call,
    path: string,
    input: AnyInput,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const url = root + path;
    const init = toInit(call, input, options);
    const retries = input.retries ?? options.retries ?? 2;
    for (let failures = 0; ; failures++) {
      input.signal?.throwIfAborted();
      const failure = await attempt(url, () => send(url, init), read);
      if (!("error" in failure)) return failure.value;
      input.signal?.throwIfAborted();
      const { error } = failure;
      const pauseMs = pauseBefore(error, failures);
      if (failures >= retries || !mayRepeat(call, init, error) || pauseMs > LONGEST_PAUSE_MS) throw error;
      await sleep(pauseMs, input.signal);
    }
  }

  return {
    call: async <N extends RouteName>(name: N, input: CallInput<N>) =>
      // The server checks its answers against the same table that this type comes from.
      (await request(name, input, readJson)) as RouteAnswer<N>,
    open: (name, input) => request(name, input, async (response) => response),
    send: (call, input, read) => repeated(call, call.path, input, read),
  };
}

function toInit(call: Call, input: AnyInput, options: ClientOptions): RequestInit {
  const headers = new Headers({ accept: "application/json", ...options.headers, ...input.headers });
  if (options.token !== undefined) headers.set("authorization", `Bearer ${options.token}`);
  const { idempotencyKey } = input;
  if (call.idempotent && idempotencyKey !== null) headers.set("idempotency-key", idempotencyKey ?? randomKey());
  if (input.ifRevision !== undefined) headers.set("if-match", `"${input.ifRevision}"`);
  if (input.waitSeconds !== undefined) headers.set("prefer", `wait=${Math.max(0, Math.ceil(input.waitSeconds))}`);
  const init: RequestInit = { method: call.method, headers };
  if (input.signal) init.signal = input.signal;
  if (input.rawBody) {
    headers.set("content-type", input.rawBody.contentType);
    // `duplex` belongs to streamed bodies (Fetch standard, RequestInit); TypeScript's DOM types lack it.
    Object.assign(init, { body: input.rawBody.body }, isStream(input.rawBody.body) ? { duplex: "half" } : {});
  } else if (input.body !== undefined) {
    headers.set("content-type", "application/json");
    init.body = JSON.stringify(input.body);
  }
  return init;
}

type Attempt<T> = { value: T } | { error: CallboardApiError | CallboardConnectionError };

async function attempt<T>(
  url: string,
  send: () => Promise<Response>,
  read: (response: Response) => Promise<T>,
): Promise<Attempt<T>> {
  try {
    const response = await send();
    return response.ok ? { value: await read(response) } : { error: await readRefusal(response) };
  } catch (error) {
    if (error instanceof CallboardApiError) return { error };
    return { error: new CallboardConnectionError(`no answer from ${hostOf(url)}`, { cause: error }) };
  }
}

/** Where a call went, without its path. */
const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : "the server");

function mayRepeat(call: Call, init: RequestInit, error: CallboardApiError | CallboardConnectionError): boolean {
  if (isStream(init.body)) return false; // its bytes are gone
  const hasKey = (init.headers as Headers).has("idempotency-key");
  const isSafe = call.method === "GET" || call.method === "PUT" || hasKey;
  if (error instanceof CallboardConnectionError) return isSafe;
  // An endpoint whose agent failed has these statuses too; to try again is then for the caller to decide.
  if (!fromTheWay(error)) return isSafe && error.code === "idempotency_in_progress";
  if (error.status === 429 || error.status === 503) return true;
  return isSafe && (error.status === 502 || error.status === 504);
}

/** The server cannot serve now, or something between answered in its place. */
const fromTheWay = ({ code, status }: CallboardApiError): boolean =>
  status === 429 || code === "unavailable" || code === `http_${status}`;

function pauseBefore(error: CallboardApiError | CallboardConnectionError, failures: number): number {
  const askedMs = error instanceof CallboardApiError ? error.retryAfterMs : undefined;
  return askedMs ?? backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
}

const isStream = (body: unknown): body is ReadableStream => body instanceof ReadableStream;

// Not crypto.randomUUID: browsers offer it only on https and localhost.
const randomKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
