/**
 * A `fetch` for addresses that somebody else chose: tools, and the provider packages.
 *
 * F1  http and https only; every hop of a redirect goes through the guarded agents.
 * F2  The answer is cut off at a size (after decompression) and at a time.
 * F3  A redirect to another origin takes neither credentials nor cookies nor custom headers along.
 * F4  What `allow` refuses is not connected to, as the first address and as that of a redirect.
 */
import { exchange, type Hop } from "./exchange.ts";
import { GuardedFetchError } from "./failure.ts";
import type { GuardOptions } from "./guard.ts";
import { toResponse } from "./response.ts";

export type GuardedFetchOptions = GuardOptions & {
  /** Bytes of one answer. Default 16 MiB. */
  maxResponseBytes?: number;
  /** Milliseconds from the call to the last byte; 0 for no limit. Default 60,000. */
  timeoutMs?: number;
  /** Milliseconds without a byte; 0 for no limit. Default 0. */
  idleTimeoutMs?: number;
  /** Default 5. */
  maxRedirects?: number;
  /** Asked for the first address and for that of each redirect. Default: any address. */
  allow?: (url: URL) => boolean;
};

/** Headers that may follow a redirect to another origin. */
const harmless = new Set(["accept", "accept-encoding", "accept-language", "content-type", "range", "user-agent"]);
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * Makes a `fetch`. It rejects with GuardedFetchError or with the signal's reason, and knows no cache, no
 * cookies and no proxy settings.
 */
export function guardedFetch(options: GuardedFetchOptions): typeof fetch {
  const { allowPrivate, maxResponseBytes = 16 * 1024 * 1024, timeoutMs = 60_000, idleTimeoutMs = 0 } = options;
  const maxRedirects = options.maxRedirects ?? 5;

  return async (input, init) => {
    const request = toRequest(input, init);
    const signal = init?.signal ?? request.signal;
    signal.throwIfAborted();
    const startedAt = performance.now();
    const timeLeftMs = () => (timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (performance.now() - startedAt)));

    let hop: Hop = {
      url: new URL(request.url),
      method: request.method,
      headers: new Headers(request.headers),
      body: request.body === null ? undefined : Buffer.from(await request.arrayBuffer()),
    };
    if (!hop.headers.has("accept-encoding")) hop.headers.set("accept-encoding", "gzip, br");

    for (let count = 0; ; count++) {
      if (options.allow?.(hop.url) === false) {
        throw new GuardedFetchError("not_allowed", `${hop.url.host} is not among the hosts that may be reached`);
      }
      const answer = await exchange(hop, { allowPrivate, timeoutMs: timeLeftMs(), idleTimeoutMs }, signal);
      const status = answer.message.statusCode ?? 0;
      const location = redirects.has(status) ? answer.message.headers.location : undefined;
      if (location === undefined || request.redirect === "manual") {
        return toResponse(answer, { url: hop.url, redirected: count > 0, method: hop.method }, maxResponseBytes);
      }
      answer.message.destroy();
      if (request.redirect === "error" || count >= maxRedirects) {
        throw new GuardedFetchError("too_many_redirects", `${hop.url.host} redirected once more than allowed`);
      }
      hop = follow(hop, status, location);
    }
  };
}

/** The Fetch standard refuses addresses that hold a name and a password; its own message would repeat them. */
function toRequest(input: RequestInfo | URL, init: RequestInit | undefined): Request {
  const text = input instanceof Request ? input.url : String(input);
  if (!URL.canParse(text)) throw new GuardedFetchError("bad_url", "the address is not a URL");
  const { username, password } = new URL(text);
  if (username !== "" || password !== "") {
    throw new GuardedFetchError("bad_url", "the address holds a user's name; send credentials in a header");
  }
  return new Request(input, init);
}

/** The next hop. Source: the HTTP-redirect fetch algorithm of the Fetch standard, with F3 on top. */
function follow(from: Hop, status: number, location: string): Hop {
  if (!URL.canParse(location, from.url)) {
    throw new GuardedFetchError("bad_url", `${from.url.host} redirected to something that is not a URL`);
  }
  const url = new URL(location, from.url);
  url.username = "";
  url.password = "";
  const becomesGet = (status === 303 && from.method !== "HEAD") || (status < 303 && from.method === "POST");
  const headers = new Headers();
  for (const [name, value] of from.headers) {
    if (becomesGet && name.startsWith("content-")) continue;
    if (url.origin === from.url.origin || harmless.has(name)) headers.set(name, value);
  }
  return becomesGet ? { url, method: "GET", headers, body: undefined } : { ...from, url, headers };
}
