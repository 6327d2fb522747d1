/** SQL of jobs. Times are the database's. */
import type { JobError, JobEventType, JobState, JobStatus } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import { type ClaimedJob, type JobRow, RESULT_MS } from "./job.ts";

const columns = `j.organization_id, j.id, j.endpoint, j.created_by_kind, j.created_by_id, j.token_id, j.request ->> 'path' as path, j.state,
  j.status, j.result, j.error, j.attempt, j.crashes,
  (extract(epoch from j.deadline_at - now()) * 1000)::bigint as left_ms,
  j.created_at, j.started_at, j.ended_at, j.expires_at, j.last_seq, j.abandon_after_ms`;

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
  abandonAfterMs: number | null;
};

const insert = statement(
  "jobs.insert",
  `insert into jobs as j (organization_id, id, mode, endpoint, created_by_kind, created_by_id, token_id, request,
     request_hash, keyed, state, attempt, lease_owner, deadline_at, started_at, abandon_after_ms, abandon_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, decode($9, 'hex'), $10, case when $11::uuid is null then 'queued' else 'running' end,
     case when $11::uuid is null then 0 else 1 end, $11, now() + $12 * interval '1 millisecond',
     case when $11::uuid is null then null else now() end, $13::int, now() + $13 * interval '1 millisecond')
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
    job.abandonAfterMs,
  ]);
}

const same = statement(
  "jobs.same",
  `update jobs j set shared = true
    where j.created_by_id = $1 and j.organization_id = $2 and j.endpoint = $3 and j.request_hash = decode($4, 'hex')
      and j.mode = 'polling' and not j.keyed and j.state in ('queued', 'running')
   returning ${columns}`, // jobs_same
);
/** The job under way that has the same request; it is shared from now on. */
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

const join = statement(
  "jobs.join",
  `update jobs j set shared = true
    where j.organization_id = $1 and j.id = $2 and j.mode = 'polling' and j.state in ('queued', 'running') and not j.shared
   returning ${columns}`,
);
/** A job that a further request waits for: it is shared from now on. */
export async function joinJob(sql: Sql, organization: string, id: string): Promise<JobRow | undefined> {
  return (await sql.row<JobRow>(join, [organization, id])) ?? findJob(sql, organization, id);
}

const claim = statement(
  "jobs.claim",
  `with free as materialized (
     select j.organization_id, j.id, j.state from jobs j
      where j.state in ('queued', 'running') and j.mode = 'polling'
        and (j.endpoint = any($3::text[]) or j.deadline_at < now())
        and (j.state = 'queued' or not exists (select from workers w where w.id = j.lease_owner))
      order by j.id limit $2
      for update skip locked),
   claimed as (update jobs j
      set state = 'running', lease_owner = $1, attempt = j.attempt + 1, started_at = coalesce(j.started_at, now()),
          crashes = j.crashes + case when free.state = 'running' then 1 else 0 end, last_seq = j.last_seq + 1
     from free where j.organization_id = free.organization_id and j.id = free.id
   returning ${columns}, j.request),
   noted as (
     insert into job_events (organization_id, job_id, seq, type, data, created_at)
     select organization_id, id, last_seq, 'job.started', '{"attempt":' || attempt || '}', now() from claimed)
   select * from claimed`, // jobs_open
);
/** Queued jobs, and those whose process is gone. @param endpoints names that this process knows */
export function claimJobs(sql: Sql, owner: string, limit: number, endpoints: readonly string[]): Promise<ClaimedJob[]> {
  return sql.rows<ClaimedJob>(claim, [owner, limit, endpoints]);
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

const say = statement(
  "jobs.say",
  `with moved as (
     update jobs set status = ($4::text[])[cardinality($4::text[])]::json, last_seq = last_seq + cardinality($4::text[])
      where ${fence} returning last_seq),
   noted as (
     insert into job_events (organization_id, job_id, seq, type, data, created_at)
     select $1, $2, m.last_seq - cardinality($4::text[]) + e.n, 'job.status', e.data, e.at
       from moved m cross join unnest($4::text[], $5::timestamptz[]) with ordinality as e(data, at, n))
   select last_seq from moved`,
);
const forgetOld = statement(
  "jobs.forget_old_events",
  "delete from job_events where organization_id = $1 and job_id = $2 and seq <= $3",
);
/** Events of one job that are kept. */
const MAX_EVENTS = 1000;
/** Writes what a handler said, in order; the last of it is the job's status. @returns false when the claim was lost */
export async function sayStatus(
  sql: Sql,
  claim: Claim,
  lines: ReadonlyArray<{ status: JobStatus; at: string }>,
): Promise<boolean> {
  const { organization_id: organization, id, attempt } = claim;
  const texts = lines.map(({ status }) => JSON.stringify(status));
  const times = lines.map(({ at }) => at);
  const row = await sql.row<{ last_seq: number }>(say, [organization, id, attempt, texts, times]);
  if (row === undefined) return false;
  const old = row.last_seq - MAX_EVENTS;
  // Not with each line: whenever a hundred more have come.
  if (old > 0 && old % 100 < lines.length) await sql.run(forgetOld, [organization, id, old]);
  return true;
}

/** An event as it is stored; `data` is JSON text. */
export type JobEventRow = { seq: number; type: JobEventType; data: string; created_at: string };
const events = statement(
  "jobs.events",
  `select seq, type, data, created_at from job_events
    where organization_id = $1 and job_id = $2 and seq > $3 order by seq limit $4`, // job_events_pkey
);
/** What a job's handler said after `seq`, oldest first. */
export function jobEvents(
  sql: Sql,
  organization: string,
  id: string,
  seq: number,
  limit: number,
): Promise<JobEventRow[]> {
  return sql.rows<JobEventRow>(events, [organization, id, seq, limit]);
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
      and not (j.shared and $5)
   returning ${columns}`,
);
/**
 * @param ofOne only a job that no other request has joined
 * @returns undefined when the job had ended, or is shared
 */
