/** A project's collections of documents on a server: what is there, and carrying a plan out over the API. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type CallboardClient, type Document, type DocumentCollection, paginate } from "@callboard/client";
import type {
  CollectionInFiles,
  CollectionPlan,
  DocumentInFile,
  DocumentPlan,
  FoundCollection,
} from "@callboard/server";
import type { Done } from "./apply.ts";

type GroupId = Awaited<ReturnType<CallboardClient["groups"]["create"]>>["id"];
export type FoundDocuments = { collections: FoundCollection[]; groups: Map<string, GroupId> };

/** The collections that the project has folders for, with what is in them, and the groups' ids by their slugs. */
export async function findDocuments(
  client: CallboardClient,
  files: readonly CollectionInFiles[],
): Promise<FoundDocuments> {
  const slugs = new Set(files.map(({ slug }) => slug));
  const groups = new Map<string, GroupId>();
  for await (const { slug, id } of paginate((page) => client.groups.list({ ...page, limit: 200 })))
    groups.set(slug, id);
  const collections: FoundCollection[] = [];
  for await (const collection of paginate((page) => client.collections.list({ ...page, limit: 200 }))) {
    if (slugs.has(collection.slug)) collections.push(await withDocuments(client, collection));
  }
  return { collections, groups };
}

async function withDocuments(client: CallboardClient, collection: DocumentCollection): Promise<FoundCollection> {
  const access = await client.collections.getAccess(collection.id);
  const documents: Document[] = [];
  for await (const document of paginate((page) => client.documents.list(collection.id, { ...page, limit: 200 }))) {
    documents.push(document);
  }
  return { collection, access, documents };
}

/**
 * Collection by collection: groups that are missing, the collection, its documents. A document is replaced and deleted
 * as it was when the plan was made; when somebody was faster, that is refused.
 *
 * @param report called after each write
 * @throws CallboardApiError of the first write that is refused; what was reported before stays
 */
export async function applyCollections(
  client: CallboardClient,
  plans: readonly CollectionPlan[],
  found: FoundDocuments,
  report: (done: Done) => void,
): Promise<void> {
  const groups = new Map(found.groups);
  const { accessFor, writes } = await import("@callboard/server");
  for (const plan of plans) {
    const place = `documents/${plan.slug}`;
    for (const slug of plan.newGroups) {
      groups.set(slug, (await client.groups.create({ slug, name: slug, user_ids: [] })).id);
      report({ slug: `group ${slug}`, did: "created" });
    }
    const { slug, name, description, language } = plan.file;
    if (plan.action === "create") {
      const nobody = { organization: false, users: [], groups: [], services: [] };
      await client.collections.create({ slug, name, description, language, access: accessFor(plan, nobody, groups) });
      report({ slug: place, did: "created" });
    } else {
      const { settings, access } = writes(plan);
      if (settings) await client.collections.update(slug, { name, description });
      // Read anew: people who were granted since the plan stay.
      if (access) {
        await client.collections.setAccess(slug, accessFor(plan, await client.collections.getAccess(slug), groups));
      }
      if (settings || access) report({ slug: place, did: "changed" });
    }
    for (const one of plan.documents) {
      const did = await carryOut(client, slug, one);
      if (did !== undefined) report({ slug: `${place}/${one.name}`, did });
    }
  }
}

async function carryOut(
  client: CallboardClient,
  collection: string,
  one: DocumentPlan,
): Promise<Done["did"] | undefined> {
  switch (one.action) {
    case "none":
      return undefined;
    case "add":
      await client.documents.upload(collection, await toUpload(one.file));
      return "created";
    case "replace":
      await client.documents.replaceWith(one.document.id, await toUpload(one.file), {
        ifRevision: one.document.revision,
      });
      return "changed";
    case "delete":
      await client.documents.delete(one.document.id, { ifRevision: one.document.revision });
      return "deleted";
  }
}

async function toUpload({ name, mediaType, path, sha256 }: DocumentInFile) {
  const content = await readFile(path);
  if (createHash("sha256").update(content).digest("hex") !== sha256) {
    throw Object.assign(new Error(`${path} has changed since the plan was made; plan again`), { code: "project" });
  }
  return { name, mediaType, content };
}
