/** Groups of members: agents are opened to them, tools see their slugs. */
import {
  CallboardError,
  fromUuid,
  type Group,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  type RouteBody,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import {
  decodeCursor,
  FIRST_UUID,
  isUniqueViolation,
  type Sql,
  statement,
  type Transaction,
  toPage,
} from "../storage/index.ts";
import { audit } from "./audit.ts";
import { type AccessWakes, accessChanged } from "./epoch.ts";
import type { Grant } from "./grant.ts";
import { invalidRequest, requireStorable } from "./storable.ts";

type Send = Pick<AccessWakes, "send">;

const columns = `g.id, g.slug, g.name, g.created_at,
  array(select user_id from group_members m
         where m.organization_id = g.organization_id and m.group_id = g.id order by user_id)::text[] as user_ids
  from groups g`;
const get = statement("groups.get", `select ${columns} where g.organization_id = $1 and g.id = $2`);
// Served by the primary key.
const list = statement(
  "groups.list",
  `select ${columns} where g.organization_id = $1 and g.id > $2 order by g.id limit $3`,
);
const insert = statement(
  "groups.insert",
  "insert into groups (organization_id, id, slug, name) values ($1, $2, $3, $4)",
);
const rename = statement("groups.rename", "update groups set name = $3 where organization_id = $1 and id = $2");
const remove = statement("groups.delete", "delete from groups where organization_id = $1 and id = $2");
const removeInvitations = statement(
  "groups.remove-invitations",
  "delete from agent_access where organization_id = $1 and subject_kind = 'group' and subject_id = $2",
);
const knownMembers = statement(
  "groups.known-members",
  "select user_id from memberships where organization_id = $1 and user_id = any($2::uuid[])",
);
const knownGroups = statement(
  "groups.known",
  "select id from groups where organization_id = $1 and id = any($2::uuid[])",
);
const bySlug = statement(
  "groups.by-slug",
  "select id, slug from groups where organization_id = $1 and slug = any($2::text[])",
);
const clear = statement("groups.clear", "delete from group_members where organization_id = $1 and group_id = $2");
const fill = statement(
  "groups.fill",
  "insert into group_members (organization_id, group_id, user_id) select $1, $2, unnest($3::uuid[])",
);

type Row = { id: string; slug: string; name: string; created_at: string; user_ids: string[] };
const toGroup = (row: Row): Group => ({
  id: fromUuid("group", row.id),
  slug: row.slug,
  name: row.name,
  user_ids: row.user_ids.map((id) => fromUuid("user", id)),
  created_at: row.created_at,
});

/** In the order of creation. @throws invalid_request for a wrong cursor */
export async function listGroups(
  sql: Sql,
  { organizationId }: Grant<"members.read">,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: Group[]; next_cursor: string | null }> {
  const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
  const rows = await sql.rows<Row>(list, [toUuid(organizationId), after, page.limit + 1]);
  return toPage(rows, page.limit, (row) => row.id, toGroup);
}

/** The ids of the groups with these slugs, as far as there are any. */
export async function findGroups(
  sql: Sql,
  organization: string,
  slugs: readonly string[],
): Promise<Map<string, Group["id"]>> {
  const rows = await sql.rows<{ id: string; slug: string }>(bySlug, [organization, slugs]);
  return new Map(rows.map(({ id, slug }) => [slug, fromUuid("group", id)]));
}

/** @throws slug_taken, invalid_request when somebody is not a member */
export async function createGroup(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  body: RouteBody<"groups.create">,
  requestId: RequestId | null,
): Promise<Group> {
  requireStorable(body);
  await requireMembers(tx, organizationId, "user_ids", body.user_ids);
  await accessChanged(tx, wakes, organizationId);
  const id = newId("group");
  const key = [toUuid(organizationId), toUuid(id)];
  try {
    await tx.run(insert, [...key, body.slug, body.name]);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new CallboardError("slug_taken", `another group has the slug ${body.slug}`);
  }
  await tx.run(fill, [...key, unique(body.user_ids)]);
  await audit(tx, {
    actor: { caller },
    action: "group.create",
    target: id,
    outcome: "done",
    details: { slug: body.slug, user_ids: body.user_ids },
    requestId,
  });
  return read(tx, key);
}

/** Renames a group or replaces its members. @throws not_found, invalid_request */
export async function updateGroup(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  groupId: string,
  body: RouteBody<"groups.update">,
  requestId: RequestId,
): Promise<Group> {
  requireStorable(body);
  await accessChanged(tx, wakes, organizationId);
  const key = keyOf(organizationId, groupId);
  const before = await read(tx, key);
  if (body.name !== undefined) await tx.run(rename, [...key, body.name]);
  if (body.user_ids !== undefined) {
    await requireMembers(tx, organizationId, "user_ids", body.user_ids);
    await tx.run(clear, key);
    await tx.run(fill, [...key, unique(body.user_ids)]);
  }
  await audit(tx, {
    actor: { caller },
    action: "group.update",
    target: before.id,
    outcome: "done",
    details: body.user_ids === undefined ? {} : { before: before.user_ids, after: body.user_ids },
    requestId,
  });
  return read(tx, key);
}

/** @throws not_found */
export async function deleteGroup(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"members.manage">,
  groupId: string,
  requestId: RequestId,
): Promise<void> {
  await accessChanged(tx, wakes, organizationId);
  const key = keyOf(organizationId, groupId);
  const group = await read(tx, key);
  await tx.run(removeInvitations, key);
  await tx.run(remove, key);
  await audit(tx, {
    actor: { caller },
    action: "group.delete",
    target: group.id,
    outcome: "done",
    details: { slug: group.slug },
    requestId,
  });
}

/** @throws invalid_request that names the entries of `field` that are not members of the organization */
export async function requireMembers(
  sql: Sql,
  organizationId: OrganizationId,
  field: string,
  userIds: readonly UserId[],
): Promise<void> {
  const rows = await sql.rows<{ user_id: string }>(knownMembers, [toUuid(organizationId), unique(userIds)]);
  const known = new Set(rows.map((row) => row.user_id));
  refuseUnknown(field, userIds, known, "expected a member of the organization");
}

/** @throws invalid_request that names the entries of `field` that are not groups of the organization */
export async function requireGroups(
  sql: Sql,
  organizationId: OrganizationId,
  field: string,
  groupIds: readonly Group["id"][],
): Promise<void> {
  const rows = await sql.rows<{ id: string }>(knownGroups, [toUuid(organizationId), unique(groupIds)]);
  const known = new Set(rows.map((row) => row.id));
  refuseUnknown(field, groupIds, known, "expected a group of the organization");
}

type Ids = ReadonlyArray<Parameters<typeof toUuid>[0]>;

function refuseUnknown(field: string, ids: Ids, known: ReadonlySet<string>, message: string): void {
  const fields = ids.flatMap((id, i) => (known.has(toUuid(id)) ? [] : [{ path: `${field}[${i}]`, message }]));
  if (fields.length > 0) throw invalidRequest(fields);
}

const unique = (ids: Ids): string[] => [...new Set(ids.map(toUuid))];
const notFound = () => new CallboardError("not_found", "there is no such group for this caller");

function keyOf(organizationId: OrganizationId, groupId: string): string[] {
  const id = parseId("group", groupId);
  if (id === undefined) throw notFound();
  return [toUuid(organizationId), toUuid(id)];
}

async function read(sql: Sql, key: readonly string[]): Promise<Group> {
  const row = await sql.row<Row>(get, key);
  if (row === undefined) throw notFound();
  return toGroup(row);
}
