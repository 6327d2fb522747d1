/** SQL of jobs. Times are the database's. */
import type { JobError, JobState, JobStatus } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import { type JobRow, RESULT_MS } from "./job.ts";

const columns = `j.organization_id, j.id, j.endpoint, j.created_by_kind, j.created_by_id, j.token_id, j.request, j.state,
  j.status, j.result, j.error, j.attempt, j.crashes,
  (extract(epoch from j.deadline_at - now()) * 1000)::bigint as left_ms,
  j.created_at, j.started_at, j.ended_at, j.expires_at`;

export type NewJob = {
  mode: "polling" | "sync";
  organization: string;
  id: string;
  endpoint: string;
  createdByKind: "user" | "service";
  createdById: string;
  token: string;
  request: object;
  /** SHA-256, hex. */
  requestHash: string;
  keyed: boolean;
  /** The process of the request that waits for it; null leaves it to whoever claims it. */
  owner: string | null;
  timeoutMs: number;
};

const insert = statement(
  "jobs.insert",
  `insert into jobs as j (organization_id, id, mode, endpoint, created_by_kind, created_by_id, token_id, request,
     request_hash, keyed, state, attempt, lease_owner, deadline_at, started_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, decode($9, 'hex'), $10, case when $11::uuid is null then 'queued' else 'running' end,
     case when $11::uuid is null then 0 else 1 end, $11, now() + $12 * interval '1 millisecond',
     case when $11::uuid is null then null else now() end)
   on conflict do nothing
   returning ${columns}`,
);
/** @returns undefined when the same request is under way as a job */
export function insertJob(sql: Sql, job: NewJob): Promise<JobRow | undefined> {
  return sql.row<JobRow>(insert, [
    job.organization,
    job.id,
    job.mode,
    job.endpoint,
    job.createdByKind,
    job.createdById,
    job.token,
    JSON.stringify(job.request),
    job.requestHash,
    job.keyed,
    job.owner,
    job.timeoutMs,
  ]);
}

const same = statement(
  "jobs.same",
  `select ${columns} from jobs j
    where j.created_by_id = $1 and j.organization_id = $2 and j.endpoint = $3 and j.request_hash = decode($4, 'hex')
      and j.mode = 'polling' and not j.keyed and j.state in ('queued', 'running')`, // jobs_same
);
/** The job under way that has the same request. */
export function findSame(sql: Sql, job: NewJob): Promise<JobRow | undefined> {
  return sql.row<JobRow>(same, [job.createdById, job.organization, job.endpoint, job.requestHash]);
}

const get = statement(
  "jobs.get",
  `select ${columns} from jobs j
    where j.organization_id = $1 and j.id = $2 and j.mode = 'polling' and (j.expires_at is null or j.expires_at > now())`,
);
export function findJob(sql: Sql, organization: string, id: string): Promise<JobRow | undefined> {
  return sql.row<JobRow>(get, [organization, id]);
}

const claim = statement(
  "jobs.claim",
  `with free as materialized (
     select j.organization_id, j.id, j.state from jobs j
      where j.state in ('queued', 'running') and j.mode = 'polling'
        and (j.endpoint = any($3::text[]) or j.deadline_at < now())
        and (j.state = 'queued' or not exists (select from workers w where w.id = j.lease_owner))
      order by j.id limit $2
      for update skip locked)
   update jobs j
      set state = 'running', lease_owner = $1, attempt = j.attempt + 1, started_at = coalesce(j.started_at, now()),
          crashes = j.crashes + case when free.state = 'running' then 1 else 0 end
     from free where j.organization_id = free.organization_id and j.id = free.id
   returning ${columns}`, // jobs_open
);
/** Queued jobs, and those whose process is gone. @param endpoints names that this process knows */
export function claimJobs(sql: Sql, owner: string, limit: number, endpoints: readonly string[]): Promise<JobRow[]> {
  return sql.rows<JobRow>(claim, [owner, limit, endpoints]);
}

