/** Why a guarded fetch failed. */
export type FetchFailure =
  | "address_refused"
  | "bad_url"
  | "not_allowed"
  | "too_many_redirects"
  | "too_large"
  | "timeout"
  | "unreachable"
  | "cut";

/** A guarded fetch, or the reading of its body, failed. The message names the host, never a path or a header. */
export class GuardedFetchError extends Error {
  readonly reason: FetchFailure;

  constructor(reason: FetchFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "GuardedFetchError";
    this.reason = reason;
  }
}
