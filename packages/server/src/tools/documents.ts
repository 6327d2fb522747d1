/** Built-in tools: the documents that whom the run works for may read. */
import type { Tool } from "@callboard/kit";
import { MAX_QUERY_CHARS } from "@callboard/protocol";
import { z } from "zod";
import { zodTool } from "./zod-tool.ts";

export const documentTools: Record<string, Tool> = {
  documents_search: zodTool({
    description:
      "Search the documents that the person you work for may read. Gives passages, best first, each with a citation.",
    input: z.strictObject({
      query: z
        .string()
        .min(1)
        .max(MAX_QUERY_CHARS)
        .describe('Key words; "…" for a phrase, - before a word to leave out.'),
      collection: z.string().min(1).max(64).optional().describe("Slug of one collection. Leave it out to search all."),
      limit: z.number().int().min(1).max(20).default(6).describe("At most this many passages."),
    }),
    effect: "read",
    scopes: ["documents:read"],
    run: async ({ query, collection, limit }, { documents }) => {
      const hits = await documents.search(query, { limit, ...(collection === undefined ? {} : { collection }) });
      return hits.map(({ citation, collection, text }) => ({ citation, collection: collection.slug, text }));
    },
  }),
  documents_read: zodTool({
    description: "Read a document found by documents_search, from a passage on: the whole of a short one.",
    input: z.strictObject({
      document_id: z.string().max(64).describe("The document's id from a citation."),
      passage: z.number().int().min(1).default(1).describe("Passage to begin with."),
      passages: z.number().int().min(1).max(60).default(20).describe("At most this many passages."),
    }),
    effect: "read",
    scopes: ["documents:read"],
    run: async ({ document_id, passage, passages }, { documents }) => {
      const { document, ...part } = await documents.read(document_id, { passage, passages });
      return { document_id: document.id, revision: document.revision, title: document.title, ...part };
    },
  }),
};
