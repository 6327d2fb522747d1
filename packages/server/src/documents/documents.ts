/** Documents: taken in by admins, read by whom their collection was opened to. */
import { createHash } from "node:crypto";
import {
  CallboardError,
  type Document,
  type DocumentId,
  newId,
  parseId,
  type RequestId,
  toUuid,
} from "@callboard/protocol";
import { audit, type Caller, type Grant, principalId, requireSeen, requireStorable } from "../access/index.ts";
import { decodeCursor, isUniqueViolation, LAST_UUID, type Sql, type Transaction, toPage } from "../storage/index.ts";
import { manageCollection, seeCollection } from "./collections.ts";
import { type Passage, toPassages } from "./passages.ts";
import {
  type DocumentRow,
  deleteDocument,
  findDocument,
  insertDocument,
  insertPassages,
  listDocuments,
  lockDocument,
  type PassageRow,
  replaceContent,
  showAll,
  textBetween,
  toDocument,
} from "./store.ts";
import { readText, titleOf, type Upload } from "./text.ts";

type Read = Grant<"documents.read"> | Grant<"documents.oversee">;
type Manage = Grant<"documents.manage">;

/** No document has as many. */
const MAX_PASSAGES = 2 ** 31 - 1;

export const noDocument = () => new CallboardError("not_found", "there is no such document for this caller");

/** An upload, read and cut: what adding it needs, made outside of the transaction. */
export type Prepared = {
  readonly name: string;
  readonly title: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly pages: readonly number[] | null;
  readonly passages: readonly Passage[];
};

/** @throws unsupported_media_type, file_too_large, document_unreadable */
export async function prepareDocument(upload: Upload, title?: string | undefined): Promise<Prepared> {
  requireStorable({ name: upload.name, title });
  const read = await readText(upload);
  return {
    name: upload.name,
    title: title ?? titleOf(upload.name, read),
    mediaType: read.mediaType,
    sizeBytes: upload.bytes.length,
    sha256: createHash("sha256").update(upload.bytes).digest("hex"),
    pages: read.pages,
    passages: toPassages(read.text),
  };
}

/** @throws not_found for the collection, already_exists for a name that is taken there */
export async function addDocument(
  tx: Transaction,
  grant: Manage,
  collection: string,
  prepared: Prepared,
  requestId: RequestId | null,
): Promise<Document> {
  const { caller } = grant;
  const organization = toUuid(grant.organizationId);
  const { id: collectionId } = await manageCollection(tx, grant, collection);
  const { name } = prepared;
  const at = new Date().toISOString();
  const row: DocumentRow = {
    id: toUuid(newId("document")),
    collection_id: collectionId,
    name,
    ...contentOf(prepared),
    revision: 1,
    created_at: at,
    updated_at: at,
  };
  try {
    await insertDocument(tx, organization, row, { kind: caller.kind, id: toUuid(principalId(caller)) });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new CallboardError("already_exists", `the collection has a document ${name}; replace it, or delete it first`);
  }
  await insertPassages(tx, organization, row.id, toRows(prepared));
  return audited(tx, caller, "document.add", row, requestId);
}

/**
 * Gives a document another content, in the place of all of the old one. One that is the same already stays as it is,
 * whichever revision the caller has seen.
 *
 * @param ifMatch the request's `If-Match`; without one any revision will do
 * @throws not_found, precondition_failed
 */
export async function replaceDocument(
  tx: Transaction,
  grant: Manage,
  documentId: string,
  prepared: Prepared,
  ifMatch: string | undefined,
  requestId: RequestId | null,
): Promise<Document> {
  const before = await holdDocument(tx, grant, documentId);
  if (isSame(before, prepared)) return toDocument(before);
  requireSeen(`document ${documentId}`, String(before.revision), ifMatch);
  const organization = toUuid(grant.organizationId);
  const updated_at = new Date().toISOString();
  const row: DocumentRow = { ...before, ...contentOf(prepared), revision: before.revision + 1, updated_at };
  await replaceContent(tx, organization, row);
  await insertPassages(tx, organization, row.id, toRows(prepared));
  return audited(tx, grant.caller, "document.replace", row, requestId);
}

