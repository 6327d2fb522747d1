import type { DocumentHit } from "@callboard/client";
import type { Command } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { toUpload } from "../local-file.ts";
import { given, listed, type PageOptions, paged, printPage, wholeNumber } from "../options.ts";
import { plain, printJson, printOne, styled, write } from "../output.ts";

type SearchOptions = { collection?: string; limit?: number };
type ReplaceOptions = { type?: string; revision?: string };

export function addDocumentCommands(program: Command, contextOf: ContextOf): void {
  const documents = program.command("documents").description("text that people and agents may search");

  documents
    .command("search <query>")
    .description("search what you may read: passages, best first, with citations")
    .option("--collection <collection>", "within one collection, by slug or id")
    .option("--limit <n>", "passages, 1 to 50", wholeNumber)
    .action(async (query: string, options: SearchOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const found = await client.documents.search(query, options);
      if (json) printJson(found);
      else for (const hit of found.data) printHit(hit);
    });

  documents
    .command("add <collection> <path>")
    .description("add a text, a Markdown page or a PDF to a collection")
    .option("--type <media type>", "media type (default: by the file's ending)")
    .action(async (collection: string, path: string, { type }: { type?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      const document = await client.documents.upload(collection, await toUpload(path, type));
      printOne(json, document);
    });

  documents
    .command("replace <document> <path>")
    .description("give a document another content; its id and name stay")
    .option("--type <media type>", "media type (default: by the file's ending)")
    .option("--revision <revision>", "only in the place of this one, which you have seen")
    .action(async (documentId: string, path: string, { type, revision }: ReplaceOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const seen = given({ ifRevision: revision });
      const document = await client.documents.replaceWith(documentId, await toUpload(path, type), seen);
      printOne(json, document);
    });

  paged(documents.command("list <collection>"))
    .description("list a collection's documents, newest first")
    .action(async (collection: string, options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, (at) => client.documents.list(collection, at));
      printPage(json, page, ["id", "name", "title", "media_type", "passages", "revision", "updated_at"]);
    });

  documents
    .command("show <document>")
    .description("print a document's text")
    .action(async (documentId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const text = await (await client.documents.content(documentId)).text();
      if (json) printJson({ ...(await client.documents.get(documentId)), text });
      else write(plain(text));
    });

  documents
    .command("get <document>")
    .description("retrieve what is known about a document")
    .action(async (documentId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.documents.get(documentId));
    });

  confirming(documents.command("delete <document>"))
    .description("delete a document")
    .option("--revision <revision>", "only if it is still this one, which you have seen")
    .action(async (documentId: string, options: ConfirmOptions & { revision?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete document ${documentId}`, options, json)) {
        await client.documents.delete(documentId, given({ ifRevision: options.revision }));
      }
    });
}

function printHit({ citation, collection, highlight, matches }: DocumentHit): void {
  const page = citation.page === null ? "" : `, page ${citation.page}`;
  const where = `${collection.slug} · passage ${citation.passage}${page} · ${citation.document_id}`;
  let text = "";
  let at = 0;
  for (const { start, end } of matches) {
    text += plain(highlight.slice(at, start)) + styled("bold", plain(highlight.slice(start, end)));
    at = end;
  }
  text += plain(highlight.slice(at));
  write(
    `${styled("bold", plain(citation.title))}\n${styled("dim", plain(where))}\n${text.replace(/\s+/g, " ").trim()}\n\n`,
  );
}
