-- The first schema. There is no older server to live with.
--
-- Two rules hold everywhere:
--   * the thread row is locked first. `threads.last_seq` numbers its events, `active_run_id` and
--     `active_fence` say who may write for its run, `steered` counts the messages that joined that run.
--   * `organization_id` leads every tenant key, and every query names it. Other indexes begin with the id they
--     are for: on a young table without statistics the planner would else take one of them for the key.

create table organizations (
  id uuid primary key,
  name text not null,
  members_edit_agents boolean not null default false,
  raw_runs boolean not null default false,
  -- Goes up with every change to who may do what; a write that was allowed under an older number is refused.
  access_epoch bigint not null default 1,
  created_at timestamptz(3) not null default now()
);

create table users (
  id uuid primary key,
  email text not null,
  name text not null,
  created_at timestamptz(3) not null default now()
);
create unique index users_email on users (lower(email));

create table memberships (
  organization_id uuid not null references organizations on delete cascade,
  user_id uuid not null references users on delete cascade,
  role text not null check (role in ('owner', 'admin', 'member', 'guest')),
  suspended boolean not null default false,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, user_id)
);

create table groups (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  slug text not null,
  name text not null,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, id),
  unique (organization_id, slug)
);

create table group_members (
  organization_id uuid not null,
  group_id uuid not null,
  user_id uuid not null,
  primary key (organization_id, group_id, user_id),
  foreign key (organization_id, group_id) references groups on delete cascade,
  foreign key (organization_id, user_id) references memberships on delete cascade
);

create table tokens (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  kind text not null check (kind in ('personal', 'service')),
  user_id uuid,
  label text not null,
  prefix text not null,
  -- SHA-256 of the secret; the secret has 256 random bits, so a slow hash would add nothing.
  hash bytea not null,
  scopes text[] not null,
  may_attribute boolean not null default false,
  created_by uuid,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3),
  last_used_at timestamptz(3),
  revoked_at timestamptz(3),
  primary key (organization_id, id),
  check ((kind = 'personal') = (user_id is not null))
);
create unique index tokens_hash on tokens (hash);
create index tokens_user on tokens (user_id, id desc);

create table model_connections (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  slug text not null,
  kind text not null,
  base_url text,
  default_model text,
  -- {key_id, iv, tag, data}: AES-256-GCM with the row's identity as associated data.
  secret jsonb,
  is_default boolean not null default false,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (organization_id, id),
  unique (organization_id, slug)
);
create unique index model_connections_default on model_connections (organization_id) where is_default;

create table agents (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  slug text not null,
  owner_id uuid not null,
  access_mode text not null check (access_mode in ('organization', 'invited')),
  api_access boolean not null,
  draft jsonb not null,
  live_version integer,
  latest_version integer not null default 0,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (organization_id, id),
  unique (organization_id, slug)
);

create table agent_versions (
  organization_id uuid not null,
  agent_id uuid not null,
  version integer not null,
  config jsonb not null,
  published_by uuid,
  published_at timestamptz(3) not null default now(),
  primary key (organization_id, agent_id, version),
  foreign key (organization_id, agent_id) references agents on delete cascade
);

create table agent_access (
  organization_id uuid not null,
  agent_id uuid not null,
  subject_kind text not null check (subject_kind in ('user', 'group')),
  subject_id uuid not null,
  primary key (organization_id, agent_id, subject_kind, subject_id),
  foreign key (organization_id, agent_id) references agents on delete cascade
);

create table token_agents (
  organization_id uuid not null,
  token_id uuid not null,
  agent_id uuid not null,
  primary key (organization_id, token_id, agent_id),
  foreign key (organization_id, token_id) references tokens on delete cascade,
  foreign key (organization_id, agent_id) references agents on delete cascade
);

-- Threads, runs and events carry no foreign keys among themselves: they are written together in one
-- statement and deleted together in one transaction, and a key check per row would be paid by every run.

create table threads (
  organization_id uuid not null,
  id uuid not null,
  agent_id uuid,
  agent_version integer,
  title text,
  state text not null check (state in ('idle', 'running', 'waiting')),
  archived boolean not null default false,
  client_external_ref text,
  attributed_user_id uuid,
  created_by_kind text not null check (created_by_kind in ('user', 'service')),
  created_by_id uuid not null,
  last_seq bigint not null,
  active_run_id uuid,
  active_fence bigint not null default 0,
  -- Steering messages sent to the active run; its last write must have seen them all.
  steered integer not null default 0,
  -- Runs in state `queued` that wait for the active one.
  queued integer not null default 0,
  last_run_id uuid,
  -- The last group commit that wrote for this thread's run: tells whether a commit with a lost answer happened.
  last_flush uuid,
  variables jsonb not null,
  metadata jsonb not null,
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  primary key (organization_id, id)
) with (fillfactor = 80);
create index threads_agent on threads (agent_id, id);
create index threads_creator on threads (created_by_id, id);
create index threads_attributed on threads (attributed_user_id, id) where attributed_user_id is not null;
create index threads_ref on threads (client_external_ref, agent_id, id) where client_external_ref is not null;

