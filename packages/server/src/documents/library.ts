/** Documents as authors of tools and endpoints get them: of one reader, who is fixed before the author's code runs. */
import type { Documents } from "@callboard/kit";
import { CallboardError, parseId, type Scope } from "@callboard/protocol";
import type { Database, TenantScope } from "../storage/index.ts";
import { noDocument, readPart } from "./documents.ts";
import { search } from "./search.ts";

/** Passages that one `read` gives: some 100,000 characters at most. */
const MAX_PART = 60;

/**
 * @param scope whose documents these are; the database asks it for every row
 * @param scopes what the token of the caller, or of the run, may be used for
 */
export function documentsFor(
  database: Pick<Database, "tenant">,
  scope: TenantScope,
  scopes: { has(scope: Scope): boolean },
): Documents {
  const requireScope = () => {
    if (scopes.has("documents:read")) return;
    throw new CallboardError("insufficient_scope", "the token lacks the scope documents:read");
  };
  return Object.freeze<Documents>({
    async search(query, { collection, limit = 10 } = {}) {
      requireScope();
      const asked = {
        query: String(query),
        limit: Math.min(50, Math.max(1, Math.trunc(limit) || 1)),
        ...(collection === undefined ? {} : { collection: String(collection) }),
      };
      return database.tenant(scope, (tx) => search(tx, scope.organization, asked));
    },
    async read(id, { passage = 1, passages = MAX_PART } = {}) {
      requireScope();
      const documentId = parseId("document", String(id));
      const from = Math.max(1, Math.trunc(passage) || 1);
      const limit = Math.min(MAX_PART, Math.max(1, Math.trunc(passages) || 1));
      const part =
        documentId && (await database.tenant(scope, (tx) => readPart(tx, scope.organization, documentId, from, limit)));
      if (part === undefined) throw noDocument();
      return part;
    },
  });
}
