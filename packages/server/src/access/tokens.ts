/**
 * Tokens: made, listed, changed, rotated, revoked. A secret leaves in the answer that makes it; the database has its hash.
 *
 * T1: a token never gains scopes; whoever gets to see its secret has all of them already.
 * T2: a personal token's secret is seen by its person alone, whoever else may manage it.
 */
import {
  type AgentId,
  scopes as allScopes,
  CallboardError,
  type CreatedToken,
  type CreateToken,
  fromUuid,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  type Role,
  type RotateToken,
  type Scope,
  type Token,
  type TokenId,
  toUuid,
  type UpdateToken,
  type UserId,
} from "@callboard/protocol";
import { decodeCursor, LAST_UUID, type Sql, statement, type Transaction, toPage } from "../storage/index.ts";
import { type Actor, audit } from "./audit.ts";
import type { Caller } from "./caller.ts";
import { isAdmin } from "./decide.ts";
import { type AccessWakes, accessChanged } from "./epoch.ts";
import type { Grant } from "./grant.ts";
import { requireOutranks, usualScopes } from "./roles.ts";
import { newSecret, secretDigest, shownPrefix, type TokenKind } from "./secret.ts";
import { invalidRequest, requireStorable } from "./storable.ts";

const DAY_MS = 86_400_000;
/** Of a token for which no time was asked. */
const USUAL_DAYS = 90;
/** What a token may do when its maker names no scopes. */
export const defaultScopes: Record<TokenKind, readonly Scope[]> = {
  personal: usualScopes,
  service: ["agents:read", "threads:read", "threads:write"],
};

