/** Documents: text that tools may search, in collections that are opened to people, groups and services. */
import { z } from "zod";
import { listOf, slug, timestamp } from "./common.ts";
import { fileName, mediaType } from "./files.ts";
import { idSchema } from "./ids.ts";

/** PostgreSQL's own text search configurations: how words are brought to their stems. `simple` leaves them. */
export const documentLanguages = [
  "simple",
  "arabic",
  "danish",
  "dutch",
  "english",
  "finnish",
  "french",
  "german",
  "hungarian",
  "indonesian",
  "italian",
  "norwegian",
  "portuguese",
  "romanian",
  "russian",
  "spanish",
  "swedish",
  "turkish",
] as const;

export const documentCollection = z
  .object({
    id: idSchema("collection"),
    slug,
    name: z.string(),
    description: z.string(),
    language: z.enum(documentLanguages),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "DocumentCollection" });
export type DocumentCollection = z.infer<typeof documentCollection>;

/** Who may read a collection. Everything is closed until something opens it. */
export const documentAccess = z
  .strictObject({
    /** Every active member of the organization but guests. */
    organization: z.boolean().default(false),
    users: z.array(idSchema("user")).max(1000).default([]),
    groups: z.array(idSchema("group")).max(1000).default([]),
    /** Service tokens, when they work for nobody. */
    services: z.array(idSchema("token")).max(1000).default([]),
  })
  .meta({ id: "DocumentAccess" });
export type DocumentAccess = z.output<typeof documentAccess>;

const collectionName = z.string().min(1).max(200);
const collectionDescription = z.string().max(2000);
export const createDocumentCollection = z.strictObject({
  slug,
  name: collectionName,
  description: collectionDescription.default(""),
  /** Fixed: the words of the documents are kept in their stems. */
  language: z.enum(documentLanguages).default("simple"),
  access: documentAccess.prefault({}),
});
export type CreateDocumentCollection = z.output<typeof createDocumentCollection>;
export const updateDocumentCollection = z.strictObject({
  name: collectionName.optional(),
  description: collectionDescription.optional(),
});
export type UpdateDocumentCollection = z.output<typeof updateDocumentCollection>;

export const document = z
  .object({
    id: idSchema("document"),
    collection_id: idSchema("collection"),
    /** The file's name: one in its collection. */
    name: fileName,
    title: z.string(),
    /** Of what was uploaded; what is kept is its text. */
    media_type: mediaType,
    /** Of what was uploaded. */
    size_bytes: z.number().int(),
    sha256: z.string(),
    /** Of a PDF. */
    pages: z.number().int().nullable(),
    /** Pieces that a search finds, numbered from 1. */
    passages: z.number().int(),
    /** Another one for each content that the document has had; `If-Match` asks for it. */
    revision: z.string(),
    created_at: timestamp,
    /** When its content was last replaced. */
    updated_at: timestamp,
  })
  .meta({ id: "Document" });
export type Document = z.infer<typeof document>;

const title = z.string().trim().min(1).max(300);

const content = {
  /** Absent: the first heading, or the name. */
  title: title.optional(),
  /** Absent: by the name's ending. */
  media_type: mediaType.optional(),
  text: z.string().optional(),
  content_base64: z.base64().optional(),
};
const hasOne = (body: { text?: string | undefined; content_base64?: string | undefined }) =>
  (body.text === undefined) !== (body.content_base64 === undefined);
const oneOfThem = { message: "expected one of text and content_base64", path: ["text"] };

/** The small form of an upload: text as it is, a PDF as base64. Larger ones come as multipart/form-data. */
export const addDocument = z.strictObject({ name: fileName, ...content }).refine(hasOne, oneOfThem);
export type AddDocument = z.output<typeof addDocument>;

/** The same for a document that is there and keeps its name. */
export const replaceDocument = z.strictObject(content).refine(hasOne, oneOfThem);
export type ReplaceDocument = z.output<typeof replaceDocument>;

/** Where in a document something stands. */
export const documentCitation = z
  .object({
    document_id: idSchema("document"),
    /** The content that was cited; the place is of no use in another one. */
    revision: z.string(),
    title: z.string(),
    passage: z.number().int(),
    /** Of a PDF; the page on which the passage begins. */
    page: z.number().int().nullable(),
    /** Of the passage in the document's text, in UTF-16 code units; `end` is the first one after it. */
    start: z.number().int(),
    end: z.number().int(),
  })
  .meta({ id: "DocumentCitation" });
export type DocumentCitation = z.infer<typeof documentCitation>;

export const documentHit = z
  .object({
    citation: documentCitation,
    collection: z.object({ id: idSchema("collection"), slug }),
    name: z.string(),
    /** The whole passage. */
    text: z.string(),
    /** The parts of the passage that hold words of the query: plain text. */
    highlight: z.string(),
    /** Where in `highlight` those words are. */
    matches: z.array(z.object({ start: z.number().int(), end: z.number().int() })),
    /** Higher fits better; of use within one answer only. */
    score: z.number(),
  })
  .meta({ id: "DocumentHit" });
export type DocumentHit = z.infer<typeof documentHit>;

export const MAX_QUERY_CHARS = 1000;
export const searchDocuments = z.strictObject({
  /** Words; `"…"` for a phrase, `or`, and `-` before a word that must not be there. */
  query: z.string().min(1).max(MAX_QUERY_CHARS),
  /** A collection's id or slug. Absent: all that the caller may read. */
  collection: z.string().min(1).max(64).optional(),
  limit: z.number().int().min(1).max(50).default(10),
});
export type SearchDocuments = z.output<typeof searchDocuments>;

export const documentHits = z.object({ data: z.array(documentHit) }).meta({ id: "DocumentHits" });
export const documentCollectionList = listOf(documentCollection);
export const documentList = listOf(document);
