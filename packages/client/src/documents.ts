/** Collections of documents, and what is in them. `collection` is an id or a slug. */
import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, IfRevision, QueryInput, RequestOptions } from "./types.ts";
import { toMultipart, type Upload } from "./upload.ts";

export function collectionCalls({ call }: Transport) {
  const byId = (collection: string, options?: RequestOptions) => ({
    params: { collection_id: collection },
    ...options,
  });
  return {
    /** Those that the caller may read; for admins all of them. */
    list: (query?: QueryInput<"collections.list">, options?: RequestOptions) =>
      call("collections.list", { query, ...options }),

    create: (body: RouteBodyInput<"collections.create">, options?: CreateOptions) =>
      call("collections.create", { body, ...options }),

    get: (collection: string, options?: RequestOptions) => call("collections.get", byId(collection, options)),

    update: (collection: string, body: RouteBodyInput<"collections.update">, options?: RequestOptions) =>
      call("collections.update", { body, ...byId(collection, options) }),

    /** Deletes the collection with its documents. */
    delete: (collection: string, options?: RequestOptions) => call("collections.delete", byId(collection, options)),

    /** Who may read it. */
    getAccess: (collection: string, options?: RequestOptions) =>
      call("collections.getAccess", byId(collection, options)),

    /** Replaces who may read it. */
    setAccess: (collection: string, body: RouteBodyInput<"collections.setAccess">, options?: RequestOptions) =>
      call("collections.setAccess", { body, ...byId(collection, options) }),
  };
}

export function documentCalls({ call, open }: Transport) {
  const byId = (documentId: string, options?: RequestOptions) => ({ params: { document_id: documentId }, ...options });
  return {
    /** Passages that fit, best first, with citations: of what the caller may read. */
    search: (query: string, more?: Omit<RouteBodyInput<"documents.search">, "query">, options?: RequestOptions) =>
      call("documents.search", { body: { query, ...more }, ...options }),

    /** Documents of a collection, newest first. */
    list: (collection: string, query?: QueryInput<"documents.list">, options?: RequestOptions) =>
      call("documents.list", { params: { collection_id: collection }, query, ...options }),

    /** Adds a text, a Markdown page or a PDF. */
    upload: async (collection: string, file: Upload, options?: CreateOptions) =>
      call("documents.add", {
        params: { collection_id: collection },
        rawBody: await toMultipart(file, options?.signal),
        ...options,
      }),

    /** Adds a text, with a title of your own. */
    add: (collection: string, body: RouteBodyInput<"documents.add">, options?: CreateOptions) =>
      call("documents.add", { params: { collection_id: collection }, body, ...options }),

    get: (documentId: string, options?: RequestOptions) => call("documents.get", byId(documentId, options)),

    /** The document's text, whole, as a Response whose body has not been read: take `text()` of it. */
    content: (documentId: string, options?: RequestOptions): Promise<Response> =>
      open("documents.content", { ...byId(documentId, options), headers: { accept: "*/*", ...options?.headers } }),

    /** Gives the document another content; its id and name stay. With `ifRevision` only in the place of that one. */
    replace: (documentId: string, body: RouteBodyInput<"documents.replace">, options?: CreateOptions & IfRevision) =>
      call("documents.replace", { body, ...byId(documentId, options) }),

    /** The same with a file. */
    replaceWith: async (documentId: string, file: Upload, options?: CreateOptions & IfRevision) =>
      call("documents.replace", { rawBody: await toMultipart(file, options?.signal), ...byId(documentId, options) }),

    delete: (documentId: string, options?: RequestOptions & IfRevision) =>
      call("documents.delete", byId(documentId, options)),
  };
}
