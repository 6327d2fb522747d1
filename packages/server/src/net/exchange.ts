/** One request and the head of its answer, over the guarded agents, within limits. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { GuardedFetchError } from "./failure.ts";
import { AddressRefusedError, guardedAgents } from "./guard.ts";
import { watchIdle } from "./idle.ts";
import { isRefusedPort } from "./ports.ts";

export type Hop = { url: URL; method: string; headers: Headers; body: Buffer | undefined };

export type ExchangeLimits = {
  allowPrivate: boolean;
  /** Milliseconds to the last byte; 0 for no limit. */
  timeoutMs: number;
  /** Milliseconds without a byte; 0 for no limit. */
  idleTimeoutMs: number;
};

export type Exchange = {
  readonly message: IncomingMessage;
  /** The reader calls it for each piece. */
  touch(): void;
  /** Why the exchange was stopped from this side after its head had arrived. */
  stopped?: { readonly error: unknown };
};

/** Headers that describe one connection. Node sets them; a wrong one would confuse the next call on it. */
const ofConnection = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/**
 * Resolves with the answer's head. Limits and signal hold until the body has ended: when one of them
 * strikes, the message is destroyed and `stopped` says why.
 *
 * @throws GuardedFetchError, or the signal's reason
 */
export function exchange(hop: Hop, limits: ExchangeLimits, signal: AbortSignal): Promise<Exchange> {
  const { url } = hop;
  const fail = (reason: GuardedFetchError["reason"], what: string, cause?: unknown) =>
    new GuardedFetchError(reason, `${url.host} ${what}`, { cause });

  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return Promise.reject(fail("bad_url", `cannot be fetched over ${url.protocol} expected http: or https:`));
  }
  if (isRefusedPort(url.port)) return Promise.reject(fail("bad_url", "names a port of another protocol"));
  return new Promise((resolve, reject) => {
    const secure = url.protocol === "https:";
    const agents = guardedAgents(limits);
    const headers = Object.fromEntries(hop.headers);
    for (const name of ofConnection) delete headers[name];
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: hop.method,
      agent: secure ? agents.https : agents.http,
      headers,
    });

    let answered: Exchange | undefined;
    const stop = (error: unknown) => {
      release();
      if (answered === undefined) reject(error);
      else answered.stopped ??= { error };
      answered?.message.destroy();
      request.destroy();
    };
    const onAbort = () => stop(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });

    const timer =
      limits.timeoutMs === 0
        ? undefined
        : setTimeout(() => stop(fail("timeout", "did not answer in full in the time allowed")), limits.timeoutMs);
    const watch = () =>
      watchIdle(limits.idleTimeoutMs, () => {
        // A reader that takes its time is not a server that went silent.
        if (answered?.message.isPaused()) idle = watch();
        else stop(fail("timeout", "went silent"));
      });
    let idle = limits.idleTimeoutMs === 0 ? undefined : watch();

    const release = () => {
      clearTimeout(timer);
      idle?.stop();
      signal.removeEventListener("abort", onAbort);
    };
    request.on("error", (error) => {
      if (error instanceof AddressRefusedError) stop(new GuardedFetchError("address_refused", error.message));
      else stop(fail("unreachable", "could not be reached", error));
    });
    request.on("close", () => {
      if (answered === undefined) stop(fail("unreachable", "closed the connection without an answer"));
    });
    request.on("response", (message) => {
      answered = { message, touch: () => idle?.touch() };
      message.on("close", release);
      resolve(answered);
    });
    request.end(hop.body);
  });
}
