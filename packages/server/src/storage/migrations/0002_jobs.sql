-- Calls of endpoints that outlive a request. Only a new table: older servers do not look at it.

create table jobs (
  organization_id uuid not null,
  id uuid not null,
  -- `polling`: worked on by any process. `sync`: a call with an idempotency key, while a request waits for it.
  mode text not null check (mode in ('polling', 'sync')),
  -- The endpoint's file below `endpoints/`, without its ending.
  endpoint text not null,
  created_by_kind text not null check (created_by_kind in ('user', 'service')),
  created_by_id uuid not null,
  -- The token of the call: its rights are read anew whenever a process takes the job up.
  token_id uuid not null,
  -- {path, input, headers, query, params}, as they came.
  request json not null,
  request_hash bytea not null,
  -- It has an idempotency key: another request of the same content is another job.
  keyed boolean not null,
  state text not null check (state in ('queued', 'running', 'completed', 'failed', 'canceled')),
  status json,
  -- JSON text of the answer.
  result text,
  error json,
  -- Goes up with each claim; every write of the worker checks it.
  attempt integer not null,
  -- Claims after which the process died.
  crashes integer not null default 0,
  lease_owner uuid,
  deadline_at timestamptz(3) not null,
  created_at timestamptz(3) not null default now(),
  started_at timestamptz(3),
  ended_at timestamptz(3),
  expires_at timestamptz(3),
  primary key (organization_id, id)
);
-- A repeat of a request finds the job that is under way.
create unique index jobs_same on jobs (created_by_id, organization_id, endpoint, request_hash)
  where mode = 'polling' and not keyed and state in ('queued', 'running');
create index jobs_open on jobs (state, lease_owner) where state in ('queued', 'running');
create index jobs_expiry on jobs (expires_at) where expires_at is not null;
