/** Documents in files: `documents/<collection>/` of a project, with `collection.json` beside the texts. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createDocumentCollection, documentAccess, documentLanguages, toUuid } from "@callboard/protocol";
import { z } from "zod";
import {
  type AccessWakes,
  type Authenticator,
  type Caller,
  createGroup,
  findGroups,
  type Grant,
  manageDocuments,
  manageMembers,
  scopeOf,
} from "../access/index.ts";
import {
  addDocument,
  createCollection,
  findManaged,
  prepareDocument,
  readAccess,
  removeDocument,
  replaceDocument,
  setAccess,
  updateCollection,
} from "../documents/index.ts";
import type { Database, Transaction } from "../storage/index.ts";
import {
  accessFor,
  type CollectionInFiles,
  type CollectionPlan,
  type DocumentInFile,
  type DocumentPlan,
  type FoundCollection,
  type KnownGroups,
  planCollections,
  writes,
} from "./plan-documents.ts";

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
      const documents: DocumentInFile[] = [];
      for (const file of (await namesIn(path)).filter((one) => one !== "collection.json")) {
        const place = join(path, file);
        await attempt(place, async () => {
          const bytes = await readFile(place);
          const prepared = await prepareDocument({ name: file, mediaType: undefined, bytes });
          documents.push({ ...prepared, path: place });
        });
      }
      found.push({ ...said.data, slug: slug.parse(name), documents });
    });
  }
  if (problems.length > 0) {
    const message = `documents could not be loaded:\n  ${problems.join("\n  ")}`;
    throw Object.assign(new Error(message), { code: "project" });
  }
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
 * Makes the organization's collections those of the project, each in one commit. Deletes nothing.
 *
 * @returns what was done
 */
export async function applyDocuments(
  rooms: DocumentRooms,
  stale: Caller,
  collections: readonly CollectionInFiles[],
): Promise<CollectionPlan[]> {
  const done: CollectionPlan[] = [];
  for (const file of collections) {
    done.push(
      await rooms.database.tenant(scopeOf(stale), async (tx) => {
        const caller = await rooms.authenticator.hold(stale, tx);
        const grant = manageDocuments(caller);
        const groups = new Map(await findGroups(tx, toUuid(caller.organizationId), file.groups));
        const found = await findCollection(tx, grant, file.slug);
        const [plan] = planCollections([file], found === undefined ? [] : [found], groups) as [CollectionPlan];
        for (const slug of plan.newGroups) {
          const body = { slug, name: slug, user_ids: [] };
          groups.set(slug, (await createGroup(tx, rooms.wakes, manageMembers(caller), body, null)).id);
        }
        await carryOut(tx, grant, plan, found, groups);
        return plan;
      }),
    );
  }
  return done;
}

type Manage = Grant<"documents.manage">;

async function findCollection(tx: Transaction, grant: Manage, slug: string): Promise<FoundCollection | undefined> {
  const found = await findManaged(tx, grant, slug);
  return found && { ...found, access: await readAccess(tx, grant, slug) };
}

async function carryOut(
  tx: Transaction,
  grant: Manage,
  plan: CollectionPlan,
  found: FoundCollection | undefined,
  groups: KnownGroups,
): Promise<void> {
  const { slug, name, description, language } = plan.file;
  const access = accessFor(plan, found?.access ?? documentAccess.parse({}), groups);
  if (found === undefined) await createCollection(tx, grant, { slug, name, description, language, access }, null);
  else {
    const { settings, access: opens } = writes(plan);
    if (settings) await updateCollection(tx, grant, slug, { name, description }, null);
    if (opens) await setAccess(tx, grant, slug, access, null);
  }
  for (const one of plan.documents) await put(tx, grant, slug, one);
}

async function put(tx: Transaction, grant: Manage, collection: string, plan: DocumentPlan): Promise<void> {
  if (plan.action === "add") await addDocument(tx, grant, collection, plan.file, null);
  if (plan.action === "replace") await replaceDocument(tx, grant, plan.document.id, plan.file, undefined, null);
  if (plan.action === "delete") await removeDocument(tx, grant, plan.document.id, undefined, null);
}
