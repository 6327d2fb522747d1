/** SQL of permissions and of what is allowed for a thread. */
import type { Approvals, PermissionReason, PermissionState } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";

export type PermissionRow = {
  organization_id: string;
  id: string;
  thread_id: string;
  run_id: string;
  call_id: string;
  agent_id: string | null;
  agent_name: string;
  agent_version: number | null;
  reason: PermissionReason;
  tool: string;
  /** As people may see it. */
  input: unknown;
  /** SHA-256 of the whole input, hex. */
  arguments_hash: string;
  /** What an allowance for the thread covers: '' the whole tool, null when none is offered. */
  scope: string | null;
  approvers: string[];
  not_requester: boolean;
  on_expiry: Approvals["on_expiry"];
  requester_user_id: string | null;
  requester_token_id: string | null;
  requester_email: string | null;
  state: PermissionState;
  decision: string | null;
  message: string | null;
  decided_by: { kind: "user" | "service"; id: string } | null;
  decided_at: string | null;
  expires_at: string;
  /** Its time is up by the database's clock, whatever its state says. */
  is_late: boolean;
  created_at: string;
};
const columns = `p.organization_id, p.id, p.thread_id, p.run_id, p.call_id, p.agent_id, p.agent_name, p.agent_version,
  p.reason, p.tool, p.input, encode(p.arguments_hash, 'hex') as arguments_hash, p.scope, p.approvers, p.not_requester,
  p.on_expiry, p.requester_user_id, p.requester_token_id, p.state, p.decision, p.message, p.decided_by, p.decided_at,
  p.expires_at, p.expires_at <= clock_timestamp() as is_late, p.created_at,
  (select r.principal ->> 'email' from runs r where r.organization_id = p.organization_id and r.id = p.run_id)
    as requester_email
  from permissions p`;

const get = statement("permissions.get", `select ${columns} where p.organization_id = $1 and p.id = $2`);
export function findPermission(sql: Sql, organization: string, id: string): Promise<PermissionRow | undefined> {
  return sql.row<PermissionRow>(get, [organization, id]);
}

export type PermissionFilter = {
  organization: string;
  /** A person, its agents and the names that a list of approvers may have for it; or a service token and its agents. */
  reader:
    | { user: string; ownAgents: readonly string[]; names: readonly string[] }
    | { token: string; agents: readonly string[] };
  state: PermissionState | null;
  agent: string | null;
  thread: string | null;
  /** Id of the last one of the page before. */
  before: string;
  limit: number;
};
const wanted = `p.organization_id = $1 and p.id < $2 and ($3::text is null or p.state = $3)
  and ($4::uuid is null or p.agent_id = $4) and ($5::uuid is null or p.thread_id = $5)`;
// permissions_user, permissions_agent, permissions_approvers
const ofPerson = statement(
  "permissions.of_person",
  `select ${columns} where ${wanted} and p.id in (
     select id from permissions where organization_id = $1 and requester_user_id = $7
     union all
     select id from permissions where organization_id = $1 and agent_id = any($8::uuid[]) and 'owner' = any(approvers)
     union all
     select id from permissions where organization_id = $1 and approvers && $9::text[])
    order by p.id desc limit $6`,
);
// permissions_token
const ofService = statement(
  "permissions.of_service",
  `select ${columns} where ${wanted} and p.requester_token_id = $7 and (p.agent_id is null or p.agent_id = any($8::uuid[]))
    order by p.id desc limit $6`,
);
/** What was asked for the reader, or is the reader's to decide, newest first. */
export function permissionRows(sql: Sql, filter: PermissionFilter): Promise<PermissionRow[]> {
  const { organization, reader, state, agent, thread, before, limit } = filter;
  const values = [organization, before, state, agent, thread, limit];
  return "user" in reader
    ? sql.rows<PermissionRow>(ofPerson, [...values, reader.user, reader.ownAgents, reader.names])
    : sql.rows<PermissionRow>(ofService, [...values, reader.token, reader.agents]);
}

const ofRun = statement(
  "permissions.of_run",
  `select ${columns} where p.organization_id = $1 and p.run_id = $2 order by p.created_at, p.id`, // permissions_run
);
/** Everything a run asked, oldest first. */
export function permissionsOf(sql: Sql, organization: string, run: string): Promise<PermissionRow[]> {
  return sql.rows<PermissionRow>(ofRun, [organization, run]);
}

const close = statement(
  "permissions.close",
  `update permissions set state = $3, decision = $4, message = $5, decided_by = $6, decided_at = $7
    where organization_id = $1 and id = $2 and state = 'pending'`,
);
/** @returns false when it was decided already */
export async function closePermission(
  sql: Sql,
  row: Pick<PermissionRow, "organization_id" | "id">,
  to: { state: "allowed" | "denied" | "expired"; decision: string; message?: string | null; by?: object | null },
  at: string,
): Promise<boolean> {
  const { state, decision, message = null, by = null } = to;
  return (await sql.run(close, [row.organization_id, row.id, state, decision, message, by, at])) === 1;
}

const expired = statement(
  "permissions.expired",
  `select ${columns} where p.state = 'pending' and p.expires_at < now() order by p.expires_at limit 100`, // permissions_expiry
);
/** Requests nobody decided in time, of all organizations. */
export const expiredPermissions = (sql: Sql): Promise<PermissionRow[]> => sql.rows<PermissionRow>(expired);

const allow = statement(
  "permissions.allow_for_thread",
  `insert into thread_allowances (organization_id, thread_id, tool, agent_version, scope) values ($1, $2, $3, $4, $5)
   on conflict do nothing`,
);
export async function allowForThread(sql: Sql, row: PermissionRow, scope: string): Promise<void> {
  await sql.run(allow, [row.organization_id, row.thread_id, row.tool, row.agent_version ?? 0, scope]);
}

/** A tool that needs no further question in a thread, within its scope. */
export type Allowance = { tool: string; scope: string };
// runs_thread, permissions_run
const allowances = statement(
  "permissions.allowances",
  `select a.tool, a.scope from thread_allowances a
    where a.organization_id = $1 and a.thread_id = $2 and a.agent_version = $3
      and ($4::text[] is null or exists (
        select from permissions p
         where p.organization_id = $1 and p.run_id in (select id from runs where organization_id = $1 and thread_id = $2)
           and p.tool = a.tool and coalesce(p.agent_version, 0) = a.agent_version and p.scope = a.scope
           and p.decision = 'allow_for_thread' and p.decided_by ->> 'id' <> all($4)))`,
);
/**
 * What people allowed for the rest of the thread, for this agent version.
 *
 * @param notBy ids of callers whose word alone is not enough; null counts everybody's
 */
export function allowancesOf(
  sql: Sql,
  organization: string,
  thread: string,
  version: number | null,
  notBy: readonly string[] | null = null,
): Promise<Allowance[]> {
  return sql.rows<Allowance>(allowances, [organization, thread, version ?? 0, notBy]);
}