const takeOver = statement(
  "jobs.take_over",
  `update jobs j set lease_owner = $3, attempt = j.attempt + 1
    where j.organization_id = $1 and j.id = $2 and j.mode = 'sync'
      and not exists (select from workers w where w.id = j.lease_owner)
   returning ${columns}`,
);
/** A keyed call in mode `sync` whose process is gone, for the request that repeats it. */
export function takeOverCall(sql: Sql, organization: string, id: string, owner: string): Promise<JobRow | undefined> {
  return sql.row<JobRow>(takeOver, [organization, id, owner]);
}

/** Names one claim of a job: a write under another one changes nothing. */
export type Claim = Pick<JobRow, "organization_id" | "id" | "attempt">;
const fence = "organization_id = $1 and id = $2 and attempt = $3 and state = 'running'";

const remove = statement("jobs.remove", `delete from jobs where ${fence}`);
/** @returns false when the claim was lost */
export async function removeJob(sql: Sql, claim: Claim): Promise<boolean> {
  return (await sql.run(remove, [claim.organization_id, claim.id, claim.attempt])) === 1;
}

const say = statement("jobs.set_status", `update jobs set status = $4 where ${fence}`);
export async function setStatus(sql: Sql, claim: Claim, status: JobStatus): Promise<void> {
  await sql.run(say, [claim.organization_id, claim.id, claim.attempt, JSON.stringify(status)]);
}

const finish = statement(
  "jobs.finish",
  `update jobs set state = $4, result = $5, error = $6, lease_owner = null, ended_at = now(),
          expires_at = now() + $7 * interval '1 millisecond'
    where ${fence}`,
);
/** @returns false when the claim was lost */
export async function finishJob(
  sql: Sql,
  claim: Claim,
  end: { state: "completed"; result: string } | { state: "failed"; error: JobError },
): Promise<boolean> {
  const [result, error] = end.state === "completed" ? [end.result, null] : [null, JSON.stringify(end.error)];
  const values = [claim.organization_id, claim.id, claim.attempt, end.state, result, error, RESULT_MS];
  return (await sql.run(finish, values)) === 1;
}

const release = statement("jobs.release", `update jobs set state = 'queued', lease_owner = null where ${fence}`);
export async function releaseJob(sql: Sql, claim: Claim): Promise<void> {
  await sql.run(release, [claim.organization_id, claim.id, claim.attempt]);
}

const cancel = statement(
  "jobs.cancel",
  `update jobs j set state = 'canceled', error = $3, lease_owner = null, ended_at = now(),
          expires_at = now() + $4 * interval '1 millisecond'
    where j.organization_id = $1 and j.id = $2 and j.mode = 'polling' and j.state in ('queued', 'running')
   returning ${columns}`,
);
/** @returns undefined when the job had ended */
export function cancelRow(sql: Sql, organization: string, id: string, error: JobError): Promise<JobRow | undefined> {
  return sql.row<JobRow>(cancel, [organization, id, JSON.stringify(error), RESULT_MS]);
}

const disown = statement(
  "jobs.disown",
  `update jobs set state = 'queued', lease_owner = null
    where state = 'running' and mode = 'polling' and lease_owner = $1 and id <> all($2::uuid[])`, // jobs_open
);
/** Gives up claims that nobody works on: their answer got lost with the connection. */
export async function disownJobs(sql: Sql, owner: string, working: readonly string[]): Promise<void> {
  await sql.run(disown, [owner, working]);
}

const states = statement(
  "jobs.states",
  `select j.id, j.state, j.attempt from jobs j
     join unnest($1::uuid[], $2::uuid[]) as i(o, id) on j.organization_id = i.o and j.id = i.id`,
);
/** How claimed jobs stand; those that are gone are left out. */
export function jobStates(
  sql: Sql,
  claims: readonly Claim[],
): Promise<Array<{ id: string; state: JobState; attempt: number }>> {
  return sql.rows(states, [claims.map((claim) => claim.organization_id), claims.map((claim) => claim.id)]);
}

const sweep = statement(
  "jobs.sweep",
  `delete from jobs where expires_at < now() or (mode = 'sync' and deadline_at < now() - interval '24 hours')`,
);
/** Forgets results that have expired, and keyed calls that nobody repeated. @returns how many */
export const sweepJobs = (sql: Sql): Promise<number> => sql.run(sweep);
