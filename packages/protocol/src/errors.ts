/**
 * The catalogue of refusals: code → HTTP status, whether the same request may succeed later, and one
 * sentence for the reader. `docs/errors.md` has a paragraph per code; a test compares both.
 *
 * `retryable` means: the same request, sent again without a change, may succeed.
 */
type Entry = { readonly status: number; readonly retryable: boolean; readonly summary: string };

export const errorCatalogue = {
  // The caller can fix it: the shape of the request.
  bad_json: { status: 400, retryable: false, summary: "The body is not valid JSON." },
  bad_request: { status: 400, retryable: false, summary: "The request cannot be understood." },
  invalid_request: { status: 422, retryable: false, summary: "A field is unknown, missing or has a wrong value." },
  invalid_variables: { status: 422, retryable: false, summary: "A variable is undeclared or does not fit its schema." },
  unsupported_media_type: { status: 415, retryable: false, summary: "The content type is not accepted here." },
  body_too_large: { status: 413, retryable: false, summary: "The body is larger than this route accepts." },
  file_too_large: { status: 413, retryable: false, summary: "The file is larger than this server accepts." },

  // The caller can fix it: who is asking.
  unauthenticated: { status: 401, retryable: false, summary: "There is no valid token or session with this request." },
  sign_in_refused: { status: 401, retryable: false, summary: "The email address or the password is wrong." },
  sso_refused: { status: 403, retryable: false, summary: "Single sign-on does not let this person in." },
  csrf_refused: { status: 403, retryable: false, summary: "The request does not prove that it comes from this site." },
  forbidden: { status: 403, retryable: false, summary: "This caller may not do that." },
  insufficient_scope: { status: 403, retryable: false, summary: "The token lacks the scope for that." },
  attribution_not_allowed: {
    status: 422,
    retryable: false,
    summary: "This caller may not attribute work to that user.",
  },

  // The thing is not there, or not in a state for it.
  not_found: { status: 404, retryable: false, summary: "There is no such thing for this caller." },
  method_not_allowed: { status: 405, retryable: false, summary: "The path exists, but not with this method." },
  agent_not_published: { status: 409, retryable: false, summary: "The agent has no live version." },
  api_access_disabled: { status: 409, retryable: false, summary: "The agent's API access is switched off." },
  precondition_failed: { status: 412, retryable: false, summary: "The thing has changed since the caller read it." },
  slug_taken: { status: 409, retryable: false, summary: "Another thing of this kind has that slug." },
  already_exists: { status: 409, retryable: false, summary: "The thing exists already." },
  draft_invalid: { status: 422, retryable: false, summary: "The draft cannot be published as it is." },
  token_ended: { status: 409, retryable: false, summary: "The token was revoked or has expired." },
  link_invalid: { status: 409, retryable: false, summary: "The link was used, replaced or revoked, or has expired." },
  invitation_closed: { status: 409, retryable: false, summary: "The invitation was accepted or revoked already." },
  weak_password: { status: 422, retryable: false, summary: "The password is too easy to guess." },
  password_elsewhere: {
    status: 409,
    retryable: false,
    summary: "The person signs in to other organizations with this password.",
  },
  last_owner: { status: 409, retryable: false, summary: "An organization keeps at least one owner." },
  connection_in_use: { status: 409, retryable: false, summary: "Something still uses this model connection." },
  thread_archived: { status: 409, retryable: false, summary: "The thread is archived and takes no events." },
  run_active: { status: 409, retryable: true, summary: "The thread has an active run." },
  no_active_run: { status: 409, retryable: false, summary: "The thread has no active run to interrupt." },
  run_not_active: { status: 409, retryable: false, summary: "The run has ended already." },
  permission_decided: { status: 409, retryable: false, summary: "The permission was decided already." },
  permission_expired: { status: 409, retryable: false, summary: "The permission request has expired." },
  permission_mismatch: {
    status: 409,
    retryable: false,
    summary: "The decision is about other arguments or another version than the request.",
  },
  file_not_attachable: { status: 422, retryable: false, summary: "The file cannot be attached to this thread." },
  document_unreadable: { status: 422, retryable: false, summary: "No text could be taken from the document." },
  idempotency_conflict: {
    status: 409,
    retryable: false,
    summary: "The idempotency key was used with another request.",
  },
  idempotency_in_progress: {
    status: 409,
    retryable: true,
    summary: "A request with this idempotency key is still under way.",
  },
  job_abandoned: { status: 409, retryable: true, summary: "Nobody asked for the job for too long." },
  endpoint_problem: { status: 400, retryable: false, summary: "The endpoint refused; its message says why." },

  // The caller may retry.
  too_many_attempts: { status: 429, retryable: true, summary: "Too many attempts to sign in; wait and try again." },
  rate_limited: { status: 429, retryable: true, summary: "Too many requests within a minute." },
  too_many_runs: { status: 429, retryable: true, summary: "The organization has as many runs at once as it may have." },
  sso_failed: { status: 502, retryable: true, summary: "The issuer of single sign-on gave no usable answer." },
  unavailable: { status: 503, retryable: true, summary: "The server cannot serve this right now." },
  endpoint_timeout: { status: 504, retryable: true, summary: "The endpoint did not answer in time." },

  // We are at fault.
  endpoint_output_invalid: {
    status: 500,
    retryable: true,
    summary: "The endpoint's answer does not fit its own output schema.",
  },
  internal: { status: 500, retryable: true, summary: "The server failed; the request id finds it in the log." },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * Why a run ended other than by completing: `error.code` of a failed or canceled run.
 * `retryable` means: a new run with the same input may succeed.
 */
export const runErrorCatalogue = {
  canceled: { retryable: false, summary: "Somebody asked for the run to stop." },
  interrupted: { retryable: false, summary: "A later message took the run's place." },
  timeout: { retryable: true, summary: "The run used up its running time." },
  step_limit: { retryable: false, summary: "The run used up its steps." },
  token_limit: { retryable: false, summary: "The run used up its tokens." },
  budget_exceeded: { retryable: true, summary: "A budget of the organization, the agent or the caller is used up." },
  cost_limit: { retryable: false, summary: "The run used up its budget." },
  crash_loop: { retryable: false, summary: "The run stopped its server process three times." },
  output_invalid: { retryable: true, summary: "The answer did not fit the agent's output schema." },
  permission_expired: { retryable: true, summary: "Nobody decided the permission request in time." },
  access_revoked: { retryable: false, summary: "Whom the run works for may not call its agent any more." },
  tool_missing: { retryable: false, summary: "A tool of the agent's version is not on this server." },
  tool_outcome_unknown: {
    retryable: false,
    summary: "A crash hid the outcome of a tool call, and the agent's policy is to stop.",
  },
  tool_loop: { retryable: false, summary: "The model kept calling tools it does not have or with invalid arguments." },
  model_connection_missing: { retryable: false, summary: "The agent's model connection does not exist any more." },
  model_key_unreadable: {
    retryable: false,
    summary: "The stored key of the agent's model connection is under a key that this server does not have.",
  },
  model_rejected: { retryable: false, summary: "The model's provider refused the request." },
  model_unauthorized: { retryable: false, summary: "The model's provider refused the key." },
  model_rate_limited: { retryable: true, summary: "The model's provider asked to slow down, also after retries." },
  model_unavailable: { retryable: true, summary: "The model's provider could not be reached or failed." },
  model_timeout: { retryable: true, summary: "The model went silent." },
  model_stream_cut: { retryable: true, summary: "The model's answer broke off." },
  model_bad_response: { retryable: true, summary: "The model's answer was not in its provider's format." },
  model_output_too_large: { retryable: false, summary: "The model's answer was larger than the server accepts." },
  model_content_filtered: { retryable: false, summary: "The model's provider withheld the answer." },
  internal: { retryable: true, summary: "The server failed; the run id finds it in the log." },
} as const satisfies Record<string, { readonly retryable: boolean; readonly summary: string }>;

export type RunErrorCode = keyof typeof runErrorCatalogue;

/** The HTTP status of an endpoint that failed because its agent's run did. */
export function runErrorStatus(code: string): number {
  switch (code) {
    case "canceled":
    case "interrupted":
      return 409;
    case "access_revoked":
      return 403;
    case "timeout":
    case "model_timeout":
    case "permission_expired":
      return 504;
    case "budget_exceeded":
      return 429;
    case "model_rate_limited":
    case "model_unavailable":
      return 503;
    case "internal":
    case "crash_loop":
      return 500;
    default:
      return 502; // the agent or its model gave no usable answer
  }
}

/** One wrong field of a request: its path (`input.content[0].text`) and what is wrong with it. */
export type FieldProblem = { path: string; message: string };

/**
 * A refusal from the catalogue, thrown by verbs and turned into the error body by `http`.
 *
 * @param message names the thing, the found and the expected value; never a secret
 */
export class CallboardError extends Error {
  readonly code: ErrorCode;
  readonly details: { fields?: FieldProblem[]; retry_after_ms?: number } & Record<string, unknown>;

  constructor(
    code: ErrorCode,
    message?: string,
    details: { fields?: FieldProblem[]; retry_after_ms?: number } & Record<string, unknown> = {},
    options?: { cause?: unknown },
  ) {
    super(message ?? errorCatalogue[code].summary, options);
    this.name = "CallboardError";
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }
}