const insert = statement(
  "tokens.insert",
  `insert into tokens (organization_id, id, kind, user_id, label, prefix, hash, scopes, may_attribute, created_by, expires_at,
     requests_per_minute)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
);
const insertAgents = statement(
  "tokens.insert-agents",
  `insert into token_agents (organization_id, token_id, agent_id)
   select a.organization_id, $2, a.id from agents a where a.organization_id = $1 and a.id = any($3::uuid[])`,
);
const columns = `t.id, t.kind, t.label, t.user_id, t.prefix, t.scopes, t.may_attribute, t.requests_per_minute,
  t.created_at, t.expires_at, t.last_used_at, t.rotated_at, t.revoked_at,
  case when t.previous_until > now() then t.previous_until end as previous_secret_until,
  t.expires_at <= now() as expired,
  array(select agent_id from token_agents ta
         where ta.organization_id = t.organization_id and ta.token_id = t.id order by agent_id)::text[] as agent_ids`;
const get = statement(
  "tokens.get",
  `select ${columns}, m.role from tokens t
     left join memberships m on m.organization_id = t.organization_id and m.user_id = t.user_id
    where t.organization_id = $1 and t.id = $2`,
);
// Served by the primary key, and by tokens_user.
const listAll = statement(
  "tokens.list-all",
  `select ${columns} from tokens t where t.organization_id = $1 and t.id < $2 order by t.id desc limit $3`,
);
const listOfUser = statement(
  "tokens.list-of-user",
  `select ${columns} from tokens t
    where t.organization_id = $1 and t.user_id = $4 and t.id < $2 order by t.id desc limit $3`,
);
const revoke = statement(
  "tokens.revoke",
  "update tokens set revoked_at = now() where organization_id = $1 and id = $2 and revoked_at is null",
);

const change = statement(
  "tokens.update",
  "update tokens set label = $3, scopes = $4, may_attribute = $5 where organization_id = $1 and id = $2",
);
const removeAgents = statement(
  "tokens.remove-agents",
  "delete from token_agents where organization_id = $1 and token_id = $2",
);
// Without days of its own a token lives on for as long as it was given at first; null days mean for ever.
const rotate = statement(
  "tokens.rotate",
  `update tokens
      set hash = $3, prefix = $4, secret_version = secret_version + 1,
          previous_hash = case when $5::integer > 0 then hash end,
          previous_until = case when $5::integer > 0 then now() + make_interval(secs => $5) end,
          expires_at = case when $6 then now() + make_interval(days => $7)
                            else now() + (expires_at - coalesce(rotated_at, created_at)) end,
          rotated_at = now()
    where organization_id = $1 and id = $2`,
);

type Row = {
  id: string;
  kind: TokenKind;
  label: string;
  user_id: string | null;
  prefix: string;
  scopes: Scope[];
  agent_ids: string[];
  may_attribute: boolean;
  requests_per_minute: number | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  rotated_at: string | null;
  previous_secret_until: string | null;
  revoked_at: string | null;
  expired: boolean | null;
};

const toToken = (row: Row): Token => ({
  id: fromUuid("token", row.id),
  kind: row.kind,
  label: row.label,
  user_id: row.user_id === null ? null : fromUuid("user", row.user_id),
  prefix: row.prefix,
  scopes: allScopes.filter((scope) => row.scopes.includes(scope)),
  agent_ids: row.agent_ids.map((id) => fromUuid("agent", id)),
  may_attribute: row.may_attribute,
  requests_per_minute: row.requests_per_minute,
  created_at: row.created_at,
  expires_at: row.expires_at,
  last_used_at: row.last_used_at,
  rotated_at: row.rotated_at,
  previous_secret_until: row.previous_secret_until,
  revoked_at: row.revoked_at,
});

/** A token as it shall be; for a personal one `userId` is whom it acts as. */
export type TokenPlan = {
  readonly organizationId: OrganizationId;
  readonly kind: TokenKind;
  readonly label: string;
  readonly userId: UserId | null;
  readonly scopes: readonly Scope[];
  readonly agentIds: readonly AgentId[];
  readonly mayAttribute: boolean;
  readonly createdBy: UserId | null;
  /** Requests a minute; absent for the server's default. */
  readonly requestsPerMinute?: number | null;
  /** Null for never. */
  readonly expiresAtMs: number | null;
};

/**
 * Stores a token without asking anybody: for `createToken`, which has asked, and for an operator.
 *
 * @throws not_found when an agent is not in the organization
 */
export async function issueToken(
  tx: Transaction,
  plan: TokenPlan,
  actor: Actor,
  requestId: RequestId | null,
): Promise<CreatedToken> {
  const id = newId("token");
  const secret = newSecret(plan.kind);
  const key = [toUuid(plan.organizationId), toUuid(id)];
  await tx.run(insert, [
    ...key,
    plan.kind,
    plan.userId === null ? null : toUuid(plan.userId),
    plan.label,
    shownPrefix(secret),
    secretDigest(secret),
    plan.scopes,
    plan.mayAttribute,
    plan.createdBy === null ? null : toUuid(plan.createdBy),
    plan.expiresAtMs === null ? null : new Date(plan.expiresAtMs).toISOString(),
    plan.requestsPerMinute ?? null,
  ]);
  const agents = await addAgents(tx, key, plan.agentIds);
  await audit(tx, {
    actor,
    action: "token.create",
    target: id,
    outcome: "done",
    details: { kind: plan.kind, label: plan.label, scopes: [...plan.scopes], agent_ids: agents },
    requestId,
  });
  const row = (await tx.row<Row>(get, key)) as Row; // inserted above
  return { token: toToken(row), secret };
}

/** Lists agents with a service token. @throws not_found when one is not in the organization */
async function addAgents(tx: Transaction, key: string[], agentIds: readonly AgentId[]): Promise<AgentId[]> {
  const agents = [...new Set(agentIds)];
  const found = agents.length === 0 ? 0 : await tx.run(insertAgents, [...key, agents.map(toUuid)]);
  if (found === agents.length) return agents;
  throw new CallboardError("not_found", "agent_ids: there is no such agent for this caller");
}

/**
 * Makes a token: a personal one for the caller itself, or, by an owner or admin, a service token.
 *
 * @throws forbidden, invalid_request, not_found
 */
export async function createToken(
  tx: Transaction,
  { caller }: Grant<"tokens.manage">,
  body: CreateToken,
  requestId: RequestId,
  nowMs: number = Date.now(),
): Promise<CreatedToken> {
  requireStorable(body);
  const isService = body.kind === "service";
  if (caller.userId === null) throw new CallboardError("forbidden", "a service token makes no tokens");
  if (isService && !isAdmin(caller)) {
    throw new CallboardError("forbidden", "only owners and admins may create service tokens");
  }
  if (!isService) refuseServiceFields(body);
  return issueToken(
    tx,
    {
      organizationId: caller.organizationId,
      kind: body.kind,
      label: body.label,
      userId: isService ? null : caller.userId,
      scopes: decideScopes(caller, body),
      agentIds: body.agent_ids ?? [],
      mayAttribute: body.may_attribute ?? false,
      requestsPerMinute: body.requests_per_minute ?? null,
      createdBy: caller.userId,
      expiresAtMs: decideEnd(caller, body, nowMs),
    },
    { caller },
    requestId,
  );
}

function refuseServiceFields(body: Pick<UpdateToken, "agent_ids" | "may_attribute">): void {
  const message = "expected only with kind service: a personal token acts as its user";
  const fields = (["agent_ids", "may_attribute"] as const)
    .filter((path) => body[path] !== undefined)
    .map((path) => ({ path, message }));
  if (fields.length > 0) throw invalidRequest(fields);
}

/** What was asked for, or the usual scopes as far as the maker has them. */
function decideScopes(caller: Caller, body: CreateToken): Scope[] {
  if (body.scopes === undefined) return defaultScopes[body.kind].filter((scope) => caller.scopes.has(scope));
  refuseBeyond(caller, body.scopes);
  return [...new Set(body.scopes)];
}

/** What was asked for, or the usual time as far as the maker has it: a token makes none that outlives it. */
function decideEnd(caller: Caller, { expires_in_days: days }: CreateToken, nowMs: number): number | null {
  const asked = days === null ? null : nowMs + (days ?? USUAL_DAYS) * DAY_MS;
  // A person who has signed in proves who he is again and again; a token is as good as whoever holds it.
  const end = caller.session === undefined ? caller.expiresAtMs : null;
  if (end === null || (asked !== null && asked <= end)) return asked;
  if (days === undefined) return end;
  throw outlives(end);
}

const outlives = (end: number) =>
  new CallboardError(
    "forbidden",
    `a token gives no more time than it has: this one ends at ${new Date(end).toISOString()}; sign in to make one that outlives it`,
  );

function refuseBeyond(caller: Caller, scopes: readonly Scope[]): void {
  const beyond = scopes.filter((scope) => !caller.scopes.has(scope));
  if (beyond.length === 0) return;
  throw new CallboardError("forbidden", `a token gives no more than it has: this one lacks ${beyond.join(", ")}`);
}

/** Newest first: one's own, for owners and admins all; a service token sees itself. @throws invalid_request */
export async function listTokens(
  sql: Sql,
  { caller }: Grant<"tokens.manage">,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: Token[]; next_cursor: string | null }> {
  const before = decodeCursor(page.cursor, "uuid") ?? LAST_UUID;
  const organization = toUuid(caller.organizationId);
  if (caller.userId === null) {
    const own = await sql.rows<Row>(get, [organization, toUuid(caller.tokenId)]);
    return { data: own.map(toToken), next_cursor: null };
  }
  const range = [organization, before, page.limit + 1];
  const rows = isAdmin(caller)
    ? await sql.rows<Row>(listAll, range)
    : await sql.rows<Row>(listOfUser, [...range, toUuid(caller.userId)]);
  return toPage(rows, page.limit, (row) => row.id, toToken);
}

type Found = { readonly key: string[]; readonly token: Token; readonly isOwn: boolean; readonly ended: boolean };

/** The token, if the caller may manage it. @throws not_found for one it may not see, forbidden */
async function find(tx: Transaction, caller: Caller, tokenId: string): Promise<Found> {
  const id = parseId("token", tokenId);
  const key = id && [toUuid(caller.organizationId), toUuid(id)];
  const row = key && (await tx.row<Row & { role: Role | null }>(get, key));
  const notFound = () => new CallboardError("not_found", "there is no such token for this caller");
  if (key === undefined || row === undefined) throw notFound();
  const token = toToken(row);
  const isOwn = token.id === caller.tokenId || (token.user_id !== null && token.user_id === caller.userId);
  if (!isOwn && !isAdmin(caller)) throw notFound();
  if (!isOwn && row.role !== null) requireOutranks(caller.role, row.role);
  return { key, token, isOwn, ended: token.revoked_at !== null || row.expired === true };
}

const read = async (tx: Transaction, key: string[]): Promise<Token> => toToken((await tx.row<Row>(get, key)) as Row);

function refuseEnded({ token, ended }: Found): void {
  if (ended) throw new CallboardError("token_ended", `token ${token.id} was revoked or has expired; make a new one`);
}

/**
 * Ends a token at once. Repeating it succeeds.
 *
 * @throws not_found for a token the caller may not see, forbidden for one of somebody the caller may not manage
 */
export async function revokeToken(
  tx: Transaction,
  wakes: Pick<AccessWakes, "send">,
  { caller }: Grant<"tokens.manage">,
  tokenId: string,
  requestId: RequestId,
): Promise<Token> {
  const { key, token } = await find(tx, caller, tokenId);
  if ((await tx.run(revoke, key)) > 0) {
    await accessChanged(tx, wakes, caller.organizationId);
    await audit(tx, { actor: { caller }, action: "token.revoke", target: token.id, outcome: "done", requestId });
  }
  return read(tx, key);
}

/**
 * Renames a token, takes scopes away, or, by an owner or admin, changes a service token's agents and attribution.
 *
 * @throws not_found, forbidden, invalid_request, token_ended
 */
export async function updateToken(
  tx: Transaction,
  wakes: Pick<AccessWakes, "send">,
  { caller }: Grant<"tokens.manage">,
  tokenId: string,
  body: UpdateToken,
  requestId: RequestId,
): Promise<Token> {
  requireStorable(body);
  await accessChanged(tx, wakes, caller.organizationId);
  const found = await find(tx, caller, tokenId);
  const { key, token } = found;
  refuseEnded(found);
  if (token.kind === "personal") refuseServiceFields(body);
  else if (!isAdmin(caller) && (body.agent_ids !== undefined || body.may_attribute !== undefined)) {
    throw new CallboardError("forbidden", "only owners and admins decide what a service token may do");
  }
  const gained = (body.scopes ?? []).filter((scope) => !token.scopes.includes(scope));
  if (gained.length > 0) {
    throw new CallboardError("forbidden", `a token gains no scopes: this one lacks ${gained.join(", ")}`);
  }
  const scopes = body.scopes ?? token.scopes;
  await tx.run(change, [...key, body.label ?? token.label, scopes, body.may_attribute ?? token.may_attribute]);
  if (body.agent_ids !== undefined) {
    await tx.run(removeAgents, key);
    await addAgents(tx, key, body.agent_ids);
  }
  const details = JSON.parse(JSON.stringify(body));
  await audit(tx, { actor: { caller }, action: "token.update", target: token.id, outcome: "done", details, requestId });
  return read(tx, key);
}

/**
 * Gives a token a new secret. The old one goes on for `overlap_seconds`; what it has opened ends with it.
 *
 * @throws not_found, token_ended; forbidden for another person's token and for scopes beyond the caller's
 */
export async function rotateToken(
  tx: Transaction,
  wakes: Pick<AccessWakes, "send">,
  { caller }: Grant<"tokens.manage">,
  tokenId: string,
  body: RotateToken,
  requestId: RequestId,
): Promise<CreatedToken> {
  await accessChanged(tx, wakes, caller.organizationId);
  const found = await find(tx, caller, tokenId);
  const { key, token, isOwn } = found;
  refuseEnded(found);
  if (token.kind === "personal" && !isOwn) {
    throw new CallboardError("forbidden", "a personal token is rotated by its own user; it can be revoked instead");
  }
  refuseBeyond(caller, token.scopes);
  const secret = newSecret(token.kind);
  const days = body.expires_in_days;
  if (days !== undefined) refuseLonger(caller, token, days);
  await tx.run(rotate, [
    ...key,
    secretDigest(secret),
    shownPrefix(secret),
    body.overlap_seconds,
    days !== undefined,
    days ?? null,
  ]);
  const details = { overlap_seconds: body.overlap_seconds };
  await audit(tx, { actor: { caller }, action: "token.rotate", target: token.id, outcome: "done", details, requestId });
  return { token: await read(tx, key), secret };
}

/** A token renews others, and itself, for no longer than they were given or than it has itself. @throws forbidden */
function refuseLonger(caller: Caller, token: Token, days: number | null): void {
  const end = caller.session === undefined ? caller.expiresAtMs : null;
  if (end === null || token.expires_at === null) return;
  const givenMs = Date.parse(token.expires_at) - Date.parse(token.rotated_at ?? token.created_at);
  const longest = Math.max(end, Date.now() + givenMs);
  if (days === null || Date.now() + days * DAY_MS > longest) throw outlives(end);
}

const known = statement("tokens.known", "select 1 as yes from tokens where organization_id = $1 and id = $2");
/** Whether the organization has a token with that id. */
export async function hasToken(sql: Sql, organizationId: OrganizationId, id: TokenId): Promise<boolean> {
  return (await sql.row(known, [toUuid(organizationId), toUuid(id)])) !== undefined;
}
