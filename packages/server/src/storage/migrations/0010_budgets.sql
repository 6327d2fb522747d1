-- Budgets, and usage that outlives its thread. New tables and one column with a default: older servers can live
-- with it, but do not keep to budgets.

create table budgets (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  subject_kind text not null check (subject_kind in ('organization', 'agent', 'user', 'each_user', 'token')),
  subject_id uuid,
  period text not null check (period in ('day', 'month')),
  limit_micros bigint,
  limit_tokens bigint,
  action text not null check (action in ('stop', 'ask')),
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, id)
);

-- What one subject used of a budget in one period. A row's lock orders the reservations against it.
create table budget_counters (
  organization_id uuid not null,
  budget_id uuid not null,
  subject_id uuid not null,
  period_start date not null,
  used_micros bigint not null default 0,
  used_tokens bigint not null default 0,
  reserved_micros bigint not null default 0,
  reserved_tokens bigint not null default 0,
  primary key (organization_id, budget_id, subject_id, period_start),
  foreign key (organization_id, budget_id) references budgets on delete cascade
);

-- What a model call under way may cost at most, until it is known what it did.
create table budget_reservations (
  organization_id uuid not null,
  run_id uuid not null,
  step integer not null,
  budget_id uuid not null,
  subject_id uuid not null,
  period_start date not null,
  micros bigint not null,
  tokens bigint not null,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, run_id, step, budget_id),
  foreign key (organization_id, budget_id) references budgets on delete cascade
);

-- Somebody was asked and said yes: the run or the thread may go beyond the budget for the rest of the period.
create table budget_permits (
  organization_id uuid not null,
  budget_id uuid not null,
  period_start date not null,
  scope_id uuid not null,
  primary key (organization_id, budget_id, period_start, scope_id),
  foreign key (organization_id, budget_id) references budgets on delete cascade
);

-- {input, cached_input?, output}: micro-dollars per million tokens; null for a model without a known price.
alter table steps add column price json;
-- Serves totals over a time: steps are written in the order of time.
create index steps_time on steps using brin (created_at);

-- The model calls of deleted threads: numbers, no content.
create table usage_kept (
  organization_id uuid not null,
  run_id uuid not null,
  step integer not null,
  agent_id uuid,
  -- As in `runs.principal`: ids with their prefix.
  user_id text,
  token_id text not null,
  provider text not null,
  model text not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cost_micros bigint not null,
  price json,
  created_at timestamptz(3) not null,
  primary key (organization_id, run_id, step)
);
create index usage_kept_time on usage_kept using brin (created_at);

-- A budget may ask the organization's admins.
alter table permissions drop constraint permissions_reason_check,
  add constraint permissions_reason_check check (reason in ('approval', 'unknown_outcome', 'budget'));
