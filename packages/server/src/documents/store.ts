/** SQL of collections, grants, documents and their passages. All of it runs in a tenant's transaction. */
import {
  type Document,
  type DocumentAccess,
  type DocumentCollection,
  type DocumentHit,
  fromUuid,
} from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";

const openAll = statement("documents.open-all", "select set_config('callboard.documents', 'all', true)");
/** From here to the end of the transaction the policies show every document of the tenant: for admins. */
export const showAll = (sql: Sql): Promise<unknown> => sql.row(openAll);

// Collections

export type CollectionRow = Omit<DocumentCollection, "id"> & { id: string };
export const toCollection = (row: CollectionRow): DocumentCollection => ({
  ...row,
  id: fromUuid("collection", row.id),
});

const collectionColumns = "id, slug, name, description, language, created_at, updated_at";
const collection = statement(
  "collections.get",
  `select ${collectionColumns} from document_collections
    where organization_id = $1 and (id = $2::uuid or ($2 is null and slug = $3))`,
);
/** @param key the id, or null and the slug */
export const findCollection = (sql: Sql, organization: string, key: { id: string | null; slug: string }) =>
  sql.row<CollectionRow>(collection, [organization, key.id, key.slug]);

// Served by the primary key.
const collections = statement(
  "collections.list",
  `select ${collectionColumns} from document_collections where organization_id = $1 and id > $2 order by id limit $3`,
);
export const listCollections = (sql: Sql, organization: string, after: string, limit: number) =>
  sql.rows<CollectionRow>(collections, [organization, after, limit]);

const insertOne = statement(
  "collections.insert",
  `insert into document_collections (organization_id, id, slug, name, description, language)
   values ($1, $2, $3, $4, $5, $6)`,
);
export const insertCollection = (
  sql: Sql,
  organization: string,
  row: Omit<CollectionRow, "created_at" | "updated_at">,
) => sql.run(insertOne, [organization, row.id, row.slug, row.name, row.description, row.language]);

const change = statement(
  "collections.update",
  `update document_collections set name = coalesce($3, name), description = coalesce($4, description),
          updated_at = now() where organization_id = $1 and id = $2`,
);
export const changeCollection = (
  sql: Sql,
  organization: string,
  id: string,
  name: string | null,
  description: string | null,
) => sql.run(change, [organization, id, name, description]);

const removeOne = statement(
  "collections.delete",
  "delete from document_collections where organization_id = $1 and id = $2",
);
export const deleteCollection = (sql: Sql, organization: string, id: string) => sql.run(removeOne, [organization, id]);

// Grants

const grants = statement(
  "collections.grants",
  `select user_id, group_id, token_id from collection_grants where organization_id = $1 and collection_id = $2
    order by subject`,
);
export async function accessOf(sql: Sql, organization: string, id: string): Promise<DocumentAccess> {
  type Row = { user_id: string | null; group_id: string | null; token_id: string | null };
  const rows = await sql.rows<Row>(grants, [organization, id]);
  return {
    organization: rows.some((row) => row.user_id === null && row.group_id === null && row.token_id === null),
    users: rows.flatMap(({ user_id: user }) => (user === null ? [] : [fromUuid("user", user)])),
    groups: rows.flatMap(({ group_id: group }) => (group === null ? [] : [fromUuid("group", group)])),
    services: rows.flatMap(({ token_id: token }) => (token === null ? [] : [fromUuid("token", token)])),
  };
}

