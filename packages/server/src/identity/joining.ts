/**
 * Whom an issuer's answer stands for, in the organization of its connection and nowhere else.
 *
 *   known identity ─┐
 *   member with that address ─┤
 *   open invitation for it ─┼──▶ person ──▶ session of this organization
 *   provisioning ───┘
 *
 * J1: only an address that the issuer has verified, in a domain of the connection, lets anybody in.
 * J2: an identity is connection, issuer and subject: the address of a known one may change, its person does not.
 * J3: membership made here does not take the person's password (accounts A1): who holds that address elsewhere on the
 *     server gains nothing, and this issuer gains nothing elsewhere.
 */
import {
  CallboardError,
  email as emailSchema,
  fromUuid,
  type OrganizationId,
  type RequestId,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { accessChanged, audit } from "../access/index.ts";
import { type Sql, statement, type Transaction } from "../storage/index.ts";
import { findAccount, join, lockAccount } from "./accounts.ts";
import type { ConnectionRow } from "./connections.ts";
import { openInvitationFor, takeInvitation } from "./invitations.ts";
import type { Claims } from "./issuer.ts";
import type { IdentityWorld } from "./world.ts";

const byIdentity = statement(
  "sso.by-identity",
  `update sso_identities set last_used_at = now()
    where organization_id = $1 and connection_id = $2 and issuer = $3 and subject = $4 returning user_id`,
);
const link = statement(
  "sso.link",
  `insert into sso_identities (organization_id, connection_id, issuer, subject, user_id) values ($1, $2, $3, $4, $5)`,
);
const standing = statement(
  "sso.standing",
  "select suspended from memberships where organization_id = $1 and user_id = $2",
);
const leaveGroups = statement(
  "sso.leave-groups",
  `delete from group_members
    where organization_id = $1 and user_id = $2 and group_id = any($3::uuid[]) and not group_id = any($4::uuid[])`,
);
const enterGroups = statement(
  "sso.enter-groups",
  `insert into group_members (organization_id, group_id, user_id)
   select g.organization_id, g.id, $2 from groups g where g.organization_id = $1 and g.id = any($3::uuid[])
   on conflict do nothing`,
);

const refuse = (why: string) => new CallboardError("sso_refused", `single sign-on does not let this person in: ${why}`);

/**
 * The person of an issuer's claims: an active member afterwards.
 *
 * @throws sso_refused
 */
export async function personOf(
  tx: Transaction,
  world: IdentityWorld,
  connection: ConnectionRow,
  claims: Claims,
  requestId: RequestId,
): Promise<UserId> {
  const address = verifiedAddress(connection, claims);
  const organizationId = fromUuid("organization", connection.organization_id);
  const userId =
    (await knownPerson(tx, connection, claims)) ?? (await newcomer(tx, world, connection, claims, address, requestId));
  const row = await tx.row<{ suspended: boolean }>(standing, [connection.organization_id, toUuid(userId)]);
  if (row === undefined || row.suspended) throw refuse("the membership is suspended");
  await followGroups(tx, world, connection, organizationId, userId, claims);
  return userId;
}

/** J1. @throws sso_refused */
function verifiedAddress({ email_domains }: ConnectionRow, claims: Claims): string {
  const { email, email_verified: verified } = claims;
  if (typeof email !== "string" || !emailSchema.safeParse(email).success) throw refuse("the issuer names no address");
  if (verified !== true && verified !== "true") throw refuse("the issuer has not verified the address");
  const domain = email.slice(email.lastIndexOf("@") + 1).toLowerCase();
  if (!email_domains.includes(domain)) throw refuse("the address is in another domain");
  return email;
}

async function knownPerson(
  tx: Transaction,
  { organization_id, id }: ConnectionRow,
  claims: Claims,
): Promise<UserId | undefined> {
  const row = await tx.row<{ user_id: string }>(byIdentity, [organization_id, id, claims.iss, claims.sub]);
  return row && fromUuid("user", row.user_id);
}

/** Somebody this issuer has not sent before. @throws sso_refused */
async function newcomer(
  tx: Transaction,
  world: IdentityWorld,
  connection: ConnectionRow,
  claims: Claims,
  address: string,
  requestId: RequestId,
): Promise<UserId> {
  const { organization_id, id, provisioning, default_role } = connection;
  const organizationId = fromUuid("organization", organization_id);
  const existing = await findAccount(tx, address, null);
  const isMember = existing !== undefined && (await isMemberOf(tx, organizationId, existing.id));
  const invitation = isMember ? undefined : await openInvitationFor(tx, organizationId, address);
  if (!isMember && invitation === undefined && !provisioning)
    throw refuse("the person is not a member and not invited");
  const name = nameOf(claims, address);
  const account = await lockAccount(tx, address, name);
  if (invitation !== undefined) await takeInvitation(tx, world, invitation, { userId: account.id, name }, requestId);
  else if (!isMember) {
    await accessChanged(tx, world.wakes, organizationId);
    await join(tx, organizationId, account.id, { role: default_role, name }, []);
    const actor = { personOf: organizationId, userId: account.id };
    const details = { role: default_role, sso_connection: fromUuid("ssoConnection", id) };
    await audit(tx, { actor, action: "member.add", target: account.id, outcome: "done", details, requestId });
  }
  // Of two first sign-ins at once the second one fails here, and finds the identity when it is tried again.
  await tx.run(link, [organization_id, id, claims.iss, claims.sub, toUuid(account.id)]);
  return account.id;
}

const isMemberOf = async (sql: Sql, organizationId: OrganizationId, id: UserId): Promise<boolean> =>
  (await sql.row(standing, [toUuid(organizationId), toUuid(id)])) !== undefined;

function nameOf({ name }: Claims, address: string): string {
  const text = typeof name === "string" ? name.replaceAll("\u0000", "").trim().slice(0, 200) : "";
  return text === "" || !text.isWellFormed() ? (address.split("@")[0] as string) : text;
}

/** Membership of the mapped groups follows the claim; other groups are left alone. */
async function followGroups(
  tx: Transaction,
  world: IdentityWorld,
  connection: ConnectionRow,
  organizationId: OrganizationId,
  userId: UserId,
  claims: Claims,
): Promise<void> {
  const { groups_claim, group_mapping } = connection;
  if (groups_claim === null) return;
  const claim = claims[groups_claim];
  const values: unknown[] = Array.isArray(claim) ? claim : [claim];
  const mapped = [...new Set(Object.values(group_mapping))];
  const wanted = Object.entries(group_mapping).flatMap(([value, group]) => (values.includes(value) ? [group] : []));
  const key = [connection.organization_id, toUuid(userId)];
  const left = await tx.run(leaveGroups, [...key, mapped, wanted]);
  const entered = await tx.run(enterGroups, [...key, wanted]);
  if (left + entered > 0) await accessChanged(tx, world.wakes, organizationId);
}
