/**
 * Sessions: what a browser holds after somebody has signed in.
 *
 *   open ──▶ ended (signed out, replaced, expired)
 *     └────▶ revoked (ended elsewhere, password changed, suspended)
 *
 * S1: an ended session never opens again; its secret is never taken again.
 * S2: ending is a change of access: no write under it commits after it, and its streams close.
 * S3: a session is worth one organization. By single sign-on it never leaves it, and sees no sessions elsewhere.
 */
import {
  CallboardError,
  fromUuid,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  type Session,
  type SessionId,
  type SsoConnectionId,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { decodeCursor, LAST_UUID, type Sql, statement, type Transaction, toPage } from "../storage/index.ts";
import { audit } from "./audit.ts";
import type { Caller } from "./caller.ts";
import { findCredential, toCaller } from "./credentials.ts";
import { type AccessWakes, accessChanged } from "./epoch.ts";
import { newSecret, secretDigest } from "./secret.ts";

type Send = Pick<AccessWakes, "send">;

/** How long sessions live, in minutes. */
export type SessionRules = {
  /** Without use. */
  readonly idleMinutes: number;
  readonly maxMinutes: number;
};

/** What is known of the other end; shown to the session's owner. */
export type Client = { readonly userAgent: string | null; readonly address: string | null };

export type NewSession = {
  readonly organizationId: OrganizationId;
  readonly userId: UserId;
  readonly method: "password" | "sso";
  readonly ssoConnectionId: SsoConnectionId | null;
  readonly client: Client;
  /** Milliseconds since 1970 at which it ends in any case. */
  readonly expiresAtMs: number;
  readonly idleMinutes: number;
};

const insert = statement(
  "sessions.insert",
  `insert into sessions (organization_id, id, user_id, method, sso_connection_id, hash, user_agent, address, idle_minutes, expires_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
);
const columns = `s.organization_id, s.id, s.user_id, s.method, s.sso_connection_id, s.user_agent, s.address, s.created_at,
  s.last_used_at, s.expires_at, s.idle_minutes`;
const open =
  "s.ended_at is null and s.expires_at > now() and s.last_used_at + make_interval(mins => s.idle_minutes) > now()";
const get = statement("sessions.get", `select ${columns} from sessions s where s.organization_id = $1 and s.id = $2`);
/** S3: the person's sessions that a session of organization $2 may see; $3 is whether that one came by password. */
const mine = "s.user_id = $1 and (s.organization_id = $2 or ($3 and s.method = 'password'))";
const list = statement(
  "sessions.list",
  `select ${columns} from sessions s where ${mine} and ${open} and s.id < $4 order by s.id desc limit $5`, // sessions_user
);
const endOne = statement(
  "sessions.end",
  `update sessions s set ended_at = now(), revoked = $4
    where s.organization_id = $1 and s.id = $2 and s.user_id = $3 and s.ended_at is null`,
);
const endOneOfMine = statement(
  "sessions.end-one",
  `update sessions s set ended_at = now(), revoked = true where ${mine} and ${open} and s.id = $4 returning s.organization_id`,
);
// `revoked` also for those that were left before: sign-out everywhere stops what they began.
const endMine = statement(
  "sessions.end-all",
  `update sessions s set ended_at = coalesce(s.ended_at, now()), revoked = true
    where ${mine} and not s.revoked returning s.organization_id`,
);
const endOfPassword = statement(
  "sessions.end-of-password",
  `update sessions s set ended_at = coalesce(s.ended_at, now()), revoked = true
    where s.user_id = $1 and s.method = 'password' and not s.revoked and s.id <> all($2::uuid[])
   returning s.organization_id`,
);
const endOfMember = statement(
  "sessions.end-of-member",
  `update sessions s set ended_at = coalesce(s.ended_at, now()), revoked = true
    where s.organization_id = $1 and s.user_id = $2 and not s.revoked`,
);
const endOfConnection = statement(
  "sessions.end-of-connection",
  `update sessions s set ended_at = coalesce(s.ended_at, now()), revoked = true
    where s.organization_id = $1 and s.sso_connection_id = $2 and not s.revoked`,
);
// Runs that wait for a person for weeks may have been begun with a session.
const sweep = statement("sessions.sweep", "delete from sessions where expires_at < now() - interval '90 days'");

type Row = Omit<Session, "id" | "user_id" | "organization_id" | "current"> & {
  id: string;
  user_id: string;
  organization_id: string;
  sso_connection_id: string | null;
  idle_minutes: number;
};

function toSession(row: Row, current: SessionId | undefined): Session {
  const { sso_connection_id: _, idle_minutes: __, ...shown } = row;
  const id = fromUuid("session", row.id);
  return {
    ...shown,
    id,
    user_id: fromUuid("user", row.user_id),
    organization_id: fromUuid("organization", row.organization_id),
    current: id === current,
  };
}

export type OpenedSession = { readonly id: SessionId; readonly secret: string; readonly expiresAtMs: number };

/** Opens a session for somebody who has proved who he is; the asking is done. */
export async function openSession(tx: Transaction, plan: NewSession): Promise<OpenedSession> {
  const id = newId("session");
  const secret = newSecret("session");
  await tx.run(insert, [
    toUuid(plan.organizationId),
    toUuid(id),
    toUuid(plan.userId),
    plan.method,
    plan.ssoConnectionId === null ? null : toUuid(plan.ssoConnectionId),
    secretDigest(secret),
    plan.client.userAgent,
    plan.client.address,
    plan.idleMinutes,
    new Date(plan.expiresAtMs).toISOString(),
  ]);
  return { id, secret, expiresAtMs: plan.expiresAtMs };
}

/** The session that a caller came with. */
type WithSession = Caller & { readonly session: NonNullable<Caller["session"]>; readonly userId: UserId };

/** @throws forbidden for a token */
export function requireSession(caller: Caller): WithSession {
  if (caller.session !== undefined && caller.userId !== null) return caller as WithSession;
  throw new CallboardError("forbidden", "this is for somebody who has signed in; a token has no session");
}

export async function currentSession(sql: Sql, caller: Caller): Promise<Session> {
  return toSession(await ownRow(sql, requireSession(caller)), caller.session?.id);
}

async function ownRow(sql: Sql, { organizationId, session }: WithSession): Promise<Row> {
  const row = await sql.row<Row>(get, [toUuid(organizationId), toUuid(session.id)]);
  if (row === undefined) throw new CallboardError("unauthenticated", "the session has ended");
  return row;
}

const whose = (caller: WithSession): unknown[] => [
  toUuid(caller.userId),
  toUuid(caller.organizationId),
  caller.session.method === "password",
];

/** One's own open sessions, newest first (S3). @throws invalid_request for a wrong cursor */
export async function listSessions(
  sql: Sql,
  stranger: Caller,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: Session[]; next_cursor: string | null }> {
  const caller = requireSession(stranger);
  const before = decodeCursor(page.cursor, "uuid") ?? LAST_UUID;
  const rows = await sql.rows<Row>(list, [...whose(caller), before, page.limit + 1]);
  return toPage(
    rows,
    page.limit,
    (row) => row.id,
    (row) => toSession(row, caller.session.id),
  );
}

/**
 * Puts a new session in the place of the caller's: another secret, perhaps another organization. It ends when the old
 * one would have.
 *
 * @throws unauthenticated when the old one has ended meanwhile, or the right to it: of two that replace it at once one
 *   wins
 */
export async function replaceSession(
  tx: Transaction,
  wakes: Send,
  stranger: Caller,
  organizationId: OrganizationId,
  client: Client,
): Promise<OpenedSession> {
  const caller = requireSession(stranger);
  await accessChanged(tx, wakes, caller.organizationId); // the caller stays from here on what it is
  toCaller(await findCredential(tx, caller.organizationId, caller.session.id));
  const row = await ownRow(tx, caller);
  await endSession(tx, wakes, caller, false);
  return openSession(tx, {
    organizationId,
    userId: caller.userId,
    method: row.method,
    ssoConnectionId: row.sso_connection_id === null ? null : fromUuid("ssoConnection", row.sso_connection_id),
    client,
    expiresAtMs: Date.parse(row.expires_at),
    idleMinutes: row.idle_minutes,
  });
}

/** Ends the caller's own session. @returns whether it was this call that did */
async function endSession(tx: Transaction, wakes: Send, caller: Caller, revoked: boolean): Promise<boolean> {
  const { organizationId, userId, session } = requireSession(caller);
  await accessChanged(tx, wakes, organizationId);
  return (await tx.run(endOne, [toUuid(organizationId), toUuid(session.id), toUuid(userId), revoked])) > 0;
}

/** Signs out. */
export async function signOut(tx: Transaction, wakes: Send, caller: Caller, requestId: RequestId): Promise<void> {
  if (!(await endSession(tx, wakes, caller, false))) return;
  const target = requireSession(caller).session.id;
  await audit(tx, { actor: { caller }, action: "session.sign_out", target, outcome: "done", requestId });
}

/** Ends one of one's own sessions (S3). @throws not_found */
export async function revokeSession(
  tx: Transaction,
  wakes: Send,
  stranger: Caller,
  sessionId: string,
  requestId: RequestId,
): Promise<void> {
  const caller = requireSession(stranger);
  const id = parseId("session", sessionId);
  const ended = id && (await tx.rows<{ organization_id: string }>(endOneOfMine, [...whose(caller), toUuid(id)]));
  if (ended === undefined || ended.length === 0) {
    throw new CallboardError("not_found", "there is no such session of this caller");
  }
  await tellAll(tx, wakes, ended);
  await audit(tx, { actor: { caller }, action: "session.revoke", target: id as string, outcome: "done", requestId });
}

/** Signs out everywhere (S3). */
export async function revokeSessions(
  tx: Transaction,
  wakes: Send,
  stranger: Caller,
  requestId: RequestId,
): Promise<void> {
  const caller = requireSession(stranger);
  const ended = await tx.rows<{ organization_id: string }>(endMine, whose(caller));
  await tellAll(tx, wakes, ended);
  const details = { sessions: ended.length };
  await audit(tx, {
    actor: { caller },
    action: "session.revoke_all",
    target: null,
    outcome: "done",
    details,
    requestId,
  });
}

/** Ends what a password opened, in all organizations: it is another one now. @param keep sessions that are left alone */
export async function revokeOfPassword(
  tx: Transaction,
  wakes: Send,
  userId: UserId,
  keep: readonly SessionId[],
): Promise<void> {
  await tellAll(tx, wakes, await tx.rows(endOfPassword, [toUuid(userId), keep.map(toUuid)]));
}

/** Ends a member's sessions in the organization; the caller of this tells of the change. */
export async function revokeOfMember(tx: Transaction, organizationId: OrganizationId, userId: UserId): Promise<void> {
  await tx.run(endOfMember, [toUuid(organizationId), toUuid(userId)]);
}

/** Ends the sessions that came by a connection; the caller of this tells of the change. */
export async function revokeOfConnection(
  tx: Transaction,
  organizationId: OrganizationId,
  connectionId: SsoConnectionId,
): Promise<void> {
  await tx.run(endOfConnection, [toUuid(organizationId), toUuid(connectionId)]);
}

/** Always in the same order, so that two of these do not wait for each other. */
async function tellAll(tx: Transaction, wakes: Send, ended: ReadonlyArray<{ organization_id: string }>): Promise<void> {
  for (const uuid of [...new Set(ended.map((row) => row.organization_id))].sort()) {
    await accessChanged(tx, wakes, fromUuid("organization", uuid));
  }
}

/** Forgets sessions long over. @returns how many */
export const sweepSessions = (sql: Sql): Promise<number> => sql.run(sweep);
