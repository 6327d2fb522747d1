-- Documents, in collections with grants. Only new tables, and two new scopes: older servers do not look at them.
--
-- Who may read is decided here, by policies: a statement without any condition gives its reader what was granted
-- and nothing else. `callboard.organization`, `.user`, `.service` and `.documents` are set for each transaction.
-- Policies named `callboard_tenant` are for reading, `callboard_manage` for admins who manage (`documents` = `all`);
-- what every table has besides is made at each start (`storage/protect.ts`).

create table document_collections (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  slug text not null,
  name text not null,
  description text not null,
  -- A text search configuration of PostgreSQL; fixed, because the words of the passages are kept in its stems.
  language text not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (organization_id, id),
  unique (organization_id, slug)
);

-- Exactly one subject a row; none of the three is the whole organization. Who leaves takes the grants along.
create table collection_grants (
  organization_id uuid not null,
  collection_id uuid not null,
  user_id uuid,
  group_id uuid,
  token_id uuid,
  subject uuid not null generated always as (coalesce(user_id, group_id, token_id, organization_id)) stored,
  primary key (organization_id, collection_id, subject),
  foreign key (organization_id, collection_id) references document_collections on delete cascade,
  foreign key (organization_id, user_id) references memberships on delete cascade,
  foreign key (organization_id, group_id) references groups on delete cascade,
  foreign key (organization_id, token_id) references tokens on delete cascade,
  check (num_nonnulls(user_id, group_id, token_id) <= 1)
);
-- Serves the policies, and the cascades.
create index collection_grants_subject on collection_grants (subject, organization_id);

create table documents (
  organization_id uuid not null,
  id uuid not null,
  collection_id uuid not null,
  name text not null,
  title text not null,
  media_type text not null,
  -- Of what was uploaded.
  size_bytes bigint not null,
  sha256 text not null,
  pages integer,
  passages integer not null,
  created_by_kind text not null check (created_by_kind in ('user', 'service')),
  created_by_id uuid not null,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, id),
  unique (organization_id, collection_id, name),
  foreign key (organization_id, collection_id) references document_collections on delete cascade
);

-- A document's text in pieces that follow each other without a gap: together they are the text.
create table document_passages (
  organization_id uuid not null,
  collection_id uuid not null,
  document_id uuid not null,
  number integer not null,
  -- Of a PDF: where the passage begins.
  page integer,
  -- In UTF-16 code units of the document's text.
  starts integer not null,
  ends integer not null,
  body text not null,
  -- The words of the passage, and of the document's title, in stems of the collection's language.
  words tsvector not null,
  primary key (organization_id, document_id, number),
  foreign key (organization_id, document_id) references documents on delete cascade
);
create index document_passages_collection on document_passages (collection_id, organization_id);
create index document_passages_words on document_passages using gin (words);

-- What was granted to the person or the service of this transaction, as things stand in it.
create policy callboard_tenant on collection_grants for select using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and (
    (token_id is null and exists (
      select from memberships m
       where m.organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
         and m.user_id = nullif(current_setting('callboard.user', true), '')::uuid
         and not m.suspended
         and case when collection_grants.user_id is not null then collection_grants.user_id = m.user_id
                  when collection_grants.group_id is not null then collection_grants.group_id in (
                    select g.group_id from group_members g
                     where g.organization_id = m.organization_id and g.user_id = m.user_id)
                  else m.role <> 'guest' end))
    or (token_id = nullif(current_setting('callboard.service', true), '')::uuid and exists (
      select from tokens t
       where t.organization_id = collection_grants.organization_id and t.id = collection_grants.token_id
         and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())))
  )
);
create policy callboard_tenant on document_collections for select using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and id = any (array(select g.collection_id from collection_grants g))
);
create policy callboard_tenant on documents for select using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and collection_id = any (array(select g.collection_id from collection_grants g))
);
create policy callboard_tenant on document_passages for select using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and collection_id = any (array(select g.collection_id from collection_grants g))
);

create policy callboard_manage on collection_grants using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and current_setting('callboard.documents', true) = 'all'
);
create policy callboard_manage on document_collections using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and current_setting('callboard.documents', true) = 'all'
);
create policy callboard_manage on documents using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and current_setting('callboard.documents', true) = 'all'
);
create policy callboard_manage on document_passages using (
  organization_id = nullif(current_setting('callboard.organization', true), '')::uuid
  and current_setting('callboard.documents', true) = 'all'
);

-- A personal token that had every scope its maker could give keeps having them.
update tokens set scopes = scopes || array['documents:read', 'documents:write']
 where kind = 'personal' and not scopes && array['documents:read', 'documents:write']
   and scopes @> array['agents:read', 'agents:write', 'threads:read', 'threads:write', 'transcripts:read',
     'members:read', 'members:write', 'tokens:write', 'models:read', 'models:write', 'organization:write', 'audit:read'];
