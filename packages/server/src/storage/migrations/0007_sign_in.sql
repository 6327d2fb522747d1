-- Sign-in, and rotation of tokens: new tables and columns with defaults. Older servers go on beside it; they know no
-- sessions and refuse the old secret of a rotated token.
--
-- A person is one row of `users` on the whole server, but each organization decides by what that person may enter:
-- the password (`memberships.password_sign_in`, set when the person proved it there) or its own single sign-on.
-- Whoever controls a person's sign-in through one organization gains nothing in another.

alter table tokens
  -- Goes up with each rotation: what was opened with an older secret is found out by it.
  add column secret_version integer not null default 1,
  add column previous_hash bytea,
  -- Until when the secret before the last rotation is taken.
  add column previous_until timestamptz(3),
  add column rotated_at timestamptz(3);
create unique index tokens_previous on tokens (previous_hash) where previous_hash is not null;

alter table memberships add column password_sign_in boolean not null default false;

create table passwords (
  user_id uuid primary key references users on delete cascade,
  -- Argon2id, with its parameters, in the PHC string format.
  hash text not null,
  changed_at timestamptz(3) not null default now()
);

-- One-time links to set a password; made by an admin of the organization, or by the operator for it.
create table password_links (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  user_id uuid not null references users on delete cascade,
  hash bytea not null,
  -- Null for the operator.
  created_by uuid,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3) not null,
  used_at timestamptz(3),
  primary key (organization_id, id)
);
create unique index password_links_hash on password_links (hash);
create index password_links_user on password_links (user_id);

-- One row for each sign-in. A session that changes its organization is another row with another secret.
create table sessions (
  organization_id uuid not null,
  id uuid not null,
  user_id uuid not null,
  method text not null check (method in ('password', 'sso')),
  -- The connection it came by; it ends with the connection.
  sso_connection_id uuid,
  hash bytea not null,
  user_agent text,
  address text,
  created_at timestamptz(3) not null default now(),
  last_used_at timestamptz(3) not null default now(),
  -- Ends after so long without use, and at `expires_at` in any case.
  idle_minutes integer not null,
  expires_at timestamptz(3) not null,
  ended_at timestamptz(3),
  -- Ended to take its rights away: what it began without a request waiting stops too.
  revoked boolean not null default false,
  primary key (organization_id, id),
  foreign key (organization_id, user_id) references memberships on delete cascade
);
create unique index sessions_hash on sessions (hash);
create index sessions_user on sessions (user_id, id desc);
create index sessions_expiry on sessions (expires_at);

create table invitations (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  email text not null,
  role text not null check (role in ('owner', 'admin', 'member', 'guest')),
  group_ids uuid[] not null,
  hash bytea not null,
  created_by uuid not null,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3) not null,
  accepted_at timestamptz(3),
  accepted_by uuid,
  revoked_at timestamptz(3),
  primary key (organization_id, id)
);
create unique index invitations_hash on invitations (hash);
-- One open invitation for an address.
create unique index invitations_open on invitations (organization_id, lower(email))
  where accepted_at is null and revoked_at is null;

-- Attempts to sign in, right across processes: when the bucket of a key is full again. Keys are hashes.
create table throttles (
  key bytea primary key,
  full_at timestamptz(3) not null
);

create table sso_connections (
  organization_id uuid not null references organizations on delete cascade,
  id uuid not null,
  -- In the address people start at, so unique on the whole server.
  slug text not null,
  name text not null,
  issuer text not null,
  client_id text not null,
  -- {key_id, iv, tag, data}, as in model_connections.
  secret jsonb,
  email_domains text[] not null,
  default_role text not null check (default_role in ('member', 'guest')),
  provisioning boolean not null,
  groups_claim text,
  -- {value of the claim: uuid of the group}
  group_mapping jsonb not null,
  enabled boolean not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  primary key (organization_id, id)
);
create unique index sso_connections_slug on sso_connections (slug);

-- Who somebody is at a connection's issuer. The same issuer in another organization is another identity.
create table sso_identities (
  organization_id uuid not null,
  connection_id uuid not null,
  issuer text not null,
  subject text not null,
  user_id uuid not null,
  created_at timestamptz(3) not null default now(),
  last_used_at timestamptz(3) not null default now(),
  primary key (organization_id, connection_id, issuer, subject),
  foreign key (organization_id, connection_id) references sso_connections on delete cascade,
  foreign key (organization_id, user_id) references memberships on delete cascade
);

-- Sign-ins on their way to an issuer and back; used once. Nonce and verifier are in the browser's cookie alone.
create table sso_attempts (
  organization_id uuid not null,
  connection_id uuid not null,
  -- SHA-256 of `state`.
  state_hash bytea not null,
  -- SHA-256 of the browser's cookie.
  browser_hash bytea not null,
  return_to text not null,
  expires_at timestamptz(3) not null,
  primary key (organization_id, connection_id, state_hash),
  foreign key (organization_id, connection_id) references sso_connections on delete cascade
);
create index sso_attempts_expiry on sso_attempts (expires_at);
