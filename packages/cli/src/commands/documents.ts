import type { DocumentHit } from "@callboard/client";
import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { toUpload } from "../local-file.ts";
import { collect, type PageOptions, paged, pageOf, printPage, wholeNumber } from "../options.ts";
import { plain, printFields, printJson, styled, write } from "../output.ts";
import { groupIds } from "./people.ts";

type SearchOptions = { collection?: string; limit?: number };
type ReplaceOptions = { type?: string; revision?: string };
type CreateOptions = { name?: string; language?: string; organization?: true; group?: string[] };

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
      if (json) printJson(document);
      else printFields(document);
    });

  documents
    .command("replace <document> <path>")
    .description("give a document another content; its id and name stay")
    .option("--type <media type>", "media type (default: by the file's ending)")
    .option("--revision <revision>", "only in the place of this one, which you have seen")
    .action(async (documentId: string, path: string, { type, revision }: ReplaceOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const seen = revision === undefined ? {} : { ifRevision: revision };
      const document = await client.documents.replaceWith(documentId, await toUpload(path, type), seen);
      if (json) printJson(document);
      else printFields(document);
    });

  paged(documents.command("list <collection>"))
    .description("list a collection's documents, newest first")
    .action(async (collection: string, options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.documents.list(collection, pageOf(options));
      printPage(json, page, ["id", "name", "title", "media_type", "passages", "created_at"]);
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
    .command("delete <document>")
    .description("delete a document")
    .action(async (documentId: string, _: unknown, command: Command) => {
      await contextOf(command).client.documents.delete(documentId);
    });

  paged(documents.command("collections"))
    .description("list the collections that you may read, or all of them as an admin")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printPage(json, await client.collections.list(pageOf(options)), ["id", "slug", "name", "language"]);
    });

  documents
    .command("create-collection <slug>")
    .description("create a collection; without an option nobody may read it")
    .option("--name <text>", "its name (default: the slug)")
    .option("--language <language>", "how words are brought to their stems, like english (default: simple)")
    .option("--organization", "open it to every member but guests")
    .option("--group <group>", "open it to a group, by slug or id (repeatable)", collect)
    .action(async (slug: string, { name, language, organization, group }: CreateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      type Body = Parameters<typeof client.collections.create>[0];
      const groups = await groupIds(client, group);
      const body = { slug, name: name ?? slug, access: { organization: organization === true, groups } };
      // The server knows its languages, and says which one it does not know.
      const made = await client.collections.create({ ...body, ...(language ? { language } : {}) } as Body);
      if (json) printJson(made);
      else printFields(made);
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
