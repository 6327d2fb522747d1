-- Jobs: what their handlers say as events, an end for jobs nobody asks for, and jobs that go with their threads.
-- Only additions: older servers go on. Jobs they work on have no events, and their threads do not take them along.

alter table jobs
  -- Numbers its events; the event of its end is the one after.
  add column last_seq integer not null default 0,
  -- A repeat of the request joined it: it is not one client's alone any more.
  add column shared boolean not null default false,
  -- A job nobody reads for so long is canceled; null is never. Every reader moves `abandon_at`.
  add column abandon_after_ms integer,
  add column abandon_at timestamptz(3);
create index jobs_abandoned on jobs (abandon_at) where abandon_at is not null and state in ('queued', 'running');

create table job_events (
  organization_id uuid not null,
  job_id uuid not null,
  seq integer not null,
  type text not null,
  -- JSON text: readers get it as it was written.
  data text not null,
  created_at timestamptz(3) not null,
  primary key (organization_id, job_id, seq)
);

-- The job whose run or whose answer the key stands for. With the run's thread go the job and all its answers.
alter table idempotency_keys add column job_id uuid;
create index idempotency_keys_job on idempotency_keys (job_id) where job_id is not null;
