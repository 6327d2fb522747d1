/**
 * What a secret stands for: the rows of tokens and sessions, with the rights of their person, read in one statement.
 *
 * C1: a personal token or a session is worth its person's membership, and nothing without it.
 * C2: work that goes on without a request outlives a session that was left (signed out, expired, replaced), and no
 *     session that was taken away (`revoked`), and no token.
 */
import {
  scopes as allScopes,
  CallboardError,
  fromUuid,
  type GroupId,
  type OrganizationId,
  type Role,
  type Scope,
  toUuid,
} from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { Caller, CredentialId } from "./caller.ts";

const token = `
  select organization_id, id, kind, user_id, null::text as method, scopes, may_attribute, requests_per_minute,
         secret_version, previous_until, expires_at, revoked_at as ended_at, revoked_at is not null as revoked from tokens`;
const previous = `
  select organization_id, id, kind, user_id, null::text as method, scopes, may_attribute, requests_per_minute,
         secret_version - 1 as secret_version, previous_until, least(expires_at, previous_until) as expires_at,
         revoked_at as ended_at, revoked_at is not null as revoked from tokens`;
const session = `
  select organization_id, id, 'session' as kind, user_id, method, null::text[] as scopes, false as may_attribute,
         null::integer as requests_per_minute, null::integer as secret_version, null::timestamptz as previous_until,
         least(expires_at, last_used_at + make_interval(mins => idle_minutes)) as expires_at, ended_at, revoked from sessions`;
const withRights = (credential: string) => `
  select c.*, o.access_epoch, o.members_edit_agents, o.raw_runs,
         o.requests_per_minute as organization_requests_per_minute, o.runs_at_once, m.role, m.suspended, m.password_sign_in, u.email,
         (select json_agg(json_build_object('id', g.id, 'slug', g.slug) order by g.slug)
            from group_members gm join groups g on g.organization_id = gm.organization_id and g.id = gm.group_id
           where gm.organization_id = c.organization_id and gm.user_id = c.user_id) as groups,
         array(select agent_id from token_agents ta
                where ta.organization_id = c.organization_id and ta.token_id = c.id)::text[] as agent_ids
    from (${credential}) c
    join organizations o on o.id = c.organization_id
    left join memberships m on m.organization_id = c.organization_id and m.user_id = c.user_id
    left join users u on u.id = c.user_id`;

// Served by tokens_hash, tokens_previous, sessions_hash and the primary keys.
const tokenByHash = statement("access.by-hash", withRights(`${token} where hash = $1`));
const tokenByPrevious = statement(
  "access.by-previous-hash",
  withRights(`${previous} where previous_hash = $1 and previous_until > now()`),
);
const sessionByHash = statement("access.session-by-hash", withRights(`${session} where hash = $1`));
const byId = statement(
  "access.by-id",
  withRights(
    `${token} where organization_id = $1 and id = $2 union all ${session} where organization_id = $1 and id = $2`,
  ),
);

export type CredentialRow = {
  organization_id: string;
  id: string;
  kind: "personal" | "service" | "session";
  user_id: string | null;
  method: "password" | "sso" | null;
  scopes: Scope[] | null;
  may_attribute: boolean;
  secret_version: number | null;
  previous_until: string | null;
  expires_at: string | null;
  ended_at: string | null;
  revoked: boolean;
  access_epoch: number;
  members_edit_agents: boolean;
  raw_runs: boolean;
  requests_per_minute: number | null;
  organization_requests_per_minute: number | null;
  runs_at_once: number | null;
  role: Role | null;
  suspended: boolean | null;
  password_sign_in: boolean | null;
  email: string | null;
  groups: Array<{ id: string; slug: string }> | null;
  agent_ids: string[];
};

/** The token of a secret, also of the one before the last rotation while that still counts. */
export async function findToken(sql: Sql, hash: string): Promise<CredentialRow | undefined> {
  const bytes = Buffer.from(hash, "base64");
  // Nearly every secret is the newest one: the other question is asked only where that one found nothing.
  return (await sql.row<CredentialRow>(tokenByHash, [bytes])) ?? sql.row<CredentialRow>(tokenByPrevious, [bytes]);
}

export const findSession = (sql: Sql, hash: string): Promise<CredentialRow | undefined> =>
  sql.row<CredentialRow>(sessionByHash, [Buffer.from(hash, "base64")]);

export const findCredential = (
  sql: Sql,
  organizationId: OrganizationId,
  id: CredentialId,
): Promise<CredentialRow | undefined> => sql.row<CredentialRow>(byId, [toUuid(organizationId), toUuid(id)]);

