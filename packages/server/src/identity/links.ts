/**
 * One-time links to set a password: made by an admin for a member, or by the operator. No mail is sent: the link is in
 * the answer that makes it, and the database has its hash.
 *
 * L1: a link works once, for a day, and only the newest one of a person in an organization.
 * L2: an organization resets a password only while no other one is entered with it (accounts A1); asked when the link
 *     is made and again when it is used.
 * L3: an admin's link is worth the admin's rank: it ends with the membership that made it.
 */
import {
  CallboardError,
  fromUuid,
  newId,
  type OrganizationId,
  type PasswordLink,
  type RequestId,
  type Role,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import {
  type Actor,
  audit,
  type Grant,
  getMember,
  isSecret,
  newSecret,
  outranks,
  requireOutranks,
  requireWhole,
  revokeOfPassword,
  secretDigest,
} from "../access/index.ts";
import { type Sql, statement, type Transaction } from "../storage/index.ts";
import { acceptPassword, getAccount, isUsedElsewhere, lockPassword, writePassword } from "./accounts.ts";
import type { Door } from "./sign-in.ts";
import { attempt } from "./throttle.ts";
import { requireStrong } from "./weak.ts";
import type { IdentityWorld } from "./world.ts";

const HOURS = 24;

const removeOlder = statement(
  "links.remove-older",
  "delete from password_links where organization_id = $1 and user_id = $2 and used_at is null",
);
const insert = statement(
  "links.insert",
  `insert into password_links (organization_id, id, user_id, hash, created_by, expires_at)
   values ($1, $2, $3, $4, $5, now() + make_interval(hours => $6)) returning expires_at`,
);
// The maker's standing of now, and the person's (L3).
const byHash = statement(
  "links.by-hash",
  `select l.organization_id, l.id, l.user_id, l.created_by, target.role, maker.role as maker_role
     from password_links l
     join memberships target on target.organization_id = l.organization_id and target.user_id = l.user_id
     left join memberships maker on maker.organization_id = l.organization_id and maker.user_id = l.created_by
                                and not maker.suspended
    where l.hash = $1 and l.used_at is null and l.expires_at > now()`,
);
const use = statement(
  "links.use",
  `update password_links set used_at = now()
    where organization_id = $1 and id = $2 and used_at is null and expires_at > now()`,
);
const sweep = statement("links.sweep", "delete from password_links where expires_at < now() - interval '30 days'");

/**
 * A link for a member, by an admin who outranks the member.
 *
 * @throws not_found, forbidden, password_elsewhere
 */
export async function createPasswordLink(
  tx: Transaction,
  world: IdentityWorld,
  { caller, organizationId }: Grant<"members.manage">,
  userId: UserId,
  requestId: RequestId,
): Promise<PasswordLink> {
  const member = await getMember(tx, organizationId, userId);
  if (member.user_id === caller.userId) {
    throw new CallboardError("forbidden", "one's own password is changed by giving the old one");
  }
  requireOutranks(caller.role, member.role);
  requireWhole(caller, "make a link that sets a password");
  return issueLink(tx, world, { organizationId, userId: member.user_id, by: caller.userId }, { caller }, requestId);
}

type LinkPlan = { readonly organizationId: OrganizationId; readonly userId: UserId; readonly by: UserId | null };

/** Stores a link without asking for rank: for `createPasswordLink`, which has asked, and for the operator. */
export async function issueLink(
  tx: Transaction,
  { publicUrl }: Pick<IdentityWorld, "publicUrl">,
  { organizationId, userId, by }: LinkPlan,
  actor: Actor,
  requestId: RequestId | null,
): Promise<PasswordLink> {
  if (by !== null && (await tx.asServer((sql) => isUsedElsewhere(sql, userId, organizationId)))) throw elsewhere();
  const id = newId("passwordLink");
  const token = newSecret("passwordLink");
  const key = [toUuid(organizationId), toUuid(userId)];
  await tx.run(removeOlder, key);
  const row = (await tx.row<{ expires_at: string }>(insert, [
    key[0],
    toUuid(id),
    key[1],
    secretDigest(token),
    by === null ? null : toUuid(by),
    HOURS,
  ])) as { expires_at: string };
  await audit(tx, { actor, action: "password.link", target: userId, outcome: "done", requestId });
  // Behind `#`: what a browser never sends, and no log or Referer keeps.
  const url = `${publicUrl()}/set-password#${token}`;
  return { id, user_id: userId, url, token, expires_at: row.expires_at };
}

const elsewhere = () =>
  new CallboardError(
    "password_elsewhere",
    "the person signs in to other organizations with this password; the server's operator can make a link",
  );

export const linkInvalid = () =>
  new CallboardError("link_invalid", "the link was used, replaced or revoked, or has expired; ask for a new one");

type LinkRow = {
  organization_id: string;
  id: string;
  user_id: string;
  created_by: string | null;
  role: Role;
  maker_role: Role | null;
};

async function findLink(sql: Sql, token: string): Promise<LinkRow> {
  const row = isSecret(token, "passwordLink") ? await sql.row<LinkRow>(byHash, [secretDigest(token)]) : undefined;
  if (row === undefined || (row.created_by !== null && !outranks(row.maker_role, row.role))) throw linkInvalid();
  return row;
}

/**
 * Sets the password of a link's person; all sessions that the old one opened end.
 *
 * @throws link_invalid, weak_password, too_many_attempts
 */
export async function resetPassword(
  world: IdentityWorld,
  { client, requestId }: Door,
  body: { readonly token: string; readonly password: string },
): Promise<void> {
  const { database, passwords } = world;
  const tried = await attempt(database, { account: null, address: client.address });
  const userId = fromUuid("user", (await findLink(database, body.token)).user_id);
  const account = await getAccount(database, userId);
  requireStrong(body.password, [account?.email ?? "", account?.name ?? ""]);
  const hash = await passwords.hash(body.password);
  await database.transaction(async (tx) => {
    await lockPassword(tx, userId);
    const row = await findLink(tx, body.token);
    const organizationId = fromUuid("organization", row.organization_id);
    if (row.created_by !== null && (await isUsedElsewhere(tx, userId, organizationId))) throw linkInvalid(); // L2
    if ((await tx.run(use, [row.organization_id, row.id])) === 0) throw linkInvalid();
    await setPassword(tx, world, { userId, hash, organizationId: row.created_by === null ? null : organizationId });
    const actor = { personOf: organizationId, userId };
    await audit(tx, { actor, action: "password.set", target: userId, outcome: "done", requestId });
  });
  await tried.succeeded();
}

/** @param organizationId the one that takes it from now on; null for all the person is in: the operator's word */
export async function setPassword(
  tx: Transaction,
  world: Pick<IdentityWorld, "wakes">,
  { userId, hash, organizationId }: { userId: UserId; hash: string; organizationId: OrganizationId | null },
): Promise<void> {
  await writePassword(tx, userId, hash);
  await acceptPassword(tx, userId, organizationId);
  await revokeOfPassword(tx, world.wakes, userId, []);
}

/** Forgets links long over. @returns how many */
export const sweepLinks = (sql: Sql): Promise<number> => sql.run(sweep);