const clear = statement(
  "collections.clear-grants",
  "delete from collection_grants where organization_id = $1 and collection_id = $2",
);
const fill = statement(
  "collections.add-grants",
  `insert into collection_grants (organization_id, collection_id, user_id, group_id, token_id)
   select $1::uuid, $2::uuid, u, null::uuid, null::uuid from unnest($3::uuid[]) u
   union select $1::uuid, $2::uuid, null, g, null from unnest($4::uuid[]) g
   union select $1::uuid, $2::uuid, null, null, t from unnest($5::uuid[]) t
   union select $1::uuid, $2::uuid, null, null, null where $6`,
);
/** Uuids. */
export type Grantees = { users: string[]; groups: string[]; services: string[]; organization: boolean };
export async function replaceGrants(sql: Sql, organization: string, id: string, given: Grantees): Promise<void> {
  await sql.run(clear, [organization, id]);
  const { users, groups, services } = given;
  await sql.run(fill, [organization, id, users, groups, services, given.organization]);
}

const services = statement(
  "collections.known-services",
  "select id from tokens where organization_id = $1 and kind = 'service' and id = any($2::uuid[])",
);
/** Those of the given service tokens that there are. */
export const knownServices = async (sql: Sql, organization: string, ids: string[]): Promise<Set<string>> =>
  new Set((await sql.rows<{ id: string }>(services, [organization, ids])).map(({ id }) => id));

// Documents

export type DocumentRow = Omit<Document, "id" | "collection_id" | "revision"> & {
  id: string;
  collection_id: string;
  revision: number;
};
export const toDocument = (row: DocumentRow): Document => ({
  ...row,
  id: fromUuid("document", row.id),
  collection_id: fromUuid("collection", row.collection_id),
  revision: String(row.revision),
});

const documentColumns = `id, collection_id, name, title, media_type, size_bytes, sha256, pages, passages, revision,
  created_at, updated_at`;
const one = statement(
  "documents.get",
  `select ${documentColumns} from documents where organization_id = $1 and id = $2`,
);
export const findDocument = (sql: Sql, organization: string, id: string) =>
  sql.row<DocumentRow>(one, [organization, id]);

const locked = statement(
  "documents.lock",
  `select ${documentColumns} from documents where organization_id = $1 and id = $2 for update`,
);
/** Holds it still until the transaction ends. */
export const lockDocument = (sql: Sql, organization: string, id: string) =>
  sql.row<DocumentRow>(locked, [organization, id]);

// Served by the unique index on the collection.
const many = statement(
  "documents.list",
  `select ${documentColumns} from documents where organization_id = $1 and collection_id = $2 and id < $3
    order by id desc limit $4`,
);
export const listDocuments = (sql: Sql, organization: string, collectionId: string, before: string, limit: number) =>
  sql.rows<DocumentRow>(many, [organization, collectionId, before, limit]);

