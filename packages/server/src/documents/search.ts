/** Search: passages with all words of the query, best first; where none has them all, those with any of them. */
import { type DocumentHit, MAX_QUERY_CHARS, parseId, type SearchDocuments, toUuid } from "@callboard/protocol";
import { invalidRequest, requireStorable } from "../access/index.ts";
import type { Transaction } from "../storage/index.ts";
import { noCollection } from "./collections.ts";
import { bestPassages, readableCollections, showPassages } from "./store.ts";

/**
 * What this transaction of a tenant may see, and nothing else: the policies of the tables filter, not this.
 *
 * @throws invalid_request for a query that is too long or cannot be text; not_found for a collection it does not see
 */
export async function search(tx: Transaction, organization: string, asked: SearchDocuments): Promise<DocumentHit[]> {
  const { query, collection, limit } = asked;
  requireStorable({ query, collection });
  if (query.length > MAX_QUERY_CHARS) {
    throw invalidRequest([{ path: "query", message: `expected at most ${MAX_QUERY_CHARS} characters` }]);
  }
  const within = await readableCollections(tx, organization, keyOf(collection));
  if (within.length === 0) {
    if (collection !== undefined) throw noCollection();
    return [];
  }
  for (const anyWord of [false, true]) {
    const words = { query, anyWord };
    const keys = await tx.asServer((sql) => bestPassages(sql, organization, words, within, limit));
    if (keys.length > 0) return showPassages(tx, organization, words, keys);
  }
  return [];
}

function keyOf(collection: string | undefined): { id: string | null; slug: string | null } {
  if (collection === undefined) return { id: null, slug: null };
  const id = parseId("collection", collection);
  return id === undefined ? { id: null, slug: collection } : { id: toUuid(id), slug: null };
}
