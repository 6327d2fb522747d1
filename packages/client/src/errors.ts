/** What the client throws, beside the reason of an aborted signal. */
import type { ErrorCode, FieldProblem, Run } from "@callboard/protocol";

/** Conflicts that end by themselves; the catalogue calls them retryable. */
const passingConflicts: readonly string[] = [
  "run_active",
  "idempotency_in_progress",
  "job_abandoned",
] as const satisfies readonly ErrorCode[];

export type CallboardApiErrorFields = {
  status: number;
  code: string;
  message: string;
  requestId?: string | undefined;
  details?: CallboardApiErrorDetails | undefined;
  retryAfterMs?: number | undefined;
};

export type CallboardApiErrorDetails = { fields?: FieldProblem[]; retry_after_ms?: number } & Record<string, unknown>;

/** The server refused, or answered something that is not Callboard's. */
export class CallboardApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /**
   * A code of the error catalogue. `http_<status>` when the refusal came from something between, like a
   * proxy; `unexpected_answer` when a success was not in the API's format.
   */
  readonly code: ErrorCode | (string & {});
  /** Finds the request in the server's log; absent when the answer was not Callboard's. */
  readonly requestId: string | undefined;
  /** What more there is to say; `fields` names each wrong field of a request by its path, like `input.text`. */
  readonly details: CallboardApiErrorDetails;
  /** The same request, sent again without a change, may succeed. */
  readonly retryable: boolean;
  /** Milliseconds the server asked to wait before the next try. */
  readonly retryAfterMs: number | undefined;

  constructor(fields: CallboardApiErrorFields, options?: { cause?: unknown }) {
    super(fields.message, options);
    this.name = "CallboardApiError";
    this.status = fields.status;
    this.code = fields.code;
    this.requestId = fields.requestId;
    this.details = fields.details ?? {};
    this.retryAfterMs = fields.retryAfterMs;
    this.retryable = fields.status === 429 || fields.status >= 500 || passingConflicts.includes(fields.code);
  }
}

/** No answer came: the server could not be reached, or the connection broke. `cause` is fetch's own error. */
export class CallboardConnectionError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "CallboardConnectionError";
  }
}

/** The run had not ended when the caller's `timeoutMs` was over. The run itself goes on. */
export class CallboardTimeoutError extends Error {
  readonly runId: string;
  /** The run as last seen; absent when no answer came in time. */
  readonly run: Run | undefined;

  constructor(runId: string, timeoutMs: number, run: Run | undefined) {
    super(`run ${runId} had not ended after ${timeoutMs} ms; last state: ${run?.state ?? "not known"}`);
    this.name = "CallboardTimeoutError";
    this.runId = runId;
    this.run = run;
  }
}

/** Whether trying again later may help, for work that is safe to repeat. */
export const isPassing = (error: unknown): error is CallboardApiError | CallboardConnectionError =>
  error instanceof CallboardConnectionError || (error instanceof CallboardApiError && error.retryable);
