/**
 * Single sign-on connections: an OpenID Connect issuer that an organization trusts with its own people.
 *
 * K1: the client secret goes in and never comes out, and goes to the issuer it was given for alone.
 * K2: a change of a connection ends the sessions that came by it.
 */
import {
  CallboardError,
  type CreateSsoConnection,
  fromUuid,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  type SsoConnection,
  type SsoConnectionId,
  toUuid,
  type UpdateSsoConnection,
} from "@callboard/protocol";
import {
  accessChanged,
  audit,
  type Grant,
  invalidRequest,
  requireGroups,
  requireStorable,
  requireWhole,
  revokeOfConnection,
} from "../access/index.ts";
import { type SealedSecret, type SecretKeys, secretColumn } from "../secrets/index.ts";
import {
  decodeCursor,
  FIRST_UUID,
  isUniqueViolation,
  type Sql,
  statement,
  type Transaction,
  toPage,
} from "../storage/index.ts";
import type { IdentityWorld } from "./world.ts";

const columns = `organization_id, id, slug, name, issuer, client_id, secret, email_domains, default_role, provisioning,
  groups_claim, group_mapping, enabled, created_at, updated_at from sso_connections`;
const get = statement("sso.get", `select ${columns} where organization_id = $1 and id = $2`);
const bySlug = statement("sso.by-slug", `select ${columns} where slug = $1 and enabled`);
// Served by the primary key.
const list = statement("sso.list", `select ${columns} where organization_id = $1 and id > $2 order by id limit $3`);
const insert = statement(
  "sso.insert",
  `insert into sso_connections (organization_id, id, slug, name, issuer, client_id, secret, email_domains,
     default_role, provisioning, groups_claim, group_mapping, enabled)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
);
const update = statement(
  "sso.update",
  `update sso_connections set name = $3, issuer = $4, client_id = $5, secret = $6, email_domains = $7, default_role = $8,
     provisioning = $9, groups_claim = $10, group_mapping = $11, enabled = $12, updated_at = now()
   where organization_id = $1 and id = $2`,
);
const remove = statement("sso.delete", "delete from sso_connections where organization_id = $1 and id = $2");

/** Client secrets, for changing the server's key. */
export const ssoSecrets = secretColumn("sso_connections");

/** A row of `sso_connections`. */
export type ConnectionRow = {
  organization_id: string;
  id: string;
  slug: string;
  name: string;
  issuer: string;
  client_id: string;
  secret: SealedSecret | null;
  email_domains: string[];
  default_role: "member" | "guest";
  provisioning: boolean;
  groups_claim: string | null;
  /** Value of the claim → uuid of the group. */
  group_mapping: Record<string, string>;
  enabled: boolean;
  created_at: string;
  updated_at: string;
};

type Address = Pick<IdentityWorld, "publicUrl">;
/** One for each connection, so that the answer of one issuer cannot be taken for another's. Source: RFC 9700, 4.4.2. */
export const redirectUri = ({ publicUrl }: Address, slug: string): string =>
  `${publicUrl()}/api/v1/sso/${slug}/callback`;

function toConnection(world: Address, row: ConnectionRow): SsoConnection {
  const { organization_id: _, secret, id, group_mapping, ...shown } = row;
  return {
    ...shown,
    id: fromUuid("ssoConnection", id),
    has_secret: secret !== null,
    group_mapping: Object.fromEntries(
      Object.entries(group_mapping).map(([value, group]) => [value, fromUuid("group", group)]),
    ),
    redirect_uri: redirectUri(world, row.slug),
    start_url: `${world.publicUrl()}/api/v1/sso/${row.slug}/start`,
  };
}

async function read(sql: Sql, organizationId: OrganizationId, connectionId: string): Promise<ConnectionRow> {
  const id = parseId("ssoConnection", connectionId);
  const row = id && (await sql.row<ConnectionRow>(get, [toUuid(organizationId), toUuid(id)]));
  if (row === undefined) throw new CallboardError("not_found", "there is no such connection for this caller");
  return row;
}

/** The connection that people begin at, if it is switched on. */
export const findConnection = (sql: Sql, slug: string): Promise<ConnectionRow | undefined> =>
  sql.row<ConnectionRow>(bySlug, [slug]);

/** @throws not_found */
export const getConnection = async (
  sql: Sql,
  world: Address,
  { organizationId }: Grant<"sso.manage">,
  connectionId: string,
): Promise<SsoConnection> => toConnection(world, await read(sql, organizationId, connectionId));

/** In the order of creation. @throws invalid_request for a wrong cursor */
export async function listConnections(
  sql: Sql,
  world: Address,
  { organizationId }: Grant<"sso.manage">,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: SsoConnection[]; next_cursor: string | null }> {
  const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
  const rows = await sql.rows<ConnectionRow>(list, [toUuid(organizationId), after, page.limit + 1]);
  return toPage(
    rows,
    page.limit,
    (row) => row.id,
    (row) => toConnection(world, row),
  );
}

type SsoWorld = IdentityWorld & { readonly keys: SecretKeys };

/** @throws slug_taken, invalid_request */
export async function createConnection(
  tx: Transaction,
  world: SsoWorld,
  { caller, organizationId }: Grant<"sso.manage">,
  body: CreateSsoConnection,
  requestId: RequestId,
): Promise<SsoConnection> {
  requireStorable(body);
  requireWhole(caller, "decide who signs people in");
  await requireGroups(tx, organizationId, "group_mapping", Object.values(body.group_mapping));
  const id = newId("ssoConnection");
  const key = [toUuid(organizationId), toUuid(id)];
  const sealed = body.client_secret === null ? null : seal(world.keys, organizationId, id, body.client_secret);
  try {
    await tx.run(insert, [
      ...key,
      body.slug,
      body.name,
      toIssuer(body.issuer),
      body.client_id,
      sealed,
      body.email_domains,
      body.default_role,
      body.provisioning,
      body.groups_claim,
      toMapping(body.group_mapping),
      body.enabled,
    ]);
  } catch (error) {
    if (!isUniqueViolation(error, "sso_connections_slug")) throw error;
    throw new CallboardError("slug_taken", `the slug ${body.slug} is taken on this server`);
  }
  const details = { slug: body.slug, issuer: body.issuer };
  const action = "sso_connection.create";
  await audit(tx, { actor: { caller }, action, target: id, outcome: "done", details, requestId });
  return toConnection(world, await read(tx, organizationId, id));
}

/** Fields that are absent stay. @throws not_found, invalid_request */
export async function updateConnection(
  tx: Transaction,
  world: SsoWorld,
  { caller, organizationId }: Grant<"sso.manage">,
  connectionId: string,
  body: UpdateSsoConnection,
  requestId: RequestId,
): Promise<SsoConnection> {
  requireStorable(body);
  requireWhole(caller, "decide who signs people in");
  await accessChanged(tx, world.wakes, organizationId);
  const before = await read(tx, organizationId, connectionId);
  const id = fromUuid("ssoConnection", before.id);
  if (body.group_mapping !== undefined) {
    await requireGroups(tx, organizationId, "group_mapping", Object.values(body.group_mapping));
  }
  const issuer = body.issuer === undefined ? before.issuer : toIssuer(body.issuer);
  if (issuer !== before.issuer && before.secret !== null && body.client_secret === undefined) {
    const message = "expected the secret again: the issuer changes";
    throw invalidRequest([{ path: "client_secret", message }]);
  }
  await tx.run(update, [
    before.organization_id,
    before.id,
    body.name ?? before.name,
    issuer,
    body.client_id ?? before.client_id,
    nextSecret(world.keys, organizationId, id, before, body.client_secret),
    body.email_domains ?? before.email_domains,
    body.default_role ?? before.default_role,
    body.provisioning ?? before.provisioning,
    body.groups_claim === undefined ? before.groups_claim : body.groups_claim,
    body.group_mapping === undefined ? JSON.stringify(before.group_mapping) : toMapping(body.group_mapping),
    body.enabled ?? before.enabled,
  ]);
  await revokeOfConnection(tx, organizationId, id);
  const details = { slug: before.slug, fields: Object.keys(body) };
  const action = "sso_connection.update";
  await audit(tx, { actor: { caller }, action, target: id, outcome: "done", details, requestId });
  return toConnection(world, await read(tx, organizationId, id));
}

/** @throws not_found */
export async function deleteConnection(
  tx: Transaction,
  world: IdentityWorld,
  { caller, organizationId }: Grant<"sso.manage">,
  connectionId: string,
  requestId: RequestId,
): Promise<void> {
  await accessChanged(tx, world.wakes, organizationId);
  const row = await read(tx, organizationId, connectionId);
  const id = fromUuid("ssoConnection", row.id);
  await revokeOfConnection(tx, organizationId, id);
  await tx.run(remove, [row.organization_id, row.id]);
  const action = "sso_connection.delete";
  const details = { slug: row.slug };
  await audit(tx, { actor: { caller }, action, target: id, outcome: "done", details, requestId });
}

/** The client secret in the clear, for a request to the issuer only; null without one. */
export const openSecret = (keys: SecretKeys, row: ConnectionRow): string | null =>
  row.secret === null ? null : keys.open(row.secret, identity(row.organization_id, row.id));

const identity = (organization: string, uuid: string): string => `sso_connections/${organization}/${uuid}`;

const seal = (keys: SecretKeys, organizationId: OrganizationId, id: SsoConnectionId, secret: string): string =>
  JSON.stringify(keys.seal(secret, identity(toUuid(organizationId), toUuid(id))));

function nextSecret(
  keys: SecretKeys,
  organizationId: OrganizationId,
  id: SsoConnectionId,
  before: ConnectionRow,
  given: string | null | undefined,
): string | null {
  if (typeof given === "string") return seal(keys, organizationId, id, given);
  return given === null || before.secret === null ? null : JSON.stringify(before.secret);
}

const toMapping = (mapping: CreateSsoConnection["group_mapping"]): string =>
  JSON.stringify(Object.fromEntries(Object.entries(mapping).map(([value, group]) => [value, toUuid(group)])));

/** @throws invalid_request unless the address can be an issuer's: no name, query or fragment */
function toIssuer(text: string): string {
  const url = new URL(text); // the schema has parsed it
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    const message = "expected an address without user name, query and fragment";
    throw invalidRequest([{ path: "issuer", message }]);
  }
  return text;
}