create table runs (
  organization_id uuid not null,
  id uuid not null,
  thread_id uuid not null,
  agent_id uuid,
  agent_version integer,
  parent_run_id uuid,
  state text not null check (state in ('queued', 'running', 'waiting', 'completed', 'failed', 'canceled')),
  trigger text not null,
  -- Claims of this run so far.
  attempt integer not null,
  -- Claims after which its process died.
  crashes integer not null default 0,
  fence bigint not null,
  lease_owner uuid,
  -- Milliseconds of running time in ended attempts.
  running_ms bigint not null default 0,
  -- Who the run works for, fixed when it was accepted.
  principal json not null,
  -- Only for a run without a saved agent; otherwise the version has it.
  config json,
  prompt text not null,
  variables json not null,
  -- [{content, seq}]: the messages the run answers.
  input json not null,
  -- The seq of its `run.queued` event: the order of runs in a thread.
  queued_seq bigint not null,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cost_micros bigint not null default 0,
  result json,
  error json,
  waiting_for json,
  -- False once retention has removed its deltas.
  has_deltas boolean not null default true,
  created_at timestamptz(3) not null,
  started_at timestamptz(3),
  ended_at timestamptz(3),
  primary key (organization_id, id)
) with (fillfactor = 80);
create index runs_thread on runs (thread_id, queued_seq);
-- Serves claims, take-overs and `GET /runs?state=`: only runs that have not ended are in it.
create index runs_open on runs (state, lease_owner, organization_id, id) where state in ('queued', 'running', 'waiting');
-- Serves retention of deltas.
create index runs_ended on runs (ended_at) where ended_at is not null and has_deltas;

-- Messages that join a run under way, in order.
create table steering_messages (
  organization_id uuid not null,
  run_id uuid not null,
  number integer not null,
  -- {content, seq}
  message json not null,
  primary key (organization_id, run_id, number)
);

-- One model call and what it said.
create table steps (
  organization_id uuid not null,
  run_id uuid not null,
  step integer not null,
  message_id uuid not null,
  provider text not null,
  model text not null,
  -- Messages that joined before this step: [{content, seq}].
  joined json not null,
  -- Steering messages of the run that were taken in before this step.
  steered integer not null,
  -- AssistantPart[] of the server's models room.
  parts json not null,
  finish_reason text not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  cost_micros bigint not null,
  created_at timestamptz(3) not null,
  primary key (organization_id, run_id, step)
);

-- The ledger of tool effects.
create table tool_calls (
  organization_id uuid not null,
  run_id uuid not null,
  step integer not null,
  position integer not null,
  id uuid not null,
  -- The id the model gave the call.
  model_call_id text not null,
  tool text not null,
  input json not null,
  effect text not null check (effect in ('read', 'idempotent', 'once')),
  state text not null check (state in ('waiting', 'started', 'completed', 'failed', 'denied', 'unknown')),
  output json,
  -- What the model reads as the result.
  output_text text,
  started_at timestamptz(3),
  ended_at timestamptz(3),
  primary key (organization_id, run_id, step, position)
);

create table permissions (
  organization_id uuid not null,
  id uuid not null,
  thread_id uuid not null,
  run_id uuid not null,
  call_id uuid not null,
  tool text not null,
  arguments_hash bytea not null,
  agent_version integer,
  state text not null check (state in ('pending', 'allowed', 'denied', 'expired')),
  decision text,
  message text,
  decided_by json,
  decided_at timestamptz(3),
  expires_at timestamptz(3) not null,
  created_at timestamptz(3) not null,
  primary key (organization_id, id)
);
create index permissions_run on permissions (run_id);
create index permissions_expiry on permissions (expires_at) where state = 'pending';

-- `allow_for_thread`: tools that need no further question in a thread, for one agent version.
create table thread_allowances (
  organization_id uuid not null,
  thread_id uuid not null,
  tool text not null,
  agent_version integer not null,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, thread_id, tool, agent_version)
);

-- `body` is the event's JSON text without its opening `{"seq":n,`: readers get the stored text, never a re-print.
create table events (
  organization_id uuid not null,
  thread_id uuid not null,
  seq bigint not null,
  run_id uuid,
  type text not null,
  body text not null,
  primary key (organization_id, thread_id, seq)
);

create table blobs (
  organization_id uuid not null,
  id uuid not null,
  -- False while bytes still come in; such rows are removed when they are an hour old.
  complete boolean not null default false,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, id)
);
create index blobs_incomplete on blobs (created_at) where not complete;

create table blob_chunks (
  organization_id uuid not null,
  blob_id uuid not null,
  position integer not null,
  bytes bytea not null,
  primary key (organization_id, blob_id, position),
  foreign key (organization_id, blob_id) references blobs on delete cascade
);
alter table blob_chunks alter column bytes set storage external;

create table files (
  organization_id uuid not null,
  id uuid not null,
  agent_id uuid,
  thread_id uuid,
  run_id uuid,
  -- The tool call that wrote it: with the name, what makes writing the same artifact twice one file.
  call_id uuid,
  kind text not null check (kind in ('attachment', 'artifact')),
  name text not null,
  media_type text not null,
  size_bytes bigint not null,
  sha256 text not null,
  blob_id uuid not null,
  created_by_kind text not null,
  created_by_id uuid not null,
  created_at timestamptz(3) not null,
  primary key (organization_id, id)
);
create index files_thread on files (thread_id, id);
create unique index files_call on files (call_id, name) where call_id is not null;

create table idempotency_keys (
  organization_id uuid not null,
  principal text not null,
  route text not null,
  key text not null,
  request_hash bytea not null,
  status integer not null,
  response text not null,
  -- The thread the answer speaks of: it goes with the thread.
  thread_id uuid,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, principal, route, key)
);
create index idempotency_keys_thread on idempotency_keys (thread_id) where thread_id is not null;
create index idempotency_keys_age on idempotency_keys (created_at);

-- One row per server process: its lease covers all runs it has claimed.
create table workers (
  id uuid primary key,
  role text not null,
  lease_expires_at timestamptz(3) not null,
  started_at timestamptz(3) not null default now()
);

create table audit_entries (
  organization_id uuid not null,
  id uuid not null,
  actor_kind text not null,
  actor_id text,
  action text not null,
  target text,
  outcome text not null check (outcome in ('done', 'refused')),
  details jsonb not null,
  request_id text,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, id)
);
