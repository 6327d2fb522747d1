/** Documents: collections and their grants for admins, search and reading for whom they were granted to. */
import { type AddDocument, type AuditAction, type ReplaceDocument, toUuid } from "@callboard/protocol";
import {
  type Acts,
  audit,
  type Grant,
  manageDocuments,
  overseeDocuments,
  readDocuments as readGranted,
  scopeOf,
} from "../access/index.ts";
import {
  addDocument,
  createCollection,
  MAX_DOCUMENT_BYTES,
  nameOfManaged,
  noCollection,
  noDocument,
  prepareDocument,
  readAccess,
  readCollections,
  readDocuments,
  readWhole,
  removeCollection,
  removeDocument,
  replaceDocument,
  search,
  seeCollection,
  seeDocument,
  setAccess,
  showAll,
  toCollection,
  toDocument,
  tooLarge,
  type Upload,
  updateCollection,
} from "../documents/index.ts";
import type { Database, Transaction } from "../storage/index.ts";
import type { ApiRequest, Handlers } from "./handler.ts";
import { takePart } from "./multipart.ts";

export type DocumentRooms = { readonly database: Database; readonly acts: Acts };

type DocumentRoute =
  | `collections.${"list" | "create" | "get" | "update" | "delete" | "getAccess" | "setAccess"}`
  | `documents.${"list" | "add" | "get" | "content" | "replace" | "delete" | "search"}`;
type Reading = Grant<"documents.read"> | Grant<"documents.oversee">;
type Asked = Pick<ApiRequest<DocumentRoute>, "caller" | "requestId">;

