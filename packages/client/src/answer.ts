/** Reads answers of the server: JSON bodies and refusals. */
import { CallboardApiError, type CallboardApiErrorDetails } from "./errors.ts";

/** The JSON of a success, `undefined` for 204. @throws unexpected_answer when it is not JSON */
export async function readJson(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unexpectedAnswer(response, "JSON", cause);
  }
}

export function unexpectedAnswer(response: Response, expected: string, cause?: unknown): CallboardApiError {
  const found = response.headers.get("content-type") ?? "no content type";
  const message = `${response.url || "the server"} answered ${found}; expected ${expected}. Is baseUrl a Callboard server?`;
  return new CallboardApiError({ status: response.status, code: "unexpected_answer", message }, { cause });
}

/** The refusal in an answer that is not a success. */
export async function readRefusal(response: Response): Promise<CallboardApiError> {
  const error = errorOf(await response.text().catch(() => ""));
  return new CallboardApiError({
    status: response.status,
    code: error?.code ?? `http_${response.status}`,
    message: error?.message ?? (response.statusText || `the answer had status ${response.status}`),
    requestId: error?.request_id ?? response.headers.get("x-request-id") ?? undefined,
    details: error?.details,
    retryAfterMs: retryAfterMs(response.headers.get("retry-after"), Date.now()) ?? error?.details?.retry_after_ms,
  });
}

type ErrorBody = { code: string; message: string; request_id?: string; details?: CallboardApiErrorDetails };

function errorOf(text: string): ErrorBody | undefined {
  try {
    const error = (JSON.parse(text) as { error?: Partial<ErrorBody> } | null)?.error;
    const isOurs = typeof error?.code === "string" && typeof error.message === "string";
    return isOurs ? (error as ErrorBody) : undefined;
  } catch {
    return undefined; // a proxy's page
  }
}

/** Milliseconds of a `Retry-After`: whole seconds or an HTTP date (RFC 9110 §10.2.3). */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
