/** Documents, as tools and endpoints search them. */
import type { Document, DocumentHit, DocumentId } from "@callboard/protocol";

/**
 * The documents that the caller may read. There is no way to name another reader: whose they are is known from the
 * request, and the database filters by it.
 */
export type Documents = {
  /**
   * Passages that fit, best first, with citations. Passages that hold all words of the query; where none does,
   * those with any of them. `"…"` is a phrase, `or` and `-` are understood.
   *
   * @param options.collection a collection's slug or id; absent: every one that the caller may read
   * @param options.limit 1 to 50, 10 by default
   * @throws not_found for a collection that the caller may not read; insufficient_scope without `documents:read`
   */
  search(query: string, options?: { collection?: string; limit?: number }): Promise<DocumentHit[]>;
  /**
   * The text of a document, some passages at a time.
   *
   * @param options.passage the first one, from 1
   * @param options.passages how many, 60 at most, which is the default
   * @returns `next_passage` is null at the end
   * @throws not_found, insufficient_scope
   */
  read(
    id: DocumentId | string,
    options?: { passage?: number; passages?: number },
  ): Promise<{ document: Document; text: string; passage: number; next_passage: number | null }>;
};