export const unauthenticated = (message: string) => new CallboardError("unauthenticated", message);

/** A token that was one and is no more, for the audit log. */
export type EndedToken = Pick<Caller, "organizationId" | "tokenId" | "kind" | "userId"> & {
  readonly reason: "revoked" | "expired" | "suspended" | "removed";
};

/** `unauthenticated` for a token that the server knows. */
export class RefusedToken extends CallboardError {
  readonly token: EndedToken;

  constructor(token: EndedToken, message: string) {
    super("unauthenticated", message);
    this.token = token;
  }
}

/** A cookie that has ended is everyday; a token that has is worth a line in the audit log. */
function refusalOf(row: CredentialRow): CallboardError {
  const what = row.kind === "session" ? "session" : "token";
  const message = row.revoked ? `the ${what} was revoked` : `the ${what}'s user is not an active member`;
  if (row.kind === "session") return unauthenticated(message);
  const inactive = row.role === null ? "removed" : "suspended";
  const token: EndedToken = {
    organizationId: fromUuid("organization", row.organization_id),
    tokenId: fromUuid("token", row.id),
    kind: row.kind === "service" ? "service" : "user",
    userId: row.user_id === null ? null : fromUuid("user", row.user_id),
    reason: row.revoked ? "revoked" : inactive,
  };
  return new RefusedToken(token, message);
}

/** What the caller of a row is asked for. */
export type Asked = {
  /** Work without a request (C2). */
  readonly forWork?: boolean;
  /** The secret that was shown before, where one was. */
  readonly secretVersion?: number | undefined;
};

/** The caller of a row. Whether it has expired is its `expiresAtMs`. @throws unauthenticated, RefusedToken */
export function toCaller(row: CredentialRow | undefined, asked: Asked = {}): Caller {
  if (row === undefined) throw unauthenticated("the token is not known");
  const isService = row.kind === "service";
  const isActive = isService || (row.role !== null && row.suspended === false);
  if (row.revoked || !isActive) throw refusalOf(row);
  const rotated = asked.secretVersion === undefined ? 0 : (row.secret_version ?? 0) - asked.secretVersion;
  const expiresAtMs = toMs(row.expires_at);
  const shared = {
    organizationId: fromUuid("organization", row.organization_id),
    userId: row.user_id === null ? null : fromUuid("user", row.user_id),
    email: row.email,
    role: row.role,
    groups: (row.groups ?? []).map(({ id, slug }) => ({ id: fromUuid("group", id) as GroupId, slug })),
    agentIds: isService ? new Set(row.agent_ids.map((id) => fromUuid("agent", id))) : null,
    mayAttribute: row.may_attribute,
    membersEditAgents: row.members_edit_agents,
    rawRuns: row.raw_runs,
    limits: {
      requestsPerMinute: row.requests_per_minute,
      organizationRequestsPerMinute: row.organization_requests_per_minute,
      runsAtOnce: row.runs_at_once,
    },
    epoch: row.access_epoch,
  };
  if (row.kind === "session") return toSession(row, shared, asked.forWork === true);
  if (rotated > 1 || (rotated === 1 && row.previous_until === null)) {
    throw unauthenticated("the token's secret was replaced");
  }
  return {
    ...shared,
    kind: isService ? "service" : "user",
    tokenId: fromUuid("token", row.id),
    scopes: new Set(row.scopes),
    expiresAtMs: rotated === 0 ? expiresAtMs : Math.min(expiresAtMs ?? Infinity, toMs(row.previous_until) as number),
    ...(row.secret_version === null ? {} : { secretVersion: row.secret_version - rotated }),
  };
}

type Shared = Pick<
  Caller,
  | "organizationId"
  | "userId"
  | "email"
  | "role"
  | "groups"
  | "agentIds"
  | "mayAttribute"
  | "membersEditAgents"
  | "rawRuns"
  | "limits"
  | "epoch"
>;

function toSession(row: CredentialRow, shared: Shared, forWork: boolean): Caller {
  if (row.ended_at !== null && !forWork) throw unauthenticated("the session has ended");
  const method = row.method ?? "password";
  if (method === "password" && row.password_sign_in !== true) {
    throw unauthenticated("the organization does not take the password of the session's user");
  }
  const id = fromUuid("session", row.id);
  return {
    ...shared,
    kind: "user",
    tokenId: id,
    session: { id, method },
    scopes: new Set(allScopes),
    expiresAtMs: forWork ? null : toMs(row.expires_at),
  };
}

const toMs = (at: string | null): number | null => (at === null ? null : Date.parse(at));
