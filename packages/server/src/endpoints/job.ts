/** A job as the server keeps it, and as the API shows it. */
import {
  fromUuid,
  isJobEnded,
  type Job,
  type JobError,
  type JobId,
  type JobState,
  type JobStatus,
  type Json,
  type OrganizationId,
  type TokenId,
} from "@callboard/protocol";
import type { JobFacts } from "../access/index.ts";
import type { StoredRequest } from "./headers.ts";

/** How long a result is kept. */
export const RESULT_MS = 3_600_000;
/** Claims whose process died, after which a job is given up. */
export const MAX_CRASHES = 3;

/** A row of `jobs`, as far as those need it who read it: there may be thousands. */
export type JobRow = {
  organization_id: string;
  id: string;
  endpoint: string;
  created_by_kind: "user" | "service";
  created_by_id: string;
  token_id: string;
  /** Of the request's URL. */
  path: string;
  state: JobState;
  status: JobStatus | null;
  result: string | null;
  error: JobError | null;
  attempt: number;
  crashes: number;
  /** Milliseconds until the deadline, at the moment of reading. */
  left_ms: number;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  expires_at: string | null;
  last_seq: number;
  /** Milliseconds without a reader after which the job is canceled; null for never. */
  abandon_after_ms: number | null;
};

/** A job somebody works on: with what was asked, which nobody else needs in memory. */
export type ClaimedJob = JobRow & { request: StoredRequest };

export const jobIdOf = (row: Pick<JobRow, "id">): JobId => fromUuid("job", row.id);
export const organizationOf = (row: Pick<JobRow, "organization_id">): OrganizationId =>
  fromUuid("organization", row.organization_id);
export const tokenOf = (row: Pick<JobRow, "token_id">): TokenId => fromUuid("token", row.token_id);
export const creatorOf = (row: Pick<JobRow, "created_by_kind" | "created_by_id">) =>
  row.created_by_kind === "user" ? fromUuid("user", row.created_by_id) : fromUuid("token", row.created_by_id);

export const toFacts = (row: JobRow): JobFacts => ({
  id: jobIdOf(row),
  createdByKind: row.created_by_kind,
  createdById: creatorOf(row),
});

/** Number of the last event; that of the end is not stored, the row tells it. */
export const lastSeqOf = (row: Pick<JobRow, "state" | "last_seq">): number =>
  isJobEnded(row.state) ? row.last_seq + 1 : row.last_seq;

export function toJob(row: JobRow): Job {
  return {
    job_id: jobIdOf(row),
    endpoint: row.path,
    ...byState(row),
    status: row.status,
    created_by: { kind: row.created_by_kind, id: creatorOf(row) },
    created_at: row.created_at,
    started_at: row.started_at,
    ended_at: row.ended_at,
    expires_at: row.expires_at,
    last_seq: lastSeqOf(row),
  };
}

/** The statement that ends a job writes its result or its error with the state. */
function byState({ state, result, error }: JobRow) {
  if (state === "completed") return { state, result: JSON.parse(result as string) as Json };
  return state === "failed" || state === "canceled" ? { state, error: error as JobError } : { state };
}
