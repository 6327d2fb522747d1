-- The audit log becomes a chain; requests and runs get limits. Older servers can live with it: the database itself
-- numbers and chains the entries they write, and the limits' columns are null for what they make.

-- The audit log. Each organization's entries are numbered without gaps, and each holds the hash of the one before:
--
--   hash = SHA-256(prev_hash, seq, organization_id, id, field(actor_kind), field(actor_id), field(action),
--                  field(target), field(outcome), field(details), field(request_id), created_at)
--
-- `field` is the text's length in bytes (4 bytes, big-endian; -1 for null) and its UTF-8; `details` is the text of
-- the stored jsonb; numbers have 8 bytes, big-endian; `created_at` is milliseconds since 1970; ids are their 16
-- bytes. `access/chain.ts` does the same sum without the database.

alter table audit_entries add column seq bigint, add column prev_hash bytea, add column hash bytea;

create table audit_heads (
  organization_id uuid primary key,
  -- Number and hash of the last entry: an entry that is missing at the end is missed here.
  seq bigint not null,
  hash bytea not null,
  -- The same of the last entry that was erased: the chain begins after it.
  erased_seq bigint not null default 0,
  erased_hash bytea not null default decode(repeat('00', 32), 'hex')
) with (fillfactor = 50);

create function audit_field(value text) returns bytea language sql immutable parallel safe as $$
  select case when value is null then int4send(-1)
    else int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') end
$$;

create function audit_hash(entry audit_entries) returns bytea language sql stable parallel safe as $$
  select sha256(entry.prev_hash || int8send(entry.seq) || uuid_send(entry.organization_id) || uuid_send(entry.id)
    || audit_field(entry.actor_kind) || audit_field(entry.actor_id) || audit_field(entry.action)
    || audit_field(entry.target) || audit_field(entry.outcome) || audit_field(entry.details::text)
    || audit_field(entry.request_id) || int8send((extract(epoch from entry.created_at) * 1000)::bigint))
$$;

-- The head's row is the last lock a transaction takes, after the organization's and any thread's.
create function audit_append() returns trigger language plpgsql as $$
declare
  head audit_heads%rowtype;
begin
  loop
    select * into head from audit_heads where organization_id = new.organization_id for no key update;
    exit when found;
    insert into audit_heads (organization_id, seq, hash)
    values (new.organization_id, 0, decode(repeat('00', 32), 'hex')) on conflict do nothing;
  end loop;
  new.seq := head.seq + 1;
  new.prev_hash := head.hash;
  new.hash := audit_hash(new);
  update audit_heads set seq = new.seq, hash = new.hash where organization_id = new.organization_id;
  return new;
end
$$;
create trigger audit_append before insert on audit_entries for each row execute function audit_append();

-- What was written before is taken into the chain, in the order of its ids, which are those of its time.
create table audit_entries_before as table audit_entries;
delete from audit_entries;
insert into audit_entries (organization_id, id, actor_kind, actor_id, action, target, outcome, details, request_id,
  created_at)
select organization_id, id, actor_kind, actor_id, action, target, outcome, details, request_id, created_at
  from audit_entries_before order by organization_id, id;
drop table audit_entries_before;

alter table audit_entries alter column seq set not null, alter column prev_hash set not null,
  alter column hash set not null;
create unique index audit_entries_seq on audit_entries (organization_id, seq);
create index audit_entries_actor on audit_entries (actor_id, seq) where actor_id is not null;
create index audit_entries_target on audit_entries (target, seq) where target is not null;

-- Entries and heads change through the two functions of this file and in no other way.
create function audit_guard() returns trigger language plpgsql as $$
begin
  if tg_op <> 'TRUNCATE' then
    -- A head moves with its entry; both go when `audit_erase` says so.
    if tg_table_name = 'audit_heads' and tg_op <> 'DELETE' and pg_trigger_depth() > 1 then return new; end if;
    if current_setting('callboard.audit_erasure', true) = coalesce(new.organization_id, old.organization_id)::text
      and (tg_op = 'DELETE' or tg_table_name = 'audit_heads') then
      if tg_op = 'DELETE' then return old; end if;
      return new;
    end if;
  end if;
  raise exception 'the audit log is only added to: % on % is refused', lower(tg_op), tg_table_name
    using errcode = 'insufficient_privilege', hint = 'audit_erase(organization, through) erases the oldest entries';
end
$$;
create trigger audit_guard before update or delete on audit_entries for each row execute function audit_guard();
create trigger audit_guard_all before truncate on audit_entries execute function audit_guard();
create trigger audit_guard before insert or update or delete on audit_heads
  for each row execute function audit_guard();
create trigger audit_guard_all before truncate on audit_heads execute function audit_guard();
alter table audit_entries enable always trigger audit_guard;
alter table audit_entries enable always trigger audit_guard_all;
alter table audit_heads enable always trigger audit_guard;
alter table audit_heads enable always trigger audit_guard_all;

-- Erases an organization's entries up to a number and says so in an entry; null erases all, and the head.
create function audit_erase(organization uuid, through bigint) returns bigint language plpgsql as $$
declare
  last audit_entries%rowtype;
  erased bigint;
begin
  perform 1 from audit_heads where organization_id = organization for no key update;
  perform set_config('callboard.audit_erasure', organization::text, true);
  select * into last from audit_entries
   where organization_id = organization and (through is null or seq <= through) order by seq desc limit 1;
  delete from audit_entries where organization_id = organization and (through is null or seq <= through);
  get diagnostics erased = row_count;
  if through is null then
    delete from audit_heads where organization_id = organization;
  elsif erased > 0 then
    update audit_heads set erased_seq = last.seq, erased_hash = last.hash where organization_id = organization;
    insert into audit_entries (organization_id, id, actor_kind, action, outcome, details)
    values (organization, gen_random_uuid(), 'operator', 'audit.erase', 'done',
      jsonb_build_object('entries', erased, 'through_seq', last.seq));
  end if;
  perform set_config('callboard.audit_erasure', '', true);
  return erased;
end
$$;

-- Limits. Null takes the server's default.
alter table organizations
  add column requests_per_minute integer check (requests_per_minute > 0),
  add column runs_at_once integer check (runs_at_once > 0);
alter table tokens add column requests_per_minute integer check (requests_per_minute > 0);

-- Buckets of requests, of tokens and organizations; processes take from them ahead of need. They fill up by
-- themselves within a minute, so a crash may empty the table: it is not logged.
create unlogged table rate_buckets (
  organization_id uuid not null,
  -- The token's id, or the organization's own.
  subject_id uuid not null,
  -- Requests left; below 0 when processes let some pass before they asked.
  level double precision not null,
  -- What the last asking was given.
  granted double precision not null,
  filled_at timestamptz not null default now(),
  primary key (organization_id, subject_id)
) with (fillfactor = 50);
