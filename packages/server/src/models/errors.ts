/** What goes wrong on the way to a provider, as a ModelError. None of it repeats what the provider wrote. */
import { ModelError } from "./model.ts";

/** Header lookup; `undefined` or `null` when absent. Names are lower-case. */
export type HeaderSource = (name: string) => string | null | undefined;

/**
 * The error for an HTTP status of 400 and above; other statuses are a bad response.
 *
 * 429 is rate limiting; 408, 409, 425 and 5xx (529 is Anthropic's overload) pass by themselves; 401 and
 * 403 are about the key; the rest says that this request will not be answered here.
 */
export function statusError(status: number, header: HeaderSource = () => undefined): ModelError {
  const answered = `the model's provider answered with status ${status}`;
  const retryAfterMs = parseRetryAfter(header, Date.now());
  if (status === 429) return new ModelError("model_rate_limited", answered, { retryable: true, retryAfterMs });
  if (status === 408 || status === 409 || status === 425 || status >= 500) {
    return new ModelError("model_unavailable", answered, { retryable: true, retryAfterMs });
  }
  if (status === 401 || status === 403) return new ModelError("model_unauthorized", answered);
  if (status >= 400) return new ModelError("model_rejected", answered);
  if (status >= 300) {
    return new ModelError("model_rejected", `${answered}, a redirect; expected the provider's final address`);
  }
  return badResponse(answered);
}

/**
 * Milliseconds that the provider asks to wait.
 *
 * Source: `Retry-After` in RFC 9110 §10.2.3 (seconds or an HTTP date), and `retry-after-ms`, which some
 * providers add for waits below a second.
 */
export function parseRetryAfter(header: HeaderSource, nowMs: number): number | undefined {
  const exact = header("retry-after-ms");
  if (exact != null && /^\d+(\.\d+)?$/.test(exact.trim())) return Math.ceil(Number(exact));
  const value = header("retry-after")?.trim();
  if (value == null || value === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** Another try may get a well-formed answer: a proxy's error page, a server that restarts. */
export function badResponse(what: string, cause?: unknown): ModelError {
  return new ModelError("model_bad_response", what, { retryable: true, cause });
}

export function streamCut(cause?: unknown): ModelError {
  return new ModelError("model_stream_cut", "the model's answer broke off before its end", { retryable: true, cause });
}

export function timedOut(idleTimeoutMs: number): ModelError {
  return new ModelError("model_timeout", `the model sent nothing for ${idleTimeoutMs} ms`, { retryable: true });
}

export function tooLarge(maxBytes: number): ModelError {
  return new ModelError("model_output_too_large", `the model's answer is larger than ${maxBytes} bytes`);
}

/** Nothing answered. `retryAfterMs` 0 means that nothing is wrong with trying again at once. */
export function unreachable(cause: unknown, retryAfterMs?: number): ModelError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  const why = typeof code === "string" && /^[A-Z0-9_]{1,40}$/.test(code) ? ` (${code})` : "";
  return new ModelError("model_unavailable", `the model's provider could not be reached${why}`, {
    retryable: true,
    retryAfterMs,
    cause,
  });
}

export function addressRefused(cause: Error): ModelError {
  return new ModelError("model_unavailable", `the model's address is refused: ${cause.message}`, { cause });
}
