/** Why a call of an endpoint gave no answer, as its client is told. */
import { EndpointProblem, RunNotCompleted } from "@callboard/kit";
import { CallboardError, errorCatalogue, type JobError, type Json, runErrorStatus } from "@callboard/protocol";

/** A call that ended without an answer, other than by a refusal of the catalogue. */
export class EndpointRefusal extends Error {
  readonly refusal: JobError;

  constructor(refusal: JobError) {
    super(refusal.message);
    this.name = "EndpointRefusal";
    this.refusal = refusal;
  }
}

/** The refusal in what a handler threw; undefined when it was none, so that our side is at fault. */
export function toRefusal(error: unknown): JobError | undefined {
  if (error instanceof CallboardError) {
    const { code, message, status, details } = error;
    const { retryable } = errorCatalogue[code];
    return { code, message, retryable, status, ...withDetails(details as Record<string, Json>) };
  }
  if (error instanceof RunNotCompleted) {
    const { run } = error;
    const { code, message, retryable } = run.error;
    return { code, message, retryable, status: runErrorStatus(code), details: { run_id: run.id } };
  }
  if (error instanceof EndpointProblem) {
    const { status, message, details } = error;
    const retryable = status === 429 || status === 503;
    return { code: "endpoint_problem", message, retryable, status, ...withDetails(details) };
  }
  return undefined;
}

const withDetails = (details: Record<string, Json>) => (Object.keys(details).length > 0 ? { details } : {});