const insertDocumentRow = statement(
  "documents.insert",
  `insert into documents (organization_id, id, collection_id, name, title, media_type, size_bytes, sha256, pages,
     passages, revision, created_by_kind, created_by_id, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
);
export type Creator = { kind: "user" | "service"; id: string };
export const insertDocument = (sql: Sql, organization: string, row: DocumentRow, by: Creator) =>
  sql.run(insertDocumentRow, [
    organization,
    row.id,
    row.collection_id,
    row.name,
    row.title,
    row.media_type,
    row.size_bytes,
    row.sha256,
    row.pages,
    row.passages,
    row.revision,
    by.kind,
    by.id,
    row.created_at,
    row.updated_at,
  ]);

const replaceRow = statement(
  "documents.replace",
  `with gone as (delete from document_passages where organization_id = $1 and document_id = $2)
   update documents set title = $3, media_type = $4, size_bytes = $5, sha256 = $6, pages = $7, passages = $8,
          revision = $9, updated_at = $10
    where organization_id = $1 and id = $2`,
);
/** Takes its passages away; the new ones are the caller's to insert, in the same transaction. */
export const replaceContent = (sql: Sql, organization: string, row: DocumentRow) =>
  sql.run(replaceRow, [
    organization,
    row.id,
    row.title,
    row.media_type,
    row.size_bytes,
    row.sha256,
    row.pages,
    row.passages,
    row.revision,
    row.updated_at,
  ]);

// The title's words count for each passage: who asks for a thing by its name finds the passages about it.
const insertMany = statement(
  "documents.insert-passages",
  `insert into document_passages (organization_id, collection_id, document_id, number, page, starts, ends, body, words)
   select d.organization_id, d.collection_id, d.id, p.number, p.page, p.starts, p.ends, p.body,
          setweight(to_tsvector(c.language::regconfig, d.title), 'A') || to_tsvector(c.language::regconfig, p.body)
     from documents d
     join document_collections c on c.organization_id = d.organization_id and c.id = d.collection_id
    cross join unnest($3::int[], $4::int[], $5::int[], $6::int[], $7::text[]) as p (number, page, starts, ends, body)
    where d.organization_id = $1 and d.id = $2`,
);
export type PassageRow = { number: number; page: number | null; starts: number; ends: number; body: string };
export const insertPassages = (sql: Sql, organization: string, documentId: string, rows: readonly PassageRow[]) =>
  sql.run(insertMany, [
    organization,
    documentId,
    rows.map(({ number }) => number),
    rows.map(({ page }) => page),
    rows.map(({ starts }) => starts),
    rows.map(({ ends }) => ends),
    rows.map(({ body }) => body),
  ]);

// One statement, so that the text is that of the revision beside it.
const text = statement(
  "documents.text",
  `select ${documentColumns}, coalesce((
            select string_agg(p.body, '' order by p.number) from document_passages p
             where p.organization_id = $1 and p.document_id = $2 and p.number >= $3 and p.number <= $4), '') as text
     from documents where organization_id = $1 and id = $2`,
);
/** The document and the text of the passages from one to another, which need not be there. */
export async function textBetween(
  sql: Sql,
  organization: string,
  documentId: string,
  first: number,
  last: number,
): Promise<{ row: DocumentRow; text: string } | undefined> {
  type Found = DocumentRow & { text: string };
  const found = await sql.row<Found>(text, [organization, documentId, first, last]);
  if (found === undefined) return undefined;
  const { text: joined, ...row } = found;
  return { row, text: joined };
}

const removeDocument = statement("documents.delete", "delete from documents where organization_id = $1 and id = $2");
export const deleteDocument = (sql: Sql, organization: string, id: string) =>
  sql.run(removeDocument, [organization, id]);

// Search
//
// PostgreSQL does not use the index of words under a policy: an operator that might leak must not see rows before the
// policy has, so it reads every passage of the reader's. With 50,000 of them that took 1.1 s. Therefore three
// statements, of which the second is the server's: the collections there are for the reader; the keys of the best
// passages in those; the passages of these keys, as far as the policies show them. That takes 10 ms for a rare word,
// and 0.25 s for one in every seventh passage.

/** Around words of the query in a highlight: characters that no stored text has. */
export const MARKS = { start: "\u0002", end: "\u0003" } as const;
const headline = `StartSel=${MARKS.start}, StopSel=${MARKS.end}, MaxFragments=2, MinWords=12, MaxWords=40, FragmentDelimiter=" … "`;

const readable = statement(
  "documents.readable",
  `select id, language from document_collections
    where organization_id = $1 and ($2::uuid is null or id = $2) and ($3::text is null or slug = $3)`,
);
export type Readable = { id: string; language: string };
/** The collections this transaction sees: one of them, or all. */
export const readableCollections = (sql: Sql, organization: string, key: { id: string | null; slug: string | null }) =>
  sql.rows<Readable>(readable, [organization, key.id, key.slug]);

// `websearch_to_tsquery` makes something of any text. Words that must not be there forbid the second form: either of
// "a" and "not b" would be nearly everything.
const toQuery = (language: string, query: string, anyWord: string) => `case when not ${anyWord}
  then websearch_to_tsquery(${language}::regconfig, ${query})
  when websearch_to_tsquery(${language}::regconfig, ${query})::text like '%!%' then ''::tsquery
  else replace(websearch_to_tsquery(${language}::regconfig, ${query})::text, ' & ', ' | ')::tsquery end`;

// Served by the index of words. Ranking reads each match's words, so a word that is everywhere is ranked among its
// first matches only. Materialized: else the query is parsed anew for each of them.
const MAX_RANKED = 5000;
const candidates = statement(
  "documents.candidates",
  `with asked as materialized (
     select array_agg(c.id) as ids, ${toQuery("c.language", "$2", "$3")} as query
       from unnest($4::uuid[], $5::text[]) as c (id, language) group by c.language
   ), matching as (
     select p.document_id, p.number, p.words, a.query
       from asked a
       join document_passages p on p.organization_id = $1 and p.words @@ a.query and p.collection_id = any (a.ids)
      limit ${MAX_RANKED}
   )
   select document_id, number, ts_rank(words, query) as score
     from matching order by score desc, document_id, number limit $6`,
);
export type Candidate = { document_id: string; number: number; score: number };
export type Words = {
  query: string;
  /** Passages with any of the words, in the place of those with all of them. */
  anyWord: boolean;
};
/** The keys of the best passages in these collections; asked as the server, which is shown every one. */
export const bestPassages = (
  sql: Sql,
  organization: string,
  { query, anyWord }: Words,
  within: readonly Readable[],
  limit: number,
) =>
  sql.rows<Candidate>(candidates, [
    organization,
    query,
    anyWord,
    within.map(({ id }) => id),
    within.map(({ language }) => language),
    limit,
  ]);

const hits = statement(
  "documents.hits",
  `select p.document_id, p.number, p.page, p.starts, p.ends, p.body, c.id as collection_id, c.slug, k.score, d.title,
          d.name, d.revision, ts_headline(c.language::regconfig, p.body, ${toQuery("c.language", "$2", "$3")}, $4) as marked
     from unnest($5::uuid[], $6::int[], $7::real[]) as k (document_id, number, score)
     join document_passages p
       on p.organization_id = $1 and p.document_id = k.document_id and p.number = k.number
     join documents d on d.organization_id = $1 and d.id = p.document_id
     join document_collections c on c.organization_id = $1 and c.id = p.collection_id
    order by k.score desc, p.document_id, p.number`,
);
type HitRow = {
  document_id: string;
  number: number;
  page: number | null;
  starts: number;
  ends: number;
  body: string;
  collection_id: string;
  slug: string;
  score: number;
  title: string;
  name: string;
  revision: number;
  marked: string;
};
/** The passages of these keys that this transaction sees. */
export async function showPassages(
  sql: Sql,
  organization: string,
  { query, anyWord }: Words,
  keys: readonly Candidate[],
): Promise<DocumentHit[]> {
  const rows = await sql.rows<HitRow>(hits, [
    organization,
    query,
    anyWord,
    headline,
    keys.map((key) => key.document_id),
    keys.map(({ number }) => number),
    keys.map(({ score }) => score),
  ]);
  return rows.map(toHit);
}

function toHit(row: HitRow): DocumentHit {
  return {
    citation: {
      document_id: fromUuid("document", row.document_id),
      revision: String(row.revision),
      title: row.title,
      passage: row.number,
      page: row.page,
      start: row.starts,
      end: row.ends,
    },
    collection: { id: fromUuid("collection", row.collection_id), slug: row.slug },
    name: row.name,
    text: row.body,
    ...toHighlight(row.marked),
    score: row.score,
  };
}

/** Marks out of the text, and what they stood around. */
export function toHighlight(marked: string): Pick<DocumentHit, "highlight" | "matches"> {
  const matches: DocumentHit["matches"] = [];
  let highlight = "";
  for (const [i, part] of marked.split(MARKS.start).entries()) {
    const [match = "", rest] = part.split(MARKS.end);
    if (i > 0 && rest !== undefined) matches.push({ start: highlight.length, end: highlight.length + match.length });
    highlight += match + (rest ?? "");
  }
  return { highlight, matches };
}
