/** Documents in files: `documents/<collection>/` of a project, with `collection.json` beside the texts. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createDocumentCollection, documentAccess, documentLanguages } from "@callboard/protocol";
import { z } from "zod";
import { type AccessWakes, type Authenticator, type Caller, manageDocuments, scopeOf } from "../access/index.ts";
import {
  createCollection,
  findManaged,
  type Prepared,
  prepareDocument,
  putDocument,
  readAccess,
  setAccess,
} from "../documents/index.ts";
import type { Database } from "../storage/index.ts";
import { makeGroups } from "./groups.ts";

const { slug } = createDocumentCollection.shape;
/** What `collection.json` says. */
const collectionFile = z.strictObject({
  name: z.string().min(1).max(200),
  description: z.string().max(2000).default(""),
  language: z.enum(documentLanguages).default("simple"),
  /** Opened to every member but guests. */
  organization: z.boolean().default(false),
  /** Slugs; groups that are missing are made, without members. */
  groups: z.array(slug).max(100).default([]),
});

export type CollectionInFiles = z.output<typeof collectionFile> & { slug: string; documents: Prepared[] };

/** @throws an error that names every folder and file that could not be loaded, and why */
export async function loadDocuments(folder: string): Promise<CollectionInFiles[]> {
  const found: CollectionInFiles[] = [];
  const problems: string[] = [];
  const root = join(folder, "documents");
  const attempt = async (path: string, work: () => Promise<void>) =>
    work().catch((error: unknown) => problems.push(`${path}: ${error instanceof Error ? error.message : error}`));
  for (const name of await namesIn(root)) {
    const path = join(root, name);
    await attempt(path, async () => {
      const said = collectionFile.safeParse(JSON.parse(await readFile(join(path, "collection.json"), "utf8")));
      if (!said.success) throw new Error(`collection.json: ${z.prettifyError(said.error)}`);
      const collection = { ...said.data, slug: slug.parse(name), documents: [] as Prepared[] };
      for (const file of (await namesIn(path)).filter((one) => one !== "collection.json")) {
        await attempt(join(path, file), async () => {
          const bytes = await readFile(join(path, file));
          collection.documents.push(await prepareDocument({ name: file, mediaType: undefined, bytes }));
        });
      }
      found.push(collection);
    });
  }
  if (problems.length > 0) throw new Error(`documents could not be loaded:\n  ${problems.join("\n  ")}`);
  return found;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

export type DocumentRooms = {
  database: Database;
  authenticator: Authenticator;
  wakes: Pick<AccessWakes, "send">;
};

/**
 * Creates the project's collections and groups that are missing, opens each collection to the groups of its file, and
 * puts new and changed documents in. People and services that were granted beside the groups stay; nothing is deleted.
 */
export async function applyDocuments(
  rooms: DocumentRooms,
  stale: Caller,
  collections: readonly CollectionInFiles[],
): Promise<void> {
  for (const collection of collections) {
    await rooms.database.tenant(scopeOf(stale), async (tx) => {
      const caller = await rooms.authenticator.hold(stale, tx);
      const groups = await makeGroups(rooms.wakes, tx, caller, collection.groups);
      const grant = manageDocuments(caller);
      const { slug, name, description, language, organization } = collection;
      const wanted = documentAccess.parse({ organization, groups });
      if (!(await findManaged(tx, grant, slug))) {
        await createCollection(tx, grant, { slug, name, description, language, access: wanted }, null);
      } else {
        const { users, services, ...before } = await readAccess(tx, grant, slug);
        const same = before.organization === organization && sameIds(before.groups, groups);
        if (!same) await setAccess(tx, grant, slug, { ...wanted, users, services }, null);
      }
      for (const document of collection.documents) await putDocument(tx, grant, slug, document);
    });
  }
}

const sameIds = (a: readonly string[], b: readonly string[]): boolean => [...a].sort().join() === [...b].sort().join();