const contentOf = ({ title, mediaType, sizeBytes, sha256, pages, passages }: Prepared) => ({
  title,
  media_type: mediaType,
  size_bytes: sizeBytes,
  sha256,
  pages: pages?.length ?? null,
  passages: passages.length,
});

const isSame = (row: DocumentRow, { title, mediaType, sha256 }: Prepared): boolean =>
  row.sha256 === sha256 && row.title === title && row.media_type === mediaType;

const toRows = ({ pages, passages }: Prepared): PassageRow[] =>
  passages.map(({ number, start, end, text }) => ({
    number,
    // The last page that begins at or before the passage.
    page: pages === null ? null : pages.filter((at) => at <= start).length,
    starts: start,
    ends: end,
    body: text,
  }));

async function audited(
  tx: Transaction,
  caller: Caller,
  action: "document.add" | "document.replace",
  row: DocumentRow,
  requestId: RequestId | null,
): Promise<Document> {
  const document = toDocument(row);
  const { name, collection_id, revision } = document;
  const details = { name, collection_id, revision };
  await audit(tx, { actor: { caller }, action, target: document.id, outcome: "done", details, requestId });
  return document;
}

/** @throws not_found, precondition_failed */
export async function removeDocument(
  tx: Transaction,
  grant: Manage,
  documentId: string,
  ifMatch: string | undefined,
  requestId: RequestId | null,
): Promise<void> {
  const row = await holdDocument(tx, grant, documentId);
  requireSeen(`document ${documentId}`, String(row.revision), ifMatch);
  await deleteDocument(tx, toUuid(grant.organizationId), row.id);
  await audit(tx, {
    actor: { caller: grant.caller },
    action: "document.delete",
    target: documentId,
    outcome: "done",
    details: { name: row.name },
    requestId,
  });
}

/** For who manages. Holds it still until the transaction ends. @throws not_found */
async function holdDocument(tx: Transaction, { organizationId }: Manage, documentId: string): Promise<DocumentRow> {
  await showAll(tx);
  const id = parseId("document", documentId);
  const row = id && (await lockDocument(tx, toUuid(organizationId), toUuid(id)));
  if (row === undefined) throw noDocument();
  return row;
}

/** For who manages: what a new content is read as. @throws not_found */
export async function nameOfManaged(tx: Transaction, grant: Manage, documentId: string): Promise<string> {
  await showAll(tx);
  const row = await seeDocument(tx, grant, documentId);
  if (row === undefined) throw noDocument();
  return row.name;
}

/** The document, if this transaction may see it. */
export async function seeDocument(
  sql: Sql,
  { organizationId }: Read | Manage,
  documentId: string,
): Promise<DocumentRow | undefined> {
  const id = parseId("document", documentId);
  return id && findDocument(sql, toUuid(organizationId), toUuid(id));
}

/** Newest first; undefined when this transaction does not see the collection. @throws invalid_request */
export async function readDocuments(
  sql: Sql,
  grant: Read,
  collection: string,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: Document[]; next_cursor: string | null } | undefined> {
  const found = await seeCollection(sql, grant, collection);
  if (found === undefined) return undefined;
  const before = decodeCursor(page.cursor, "uuid") ?? LAST_UUID;
  const rows = await listDocuments(sql, toUuid(grant.organizationId), found.id, before, page.limit + 1);
  return toPage(rows, page.limit, (row) => row.id, toDocument);
}

/** The whole text with its document; undefined when this transaction does not see it. */
export async function readWhole(
  sql: Sql,
  grant: Read,
  documentId: string,
): Promise<{ document: Document; text: string } | undefined> {
  const id = parseId("document", documentId);
  const found = id && (await textBetween(sql, toUuid(grant.organizationId), toUuid(id), 1, MAX_PASSAGES));
  return found && { document: toDocument(found.row), text: found.text };
}

export type Part = { document: Document; text: string; passage: number; next_passage: number | null };

/** Some passages of a document, joined; undefined when this transaction does not see it. */
export async function readPart(
  sql: Sql,
  organization: string,
  documentId: DocumentId,
  from: number,
  limit: number,
): Promise<Part | undefined> {
  const last = from + limit - 1;
  const found = await textBetween(sql, organization, toUuid(documentId), from, last);
  if (found === undefined) return undefined;
  const { row, text } = found;
  return { document: toDocument(row), text, passage: from, next_passage: last < row.passages ? last + 1 : null };
}
