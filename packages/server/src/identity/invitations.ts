/**
 * Invitations: an address, a role and groups, and a link that makes its holder a member once.
 *
 *   open ──▶ accepted      open | expired ──resend──▶ open, with another link
 *     ├────▶ revoked
 *     └────▶ expired (by time)
 *
 * V1: one of those who accept at once wins.
 * V2: a link never changes a password that is there: somebody with one proves it (accounts A1).
 * V3: an invitation is worth its maker's rank of now, like the link of an admin.
 */
import {
  type AcceptInvitation,
  CallboardError,
  type CreatedInvitation,
  type CreateInvitation,
  fromUuid,
  type Invitation,
  type InvitationPreview,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  type Role,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import {
  accessChanged,
  audit,
  type Grant,
  isSecret,
  newSecret,
  type OpenedSession,
  openSession,
  outranks,
  requireGroups,
  requireOutranks,
  requireStorable,
  requireToRaise,
  secretDigest,
} from "../access/index.ts";
import {
  decodeCursor,
  isUniqueViolation,
  LAST_UUID,
  type Sql,
  statement,
  type Transaction,
  toPage,
} from "../storage/index.ts";
import { acceptPassword, findAccount, join, lockAccount, writePassword } from "./accounts.ts";
import { linkInvalid } from "./links.ts";
import { type Door, proveAccount, refused } from "./sign-in.ts";
import { attempt } from "./throttle.ts";
import { requireStrong } from "./weak.ts";
import { type IdentityWorld, lifetime } from "./world.ts";

const DAYS = 7;

const columns = `i.id, i.email, i.role, i.group_ids::text[] as group_ids, i.created_by, i.created_at, i.expires_at,
  i.accepted_at, i.accepted_by,
  case when i.accepted_at is not null then 'accepted' when i.revoked_at is not null then 'revoked'
       when i.expires_at <= now() then 'expired' else 'open' end as state`;
const insert = statement(
  "invitations.insert",
  `insert into invitations (organization_id, id, email, role, group_ids, hash, created_by, expires_at)
   values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(days => $8))`,
);
const get = statement(
  "invitations.get",
  `select ${columns} from invitations i where i.organization_id = $1 and i.id = $2`,
);
const lock = statement(
  "invitations.lock",
  "select 1 from invitations where organization_id = $1 and id = $2 for update",
);
// Served by the primary key.
const list = statement(
  "invitations.list",
  `select * from (select ${columns} from invitations i where i.organization_id = $1 and i.id < $2) i
    where ($4::text is null or i.state = $4) order by i.id desc limit $3`,
);
const revoke = statement(
  "invitations.revoke",
  "update invitations set revoked_at = now() where organization_id = $1 and id = $2 and revoked_at is null",
);
// An expired invitation makes room for a new one to the same address.
const closeExpired = statement(
  "invitations.close-expired",
  `update invitations set revoked_at = now()
    where organization_id = $1 and lower(email) = lower($2) and accepted_at is null and revoked_at is null
      and expires_at <= now()`,
);
const renew = statement(
  "invitations.renew",
  `update invitations set hash = $3, created_by = $4, expires_at = now() + make_interval(days => $5)
    where organization_id = $1 and id = $2`,
);
const isMember = statement(
  "invitations.is-member",
  `select 1 from memberships m join users u on u.id = m.user_id
    where m.organization_id = $1 and lower(u.email) = lower($2)`,
);
const openBy = (where: string) => `
  select i.organization_id, i.id, i.email, i.role, i.group_ids::text[] as group_ids, i.expires_at,
         maker.role as maker_role, coalesce(maker.name, u.name) as maker_name, o.name as organization_name
    from invitations i
    join organizations o on o.id = i.organization_id
    join users u on u.id = i.created_by
    left join memberships maker on maker.organization_id = i.organization_id and maker.user_id = i.created_by
                               and not maker.suspended
   where ${where} and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()`;
const openByHash = statement("invitations.open-by-hash", openBy("i.hash = $1"));
const openByEmail = statement(
  "invitations.open-by-email",
  openBy("i.organization_id = $1 and lower(i.email) = lower($2)"),
);
const take = statement(
  "invitations.take",
  `update invitations set accepted_at = now(), accepted_by = $3
    where organization_id = $1 and id = $2 and accepted_at is null and revoked_at is null and expires_at > now()`,
);

type Row = Omit<Invitation, "id" | "group_ids" | "created_by" | "accepted_by"> & {
  id: string;
  group_ids: string[];
  created_by: string;
  accepted_by: string | null;
};
const toInvitation = (row: Row): Invitation => ({
  ...row,
  id: fromUuid("invitation", row.id),
  group_ids: row.group_ids.map((id) => fromUuid("group", id)),
  created_by: fromUuid("user", row.created_by),
  accepted_by: row.accepted_by === null ? null : fromUuid("user", row.accepted_by),
});

async function read(sql: Sql, organizationId: OrganizationId, invitationId: string): Promise<Invitation> {
  const id = parseId("invitation", invitationId);
  const row = id && (await sql.row<Row>(get, [toUuid(organizationId), toUuid(id)]));
  if (row === undefined) throw new CallboardError("not_found", "there is no such invitation for this caller");
  return toInvitation(row);
}

/** @throws not_found */
export const getInvitation = (
  sql: Sql,
  { organizationId }: Grant<"members.manage">,
  invitationId: string,
): Promise<Invitation> => read(sql, organizationId, invitationId);

/** Newest first. @throws invalid_request for a wrong cursor */
export async function listInvitations(
  sql: Sql,
  { organizationId }: Grant<"members.manage">,
  query: { limit: number; cursor?: string | undefined; state?: Invitation["state"] | undefined },
): Promise<{ data: Invitation[]; next_cursor: string | null }> {
  const before = decodeCursor(query.cursor, "uuid") ?? LAST_UUID;
  const rows = await sql.rows<Row>(list, [toUuid(organizationId), before, query.limit + 1, query.state ?? null]);
  return toPage(rows, query.limit, (row) => row.id, toInvitation);
}

const urlOf = ({ publicUrl }: IdentityWorld, token: string): string => `${publicUrl()}/accept-invitation#${token}`;

/** @throws forbidden, not_found for a group, already_exists for a member and for somebody invited already */
export async function createInvitation(
  tx: Transaction,
  world: IdentityWorld,
  { caller, organizationId }: Grant<"members.manage">,
  body: CreateInvitation,
  requestId: RequestId,
): Promise<CreatedInvitation> {
  requireStorable(body);
  requireOutranks(caller.role, body.role);
  requireToRaise(caller, body.role);
  await requireGroups(tx, organizationId, "group_ids", body.group_ids);
  const organization = toUuid(organizationId);
  if ((await tx.row(isMember, [organization, body.email])) !== undefined) {
    throw new CallboardError("already_exists", `${body.email} is a member already`);
  }
  await tx.run(closeExpired, [organization, body.email]);
  const id = newId("invitation");
  const token = newSecret("invitation");
  const groups = [...new Set(body.group_ids)].map(toUuid);
  const values = [organization, toUuid(id), body.email, body.role, groups, secretDigest(token)];
  try {
    await tx.run(insert, [...values, toUuid(caller.userId as UserId), DAYS]); // only people manage members
  } catch (error) {
    if (!isUniqueViolation(error, "invitations_open")) throw error;
    throw new CallboardError("already_exists", `${body.email} is invited already; send that invitation again`);
  }
  const details = { role: body.role, group_ids: body.group_ids };
  await audit(tx, { actor: { caller }, action: "invitation.create", target: id, outcome: "done", details, requestId });
  return { invitation: await read(tx, organizationId, id), url: urlOf(world, token), token };
}

type Locked = { readonly invitation: Invitation; readonly key: [string, string] };

/** The invitation, held until the transaction ends, if the caller may manage it. @throws not_found, forbidden */
async function hold(tx: Transaction, { caller, organizationId }: Grant<"members.manage">, id: string): Promise<Locked> {
  const before = await read(tx, organizationId, id);
  const key: [string, string] = [toUuid(organizationId), toUuid(before.id)];
  await tx.row(lock, key);
  const invitation = await read(tx, organizationId, before.id);
  requireOutranks(caller.role, invitation.role);
  return { invitation, key };
}

function refuseClosed({ id, state }: Invitation, ...closed: ReadonlyArray<Invitation["state"]>): void {
  if (closed.includes(state)) throw new CallboardError("invitation_closed", `invitation ${id} is ${state}`);
}

/** A new link for another seven days; the old one ends. @throws not_found, forbidden, invitation_closed */
export async function resendInvitation(
  tx: Transaction,
  world: IdentityWorld,
  grant: Grant<"members.manage">,
  invitationId: string,
  requestId: RequestId,
): Promise<CreatedInvitation> {
  const { caller, organizationId } = grant;
  const { invitation, key } = await hold(tx, grant, invitationId);
  requireToRaise(caller, invitation.role);
  refuseClosed(invitation, "accepted", "revoked");
  const token = newSecret("invitation");
  await tx.run(renew, [...key, secretDigest(token), toUuid(caller.userId as UserId), DAYS]);
  const target = invitation.id;
  await audit(tx, { actor: { caller }, action: "invitation.resend", target, outcome: "done", requestId });
  return { invitation: await read(tx, organizationId, target), url: urlOf(world, token), token };
}

/** Repeating it succeeds. @throws not_found, forbidden, invitation_closed for an accepted one */
export async function revokeInvitation(
  tx: Transaction,
  grant: Grant<"members.manage">,
  invitationId: string,
  requestId: RequestId,
): Promise<Invitation> {
  const { caller, organizationId } = grant;
  const { invitation, key } = await hold(tx, grant, invitationId);
  refuseClosed(invitation, "accepted");
  if ((await tx.run(revoke, key)) > 0) {
    const target = invitation.id;
    await audit(tx, { actor: { caller }, action: "invitation.revoke", target, outcome: "done", requestId });
  }
  return read(tx, organizationId, invitation.id);
}

export type OpenInvitation = {
  readonly organization_id: string;
  readonly id: string;
  readonly email: string;
  readonly role: Role;
  readonly group_ids: string[];
  readonly expires_at: string;
  readonly maker_role: Role | null;
  readonly maker_name: string;
  readonly organization_name: string;
};

const worthy = (row: OpenInvitation | undefined): OpenInvitation | undefined =>
  row !== undefined && outranks(row.maker_role, row.role) ? row : undefined; // V3

/** @throws link_invalid */
async function openOf(sql: Sql, token: string): Promise<OpenInvitation> {
  const isOurs = isSecret(token, "invitation");
  const row = isOurs ? worthy(await sql.row<OpenInvitation>(openByHash, [secretDigest(token)])) : undefined;
  if (row === undefined) throw linkInvalid();
  return row;
}

/**
 * What an invitation is about, for whoever holds its link: nothing is spent by looking.
 *
 * @throws link_invalid, too_many_attempts
 */
export async function previewInvitation(
  { database }: IdentityWorld,
  { client }: Door,
  token: string,
): Promise<InvitationPreview> {
  const tried = await attempt(database, { account: null, address: client.address });
  const row = await openOf(database, token);
  await tried.succeeded();
  return {
    organization: { id: fromUuid("organization", row.organization_id), name: row.organization_name },
    email: row.email,
    role: row.role,
    invited_by: { name: row.maker_name },
    expires_at: row.expires_at,
  };
}

/** The open invitation of an address in an organization, for somebody whose address its issuer vouches for. */
export async function openInvitationFor(
  sql: Sql,
  organizationId: OrganizationId,
  email: string,
): Promise<OpenInvitation | undefined> {
  return worthy(await sql.row<OpenInvitation>(openByEmail, [toUuid(organizationId), email]));
}

/** Makes somebody a member by an invitation. @throws link_invalid when another one was faster (V1) */
export async function takeInvitation(
  tx: Transaction,
  { wakes }: Pick<IdentityWorld, "wakes">,
  row: OpenInvitation,
  { userId, name }: { userId: UserId; name: string },
  requestId: RequestId,
): Promise<void> {
  const organizationId = fromUuid("organization", row.organization_id);
  await accessChanged(tx, wakes, organizationId); // first, as the acts of admins do
  if ((await tx.run(take, [row.organization_id, row.id, toUuid(userId)])) === 0) throw linkInvalid();
  await join(tx, organizationId, userId, { role: row.role, name }, row.group_ids);
  await audit(tx, {
    actor: { personOf: organizationId, userId },
    action: "invitation.accept",
    target: fromUuid("invitation", row.id),
    outcome: "done",
    details: { role: row.role },
    requestId,
  });
}

/**
 * Accepts an invitation with a password and opens a session in its organization. Somebody who has a password on this
 * server gives that one; anybody else sets his first.
 *
 * @throws link_invalid, sign_in_refused, weak_password, too_many_attempts
 */
export async function acceptInvitation(
  world: IdentityWorld,
  door: Door,
  body: AcceptInvitation,
): Promise<OpenedSession> {
  const { database, passwords } = world;
  requireStorable(body);
  const tried = await attempt(database, { account: null, address: door.client.address });
  const { email } = await openOf(database, body.token);
  const name = body.name ?? (email.split("@")[0] as string);
  const before = (await findAccount(database, email, null))?.hash ?? null;
  if (before === null) requireStrong(body.password, [email, name]);
  else await proveAccount(world, door, email, body.password);
  const first = before === null ? await passwords.hash(body.password) : null;
  const opened = await database.transaction(async (tx) => {
    const account = await lockAccount(tx, email, name);
    if (account.hash !== before) throw refused(); // it was set or changed meanwhile
    const row = await openOf(tx, body.token);
    const organizationId = fromUuid("organization", row.organization_id);
    // Only who has proved the password is known to be the person that the account is named for.
    const known = before === null ? name : account.name;
    await takeInvitation(tx, world, row, { userId: account.id, name: body.name ?? known }, door.requestId);
    if (first !== null) {
      await writePassword(tx, account.id, first);
      const actor = { personOf: organizationId, userId: account.id };
      const { requestId } = door;
      await audit(tx, { actor, action: "password.set", target: account.id, outcome: "done", requestId });
    }
    await acceptPassword(tx, account.id, organizationId);
    return openSession(tx, {
      organizationId,
      userId: account.id,
      method: "password",
      ssoConnectionId: null,
      client: door.client,
      ...lifetime(world),
    });
  });
  await tried.succeeded();
  return opened;
}
