/** Collections: made, described, opened and closed by admins; read by whom they were opened to. */
import {
  CallboardError,
  type CreateDocumentCollection,
  type Document,
  type DocumentAccess,
  type DocumentCollection,
  newId,
  parseId,
  type RequestId,
  toUuid,
  type UpdateDocumentCollection,
} from "@callboard/protocol";
import { audit, type Grant, invalidRequest, requireGroups, requireMembers, requireStorable } from "../access/index.ts";
import {
  decodeCursor,
  FIRST_UUID,
  isUniqueViolation,
  LAST_UUID,
  type Sql,
  type Transaction,
  toPage,
} from "../storage/index.ts";
import {
  accessOf,
  type CollectionRow,
  changeCollection,
  deleteCollection,
  findCollection,
  insertCollection,
  knownServices,
  listCollections,
  listDocuments,
  replaceGrants,
  showAll,
  toCollection,
  toDocument,
} from "./store.ts";

/** `oversee` is an admin's look beyond what was granted. */
type Read = Grant<"documents.read"> | Grant<"documents.oversee">;
type Manage = Grant<"documents.manage">;

/** More than a collection has. */
const ALL = 2 ** 31 - 1;

export const noCollection = () => new CallboardError("not_found", "there is no such collection for this caller");

/** An id or a slug, as the store asks for it. */
function collectionKey(idOrSlug: string): { id: string | null; slug: string } {
  const id = parseId("collection", idOrSlug);
  return { id: id === undefined ? null : toUuid(id), slug: idOrSlug };
}

/** The collection, if this transaction may see it. */
export const seeCollection = (
  sql: Sql,
  { organizationId }: Read,
  idOrSlug: string,
): Promise<CollectionRow | undefined> => findCollection(sql, toUuid(organizationId), collectionKey(idOrSlug));

async function managed(tx: Transaction, { organizationId }: Manage, idOrSlug: string): Promise<CollectionRow> {
  await showAll(tx);
  const row = await findCollection(tx, toUuid(organizationId), collectionKey(idOrSlug));
  if (row === undefined) throw noCollection();
  return row;
}

export { managed as manageCollection };

/** The collection with all that is in it, whoever it is opened to. */
export async function findManaged(
  tx: Transaction,
  { organizationId }: Manage,
  slug: string,
): Promise<{ collection: DocumentCollection; documents: Document[] } | undefined> {
  await showAll(tx);
  const organization = toUuid(organizationId);
  const row = await findCollection(tx, organization, { id: null, slug });
  if (row === undefined) return undefined;
  const rows = await listDocuments(tx, organization, row.id, LAST_UUID, ALL);
  return { collection: toCollection(row), documents: rows.map(toDocument) };
}

/** In the order of creation. @throws invalid_request for a wrong cursor */
export async function readCollections(
  sql: Sql,
  { organizationId }: Read,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: DocumentCollection[]; next_cursor: string | null }> {
  const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
  const rows = await listCollections(sql, toUuid(organizationId), after, page.limit + 1);
  return toPage(rows, page.limit, (row) => row.id, toCollection);
}

/** @throws slug_taken, invalid_request when somebody it is opened to is not of the organization */
export async function createCollection(
  tx: Transaction,
  grant: Manage,
  body: CreateDocumentCollection,
  requestId: RequestId | null,
): Promise<DocumentCollection> {
  requireStorable(body);
  await showAll(tx);
  const id = newId("collection");
  const organization = toUuid(grant.organizationId);
  const { access, ...rest } = body;
  try {
    await insertCollection(tx, organization, { ...rest, id: toUuid(id) });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new CallboardError("slug_taken", `another collection has the slug ${body.slug}`);
  }
  await grantAccess(tx, grant, toUuid(id), access, "access.");
  await audit(tx, {
    actor: { caller: grant.caller },
    action: "collection.create",
    target: id,
    outcome: "done",
    details: { slug: body.slug, access },
    requestId,
  });
  return toCollection((await findCollection(tx, organization, { id: toUuid(id), slug: "" })) as CollectionRow);
}

/** @throws not_found */
export async function updateCollection(
  tx: Transaction,
  grant: Manage,
  idOrSlug: string,
  body: UpdateDocumentCollection,
  requestId: RequestId | null,
): Promise<DocumentCollection> {
  requireStorable(body);
  const { id } = await managed(tx, grant, idOrSlug);
  const organization = toUuid(grant.organizationId);
  await changeCollection(tx, organization, id, body.name ?? null, body.description ?? null);
  const changed = toCollection((await findCollection(tx, organization, { id, slug: "" })) as CollectionRow);
  const actor = { caller: grant.caller };
  await audit(tx, { actor, action: "collection.update", target: changed.id, outcome: "done", requestId });
  return changed;
}

/** Deletes it with its documents. @throws not_found */
export async function removeCollection(
  tx: Transaction,
  grant: Manage,
  idOrSlug: string,
  requestId: RequestId | null,
): Promise<void> {
  const row = await managed(tx, grant, idOrSlug);
  await deleteCollection(tx, toUuid(grant.organizationId), row.id);
  await audit(tx, {
    actor: { caller: grant.caller },
    action: "collection.delete",
    target: toCollection(row).id,
    outcome: "done",
    details: { slug: row.slug },
    requestId,
  });
}

/** @throws not_found */
export async function readAccess(tx: Transaction, grant: Manage, idOrSlug: string): Promise<DocumentAccess> {
  const { id } = await managed(tx, grant, idOrSlug);
  return accessOf(tx, toUuid(grant.organizationId), id);
}

/** @throws not_found, invalid_request when somebody is not of the organization */
export async function setAccess(
  tx: Transaction,
  grant: Manage,
  idOrSlug: string,
  access: DocumentAccess,
  requestId: RequestId | null,
): Promise<DocumentAccess> {
  const row = await managed(tx, grant, idOrSlug);
  const organization = toUuid(grant.organizationId);
  const before = await accessOf(tx, organization, row.id);
  await grantAccess(tx, grant, row.id, access, "");
  const after = await accessOf(tx, organization, row.id);
  await audit(tx, {
    actor: { caller: grant.caller },
    action: "collection.set_access",
    target: toCollection(row).id,
    outcome: "done",
    details: { before, after },
    requestId,
  });
  return after;
}

async function grantAccess(
  tx: Transaction,
  { organizationId }: Manage,
  collection: string,
  { organization, users, groups, services }: DocumentAccess,
  path: string,
): Promise<void> {
  await requireMembers(tx, organizationId, `${path}users`, users);
  await requireGroups(tx, organizationId, `${path}groups`, groups);
  const tokens = services.map(toUuid);
  const known = await knownServices(tx, toUuid(organizationId), tokens);
  const fields = tokens.flatMap((token, i) =>
    known.has(token)
      ? []
      : [{ path: `${path}services[${i}]`, message: "expected a service token of the organization" }],
  );
  if (fields.length > 0) throw invalidRequest(fields);
  await replaceGrants(tx, toUuid(organizationId), collection, {
    organization,
    users: users.map(toUuid),
    groups: groups.map(toUuid),
    services: tokens,
  });
}
