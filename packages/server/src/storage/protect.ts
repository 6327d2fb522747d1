/**
 * Row-level security: the second wall around what belongs to an organization.
 *
 *   server's own work ── connecting user ──────────────▶ policy callboard_system: every row
 *   one tenant's work ── role callboard_tenant, settings ▶ policy callboard_tenant: that tenant's rows
 *
 * W1  Every table with an `organization_id` has forced row-level security and a policy `callboard_tenant`. This
 *     runs after all migrations at each start, so a new table gets both without asking for them. A migration
 *     that makes a policy of that name itself, for a narrower rule, keeps it.
 * W2  The role owns nothing and cannot log in. Without a tenant set it sees no row and writes none.
 * W3  The connecting user owns the tables. Where it is no superuser, forced security binds it as well, so it
 *     has a policy of its own: claims, sweeps and group commits are statements over all tenants.
 */
import type pg from "pg";
import { TENANT_ROLE } from "./database.ts";

/** SQLSTATE of `create role` by somebody who may not. */
const INSUFFICIENT_PRIVILEGE = "42501";

// Roles belong to the whole cluster: a server of another database may be making the same one just now, which
// advisory locks, being each database's own, do not prevent.
const makeRole = `
do $do$
begin
  if not exists (select from pg_roles where rolname = '${TENANT_ROLE}') then
    create role ${TENANT_ROLE} nologin nosuperuser nobypassrls;
  end if;
exception when duplicate_object or unique_violation then null;
end $do$`;

// Being able to become the role, without having its rights otherwise. Before PostgreSQL 16 that cannot be told apart.
const joinRole = `
do $do$
begin
  if current_setting('server_version_num')::int >= 160000 then
    if not pg_has_role('${TENANT_ROLE}', 'set') then
      grant ${TENANT_ROLE} to current_user with inherit false, set true;
    end if;
  elsif not pg_has_role('${TENANT_ROLE}', 'member') then
    grant ${TENANT_ROLE} to current_user;
  end if;
exception when duplicate_object or unique_violation then null;
end $do$`;

// Looks before it acts: on a protected database this takes no lock that anybody waits for.
const protectTables = `
do $do$
declare
  t record;
  tenant constant text := $$nullif(current_setting('callboard.organization', true), '')::uuid$$;
begin
  if not has_schema_privilege('${TENANT_ROLE}', current_schema(), 'usage') then
    execute format('grant usage on schema %I to ${TENANT_ROLE}', current_schema());
  end if;
  for t in
    select c.oid, c.relname, c.relrowsecurity and c.relforcerowsecurity as forced,
           exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'callboard_tenant') as has_tenant,
           (select p.polroles = array[(select oid from pg_roles where rolname = current_user)]
              from pg_policy p where p.polrelid = c.oid and p.polname = 'callboard_system') as has_system,
           has_table_privilege('${TENANT_ROLE}', c.oid, 'select') as has_rights,
           case c.relname
             when 'organizations' then 'id = ' || tenant
             when 'users' then 'exists (select from memberships m where m.user_id = users.id)'
             else 'organization_id = ' || tenant
           end as rule,
           case c.relname
             when 'organizations' then 'select, update'
             when 'users' then 'select'
             when 'audit_entries' then 'select, insert'
             when 'audit_heads' then 'select, insert, update'
             else 'select, insert, update, delete'
           end as rights
      from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
       and (c.relname in ('organizations', 'users')
            or exists (select from pg_attribute a
                        where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped))
     order by c.relname
  loop
    if not t.forced then
      execute format('alter table %I enable row level security, force row level security', t.relname);
    end if;
    if not t.has_tenant then
      execute format('create policy callboard_tenant on %I using (%s)', t.relname, t.rule);
    end if;
    if t.has_system is not true then
      execute format('drop policy if exists callboard_system on %I', t.relname);
      execute format('create policy callboard_system on %I to current_user using (true)', t.relname);
    end if;
    if not t.has_rights then
      execute format('grant %s on %I to ${TENANT_ROLE}', t.rights, t.relname);
    end if;
  end loop;
  -- Leases of processes: no tenant's, and a statement about jobs asks whether their owner lives.
  if not has_table_privilege('${TENANT_ROLE}', 'workers', 'select') then
    grant select on workers to ${TENANT_ROLE};
  end if;
end $do$`;

/**
 * Makes sure of the role, and of the policies of every table there is.
 *
 * @throws an error that says what to run, when the connecting user may not make the role or become it
 */
export async function protect(client: pg.Client): Promise<void> {
  try {
    await client.query(`${makeRole}; ${joinRole}`);
  } catch (error) {
    if ((error as { code?: unknown }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    const { rows } = await client.query<{ name: string }>("select quote_ident(current_user) as name");
    throw new Error(
      `the database user may not make or become the role ${TENANT_ROLE}. Run once, as a superuser: ` +
        `create role ${TENANT_ROLE} nologin; grant ${TENANT_ROLE} to ${rows[0]?.name}; ` +
        "(the first only where the role is missing)",
      { cause: error },
    );
  }
  await client.query(protectTables); // one statement, so all of it or nothing
}
