/**
 * Organizations and their members.
 *
 * P1: an organization keeps at least one active owner; changes hold its row's lock while they count.
 * P2: a removed member's tokens and invitations end for good, and the agents he owned are another one's: coming back
 *     revives nothing.
 * P3: a member's name is the organization's own word for the person, who may be known elsewhere by another one.
 */
import {
  CallboardError,
  fromUuid,
  type Member,
  newId,
  type Organization,
  type OrganizationId,
  parseId,
  type RequestId,
  type Role,
  type RouteBody,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { decodeCursor, FIRST_UUID, type Sql, statement, type Transaction, toPage } from "../storage/index.ts";
import { audit } from "./audit.ts";
import type { Person } from "./decide.ts";
import { type AccessWakes, accessChanged } from "./epoch.ts";
import type { Grant } from "./grant.ts";
import { decideMemberChange, requireOutranks, requireToRaise } from "./roles.ts";
import { revokeOfMember } from "./sessions.ts";
import { requireStorable } from "./storable.ts";

type Page = { limit: number; cursor?: string | undefined };
type Send = Pick<AccessWakes, "send">;

// Organizations

const insertOrganization = statement(
  "organizations.insert",
  "insert into organizations (id, name, members_edit_agents, raw_runs) values ($1, $2, $3, $4)",
);
const organizationById = statement(
  "organizations.get",
  `select id, name, members_edit_agents, raw_runs, requests_per_minute, runs_at_once, created_at
     from organizations where id = $1`,
);
const organizationExists = statement("organizations.any", "select 1 from organizations limit 1");
const changeOrganization = statement(
  "organizations.update",
  `update organizations set name = coalesce($2, name), members_edit_agents = coalesce($3, members_edit_agents),
          raw_runs = coalesce($4, raw_runs),
          requests_per_minute = case when $5 then $6 else requests_per_minute end,
          runs_at_once = case when $7 then $8 else runs_at_once end
    where id = $1`,
);

export type NewOrganization = {
  name: string;
  membersEditAgents: boolean;
  rawRuns: boolean;
  owner: { email: string; name: string };
};

/** Creates an organization and its first owner; an operator's deed, with no caller yet. */
export async function createOrganization(
  tx: Transaction,
  plan: NewOrganization,
): Promise<{ organizationId: OrganizationId; userId: UserId }> {
  requireStorable(plan);
  const organizationId = newId("organization");
  await tx.run(insertOrganization, [toUuid(organizationId), plan.name, plan.membersEditAgents, plan.rawRuns]);
  const userId = await findOrCreateUser(tx, plan.owner);
  await tx.run(insertMember, [toUuid(organizationId), toUuid(userId), "owner", plan.owner.name]);
  await audit(tx, {
    actor: { operatorOf: organizationId },
    action: "organization.create",
    target: organizationId,
    outcome: "done",
    details: { owner: userId },
    requestId: null,
  });
  return { organizationId, userId };
}

/** Whether the database has an organization: without one this is a first start. */
export async function hasOrganization(sql: Sql): Promise<boolean> {
  return (await sql.row(organizationExists)) !== undefined;
}

type OrganizationRow = Omit<Organization, "id"> & { id: string };

/** Anybody with a token may read the organization it belongs to. */
export async function getOrganization(sql: Sql, organizationId: OrganizationId): Promise<Organization> {
  const row = (await sql.row<OrganizationRow>(organizationById, [toUuid(organizationId)])) as OrganizationRow;
  if (row === undefined) throw new CallboardError("not_found", "there is no such organization for this caller");
  return { ...row, id: fromUuid("organization", row.id) };
}

export async function updateOrganization(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"organization.manage">,
  change: RouteBody<"organization.update">,
  requestId: RequestId,
): Promise<Organization> {
  requireStorable(change);
  await accessChanged(tx, wakes, organizationId);
  await tx.run(changeOrganization, [
    toUuid(organizationId),
    change.name ?? null,
    change.members_edit_agents ?? null,
    change.raw_runs ?? null,
    change.requests_per_minute !== undefined,
    change.requests_per_minute ?? null,
    change.runs_at_once !== undefined,
    change.runs_at_once ?? null,
  ]);
  await audit(tx, {
    actor: { caller },
    action: "organization.update",
    target: organizationId,
    outcome: "done",
    details: JSON.parse(JSON.stringify(change)),
    requestId,
  });
  return getOrganization(tx, organizationId);
}

// Members

const insertUser = statement(
  "users.insert",
  "insert into users (id, email, name) values ($1, $2, $3) on conflict (lower(email)) do nothing returning id",
);
const userByEmail = statement("users.by-email", "select id from users where lower(email) = lower($1)");
const insertMember = statement(
  "members.insert",
  "insert into memberships (organization_id, user_id, role, name) values ($1, $2, $3, $4) on conflict do nothing",
);
const columns = `m.user_id, u.email, coalesce(m.name, u.name) as name, m.role, m.suspended, m.created_at
  from memberships m join users u on u.id = m.user_id`;
const memberById = statement("members.get", `select ${columns} where m.organization_id = $1 and m.user_id = $2`);
// Served by the primary key; ids grow, so this is the order of coming.
const list = statement(
  "members.list",
  `select ${columns} where m.organization_id = $1 and m.user_id > $2 order by m.user_id limit $3`,
);
const otherOwner = statement(
  "members.other-owner",
  `select 1 from memberships
    where organization_id = $1 and role = 'owner' and not suspended and user_id <> $2 limit 1`,
);
const change = statement(
  "members.update",
  "update memberships set role = $3, suspended = $4 where organization_id = $1 and user_id = $2",
);
const revokeTokens = statement(
  "members.revoke-tokens",
  "update tokens set revoked_at = now() where organization_id = $1 and user_id = $2 and revoked_at is null",
);
const removeInvitations = statement(
  "members.remove-invitations",
  "delete from agent_access where organization_id = $1 and subject_kind = 'user' and subject_id = $2",
);
// To whoever removes the owner; to the organization's first owner where that is the same person.
const passAgents = statement(
  "members.pass-agents",
  `update agents set owner_id = case when $3::uuid <> $2 then $3::uuid else (
            select user_id from memberships
             where organization_id = $1 and role = 'owner' and not suspended and user_id <> $2
             order by created_at, user_id limit 1) end
    where organization_id = $1 and owner_id = $2`,
);
const remove = statement("members.delete", "delete from memberships where organization_id = $1 and user_id = $2");
const personById = statement(
  "members.person",
  `select m.role, u.email, coalesce((
            select json_agg(json_build_object('id', g.id, 'slug', g.slug) order by g.slug)
              from group_members gm join groups g on g.organization_id = gm.organization_id and g.id = gm.group_id
             where gm.organization_id = m.organization_id and gm.user_id = m.user_id), '[]') as groups
     from memberships m join users u on u.id = m.user_id
    where m.organization_id = $1 and m.user_id = $2 and not m.suspended`,
);

type MemberRow = Omit<Member, "user_id"> & { user_id: string };
const toMember = (row: MemberRow): Member => ({ ...row, user_id: fromUuid("user", row.user_id) });

/** As the server: the person may be known from another organization. */
async function findOrCreateUser(tx: Transaction, { email, name }: { email: string; name: string }): Promise<UserId> {
  const found = await tx.asServer(async (sql) => {
    const made = await sql.row<{ id: string }>(insertUser, [toUuid(newId("user")), email, name]);
    return made ?? (await sql.row<{ id: string }>(userByEmail, [email]));
  });
  if (found === undefined) throw new CallboardError("unavailable", "the person was removed just now; try again");
  return fromUuid("user", found.id);
}

/** In the order of coming. @throws invalid_request for a wrong cursor */
export async function listMembers(
  sql: Sql,
  { organizationId }: Grant<"members.read">,
  page: Page,
): Promise<{ data: Member[]; next_cursor: string | null }> {
  const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
  const rows = await sql.rows<MemberRow>(list, [toUuid(organizationId), after, page.limit + 1]);
  return toPage(rows, page.limit, (row) => row.user_id, toMember);
}

/** @throws not_found */
export async function getMember(sql: Sql, organizationId: OrganizationId, userId: string): Promise<Member> {
  const id = parseId("user", userId);
  const row = id && (await sql.row<MemberRow>(memberById, [toUuid(organizationId), toUuid(id)]));
  if (row === undefined) throw new CallboardError("not_found", "there is no such member for this caller");
  return toMember(row);
}

/** A person whom somebody else acts for. */
export type KnownPerson = Person & { readonly email: string; readonly groups: readonly string[] };

/** An active member with role and groups (`groups` are slugs), or undefined: for attribution. */
export async function findPerson(
  sql: Sql,
  organizationId: OrganizationId,
  userId: UserId,
): Promise<KnownPerson | undefined> {
  type Row = { role: Role; email: string; groups: Array<{ id: string; slug: string }> };
  const row = await sql.row<Row>(personById, [toUuid(organizationId), toUuid(userId)]);
  if (row === undefined) return undefined;
  return {
    userId,
    role: row.role,
    email: row.email,
    groupIds: row.groups.map(({ id }) => fromUuid("group", id)),
    groups: row.groups.map(({ slug }) => slug),
  };
}

/** @throws forbidden, already_exists */
export async function addMember(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  body: RouteBody<"members.add">,
  requestId: RequestId,
): Promise<Member> {
  requireStorable(body);
  requireOutranks(caller.role, body.role);
  requireToRaise(caller, body.role);
  const userId = await findOrCreateUser(tx, body);
  if ((await tx.run(insertMember, [toUuid(organizationId), toUuid(userId), body.role, body.name])) === 0) {
    throw new CallboardError("already_exists", `${body.email} is a member already`);
  }
  await accessChanged(tx, wakes, organizationId);
  await audit(tx, {
    actor: { caller },
    action: "member.add",
    target: userId,
    outcome: "done",
    details: { role: body.role },
    requestId,
  });
  return getMember(tx, organizationId, userId);
}

/** Changes a role or suspends. @throws not_found, forbidden, last_owner */
export async function updateMember(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  userId: string,
  body: RouteBody<"members.update">,
  requestId: RequestId,
): Promise<Member> {
  await accessChanged(tx, wakes, organizationId); // takes the lock of P1
  const member = await getMember(tx, organizationId, userId);
  decideMemberChange(caller, { userId: member.user_id, role: member.role }, body);
  if (body.role !== undefined && body.role !== member.role) requireToRaise(caller, body.role);
  const role = body.role ?? member.role;
  const suspended = body.suspended ?? member.suspended;
  if (role !== "owner" || suspended) await keepAnOwner(tx, organizationId, member);
  await tx.run(change, [toUuid(organizationId), toUuid(member.user_id), role, suspended]);
  if (suspended && !member.suspended) await revokeOfMember(tx, organizationId, member.user_id);
  await audit(tx, {
    actor: { caller },
    action: "member.update",
    target: member.user_id,
    outcome: "done",
    details: { before: { role: member.role, suspended: member.suspended }, after: { role, suspended } },
    requestId,
  });
  return { ...member, role, suspended };
}

/** @throws not_found, forbidden, last_owner */
export async function removeMember(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  userId: string,
  requestId: RequestId,
): Promise<void> {
  await accessChanged(tx, wakes, organizationId); // takes the lock of P1
  const member = await getMember(tx, organizationId, userId);
  decideMemberChange(caller, { userId: member.user_id, role: member.role }, {});
  await keepAnOwner(tx, organizationId, member);
  const key = [toUuid(organizationId), toUuid(member.user_id)];
  await tx.run(revokeTokens, key);
  await tx.run(removeInvitations, key);
  const agents = await tx.run(passAgents, [...key, toUuid(caller.userId as UserId)]); // only people manage members
  await tx.run(remove, key);
  await audit(tx, {
    actor: { caller },
    action: "member.remove",
    target: member.user_id,
    outcome: "done",
    details: { role: member.role, agents_passed_on: agents },
    requestId,
  });
}

async function keepAnOwner(tx: Transaction, organizationId: OrganizationId, leaving: Member): Promise<void> {
  if (leaving.role !== "owner" || leaving.suspended) return;
  if ((await tx.row(otherOwner, [toUuid(organizationId), toUuid(leaving.user_id)])) !== undefined) return;
  throw new CallboardError("last_owner", `${leaving.user_id} is the organization's last active owner`);
}