export function cancelRow(
  sql: Sql,
  organization: string,
  id: string,
  error: JobError,
  ofOne: boolean,
): Promise<JobRow | undefined> {
  return sql.row<JobRow>(cancel, [organization, id, JSON.stringify(error), RESULT_MS, ofOne]);
}

const abandon = statement(
  "jobs.cancel_abandoned",
  `update jobs j set state = 'canceled', error = $1, lease_owner = null, ended_at = now(),
          expires_at = now() + $2 * interval '1 millisecond'
    where j.abandon_at < now() and j.state in ('queued', 'running')
   returning ${columns}`, // jobs_abandoned
);
/** Cancels jobs, of all organizations, that nobody has read for as long as their endpoints allow. */
export function cancelAbandoned(sql: Sql, error: JobError): Promise<JobRow[]> {
  return sql.rows<JobRow>(abandon, [JSON.stringify(error), RESULT_MS]);
}

const touch = statement(
  "jobs.touch",
  `update jobs j set abandon_at = now() + j.abandon_after_ms * interval '1 millisecond'
     from unnest($1::uuid[], $2::uuid[]) as i(o, id)
    where j.organization_id = i.o and j.id = i.id and j.state in ('queued', 'running')
      and j.abandon_at < now() + j.abandon_after_ms * interval '0.75 milliseconds'`,
);
/** Somebody reads these jobs. */
export async function touchJobs(sql: Sql, jobs: ReadonlyArray<Pick<JobRow, "organization_id" | "id">>): Promise<void> {
  await sql.run(touch, [jobs.map((job) => job.organization_id), jobs.map((job) => job.id)]);
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
  `select j.id, j.state, j.attempt, j.last_seq from jobs j
     join unnest($1::uuid[], $2::uuid[]) as i(o, id) on j.organization_id = i.o and j.id = i.id`,
);
/** How jobs stand; those that are gone are left out. */
export function jobStates(
  sql: Sql,
  jobs: ReadonlyArray<Pick<JobRow, "organization_id" | "id">>,
): Promise<Array<{ id: string; state: JobState; attempt: number; last_seq: number }>> {
  return sql.rows(states, [jobs.map((job) => job.organization_id), jobs.map((job) => job.id)]);
}

const sweep = statement(
  "jobs.sweep",
  `with gone as (
     delete from jobs where expires_at < now() or (mode = 'sync' and deadline_at < now() - interval '24 hours')
     returning organization_id, id),
   events_gone as (
     delete from job_events e using gone g where e.organization_id = g.organization_id and e.job_id = g.id)
   select count(*)::int as count from gone`,
);
/** Forgets results that have expired, and keyed calls that nobody repeated. @returns how many */
export const sweepJobs = async (sql: Sql): Promise<number> => (await sql.row<{ count: number }>(sweep))?.count ?? 0;