export function documentHandlers({ database, acts }: DocumentRooms): Pick<Handlers, DocumentRoute> {
  const granted = <T>({ caller }: Asked, work: (tx: Transaction, grant: Reading) => Promise<T>): Promise<T> => {
    const grant = readGranted(caller);
    return database.tenant(scopeOf(caller), (tx) => work(tx, grant));
  };

  /** All of the tenant's, for an admin; what was granted, for everybody else. For what is no content. */
  const known = <T>(request: Asked, work: (tx: Transaction, grant: Reading) => Promise<T>): Promise<T> => {
    const oversee = overseeDocuments(request.caller);
    if (oversee === undefined) return granted(request, work);
    return database.tenant(scopeOf(request.caller), async (tx) => {
      await showAll(tx);
      return work(tx, oversee);
    });
  };

  /** Content: what was granted; an admin's look beyond that is audited. */
  async function seen<T>(
    request: Asked,
    action: AuditAction,
    target: string,
    work: (tx: Transaction, grant: Reading) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const found = await granted(request, work);
    if (found !== undefined || overseeDocuments(request.caller) === undefined) return found;
    return known(request, async (tx, grant) => {
      const beyond = await work(tx, grant);
      const actor = { caller: grant.caller };
      const { requestId } = request;
      if (beyond !== undefined) await audit(tx, { actor, action, target, outcome: "done", requestId });
      return beyond;
    });
  }

  const document = <T>(
    request: ApiRequest<"documents.get" | "documents.content">,
    work: (tx: Transaction, grant: Reading, id: string) => Promise<T | undefined>,
  ) => {
    const id = request.params.document_id;
    return seen(request, "document.read_as_admin", id, (tx, grant) => work(tx, grant, id));
  };

  return {
    "collections.list": (request) => known(request, (tx, grant) => readCollections(tx, grant, request.query)),

    "collections.get": async (request) => {
      const found = await known(request, (tx, grant) => seeCollection(tx, grant, request.params.collection_id));
      if (found === undefined) throw noCollection();
      return toCollection(found);
    },

    "collections.create": (request) =>
      acts.once(request, "collection.create", (tx, caller) =>
        createCollection(tx, manageDocuments(caller), request.body, request.requestId),
      ),

    "collections.update": (request) => {
      const { params, body, requestId } = request;
      return acts.run(request, "collection.update", params.collection_id, (tx, caller) =>
        updateCollection(tx, manageDocuments(caller), params.collection_id, body, requestId),
      );
    },

    "collections.delete": async (request) => {
      const { params, requestId } = request;
      await acts.run(request, "collection.delete", params.collection_id, (tx, caller) =>
        removeCollection(tx, manageDocuments(caller), params.collection_id, requestId),
      );
    },

    "collections.getAccess": (request) =>
      database.tenant(scopeOf(request.caller), (tx) =>
        readAccess(tx, manageDocuments(request.caller), request.params.collection_id),
      ),

    "collections.setAccess": (request) => {
      const { params, body, requestId } = request;
      return acts.run(request, "collection.set_access", params.collection_id, (tx, caller) =>
        setAccess(tx, manageDocuments(caller), params.collection_id, body, requestId),
      );
    },

    "documents.list": async (request) => {
      const { params, query } = request;
      const page = await seen(request, "collection.read_as_admin", params.collection_id, (tx, grant) =>
        readDocuments(tx, grant, params.collection_id, query),
      );
      if (page === undefined) throw noCollection();
      return page;
    },

    "documents.add": (request) => {
      const { params, body, requestId } = request;
      const prepare = async () => {
        manageDocuments(request.caller);
        const upload = body === undefined ? await takeForm(request) : fromJson(body);
        const value = await prepareDocument(upload, body?.title);
        return { value, request: [value.name, value.title, value.mediaType, value.sha256] };
      };
      return acts.prepared(request, "document.add", params.collection_id, prepare, (tx, caller, prepared) =>
        addDocument(tx, manageDocuments(caller), params.collection_id, prepared, requestId),
      );
    },

    "documents.get": async (request) => {
      const row = await document(request, seeDocument);
      if (row === undefined) throw noDocument();
      return toDocument(row);
    },

    "documents.content": async (request) => {
      const found = await document(request, readWhole);
      if (found === undefined) throw noDocument();
      const bytes = Buffer.from(found.text);
      request.outgoing.writeHead(200, {
        "content-type": "text/plain; charset=utf-8",
        "content-length": bytes.length,
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-store",
        "x-request-id": request.requestId,
      });
      request.outgoing.end(bytes);
      return { kind: "streamed" };
    },

    "documents.replace": (request) => {
      const { params, body, requestId, headers } = request;
      const id = params.document_id;
      const prepare = async () => {
        const grant = manageDocuments(request.caller);
        const name = await database.tenant(scopeOf(request.caller), (tx) => nameOfManaged(tx, grant, id));
        const upload = body === undefined ? await takeForm(request) : fromJson({ ...body, name });
        const value = await prepareDocument({ ...upload, name }, body?.title);
        return { value, request: [value.title, value.mediaType, value.sha256] };
      };
      return acts.prepared(request, "document.replace", id, prepare, (tx, caller, prepared) =>
        replaceDocument(tx, manageDocuments(caller), id, prepared, headers["if-match"], requestId),
      );
    },

    "documents.delete": async (request) => {
      const { params, requestId, headers } = request;
      await acts.run(request, "document.delete", params.document_id, (tx, caller) =>
        removeDocument(tx, manageDocuments(caller), params.document_id, headers["if-match"], requestId),
      );
    },

    "documents.search": async (request) => {
      const { caller, body } = request;
      return { data: await granted(request, (tx) => search(tx, toUuid(caller.organizationId), body)) };
    },
  };
}

/** The upload's bytes, in memory: they are read whole to get at the text. */
function takeForm({ incoming }: Pick<ApiRequest<DocumentRoute>, "incoming">): Promise<Upload> {
  return takePart(incoming, MAX_DOCUMENT_BYTES, {
    take: async (stream, part) => {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > MAX_DOCUMENT_BYTES) throw tooLarge();
        chunks.push(chunk);
      }
      return { ...part, bytes: Buffer.concat(chunks) };
    },
    undo: async () => undefined,
  });
}

type Given = ReplaceDocument & Pick<AddDocument, "name">;
const fromJson = ({ name, media_type: mediaType, text, content_base64: base64 }: Given): Upload => ({
  name,
  // Text that came as text is text, whatever its name says.
  mediaType: mediaType ?? (text !== undefined && !/\.(md|markdown)$/i.test(name) ? "text/plain" : undefined),
  bytes: text === undefined ? Buffer.from(base64 as string, "base64") : Buffer.from(text),
});
