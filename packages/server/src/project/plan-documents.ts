/**
 * What would make the collections and documents of a server those of a project. Pure, like `plan.ts`: for a server
 * that starts and for the command line.
 *
 * Q1: a plan that was carried out is followed by one without a change.
 * Q2: no collection is deleted, and no document unless `prune` asks for it.
 * Q3: people and services that a collection was opened to beside the groups of its file stay.
 */
import type { Document, DocumentAccess, DocumentCollection, Group } from "@callboard/protocol";
import { type Change, diff } from "../agents/index.ts";
import type { Prepared } from "../documents/index.ts";

/** `path` is where its bytes are. */
export type DocumentInFile = Prepared & { readonly path: string };
/** A folder of `documents/`, named after the slug. */
export type CollectionInFiles = Pick<DocumentCollection, "slug" | "name" | "description" | "language"> & {
  readonly organization: boolean;
  /** Slugs. */
  readonly groups: readonly string[];
  readonly documents: readonly DocumentInFile[];
};

/** A collection of the server with what is in it. */
export type FoundCollection = {
  readonly collection: DocumentCollection;
  readonly access: DocumentAccess;
  readonly documents: readonly Document[];
};

export type DocumentPlan =
  | { readonly action: "none" | "add"; readonly name: string; readonly file: DocumentInFile }
  | { readonly action: "replace"; readonly name: string; readonly file: DocumentInFile; readonly document: Document }
  | { readonly action: "delete"; readonly name: string; readonly document: Document };

export type CollectionPlan = {
  readonly action: "none" | "create" | "update";
  readonly slug: string;
  readonly file: CollectionInFiles;
  /** Name, description and who may read: from the server to the file. */
  readonly changes: readonly Change[];
  /** Groups of the file that are not there yet. */
  readonly newGroups: readonly string[];
  /** Of the server, where the file has another one: it is fixed, so it stays. */
  readonly language: string | undefined;
  /** By name. */
  readonly documents: readonly DocumentPlan[];
  /** Documents of the server that have no file and stay. */
  readonly left: readonly string[];
};

/** Slugs of groups, and their ids. */
export type KnownGroups = ReadonlyMap<string, Group["id"]>;
export type DocumentOptions = {
  /** Delete documents that have no file, in collections that have a folder. Default: leave them. */
  prune?: boolean;
};

/** @returns one entry for each folder, by slug */
export function planCollections(
  files: readonly CollectionInFiles[],
  found: readonly FoundCollection[],
  groups: KnownGroups,
  options: DocumentOptions = {},
): CollectionPlan[] {
  const known = new Set(groups.keys());
  return files
    .toSorted((a, b) => (a.slug < b.slug ? -1 : 1))
    .map((file) => {
      const there = found.find(({ collection }) => collection.slug === file.slug);
      const plan = planCollection(file, there, groups, known, options);
      for (const slug of plan.newGroups) known.add(slug); // made once
      return plan;
    });
}

function planCollection(
  file: CollectionInFiles,
  found: FoundCollection | undefined,
  groups: KnownGroups,
  known: ReadonlySet<string>,
  { prune = false }: DocumentOptions,
): CollectionPlan {
  const documents = planDocuments(file.documents, found?.documents ?? []);
  const kept = documents.filter((one) => prune || one.action !== "delete");
  const changes = found === undefined ? [] : diff(settingsOf(found, groups), wantedOf(file), "whole");
  const same = changes.length === 0 && kept.every(({ action }) => action === "none");
  return {
    action: found === undefined ? "create" : same ? "none" : "update",
    slug: file.slug,
    file,
    changes,
    newGroups: [...new Set(file.groups)].filter((slug) => !known.has(slug)).sort(),
    language:
      found === undefined || found.collection.language === file.language ? undefined : found.collection.language,
    documents: kept,
    left: prune ? [] : documents.flatMap(({ action, name }) => (action === "delete" ? [name] : [])),
  };
}

function planDocuments(files: readonly DocumentInFile[], found: readonly Document[]): DocumentPlan[] {
  const plans = files.map((file): DocumentPlan => {
    const { name } = file;
    const document = found.find((one) => one.name === name);
    if (document === undefined) return { action: "add", name, file };
    const isSame =
      document.sha256 === file.sha256 && document.title === file.title && document.media_type === file.mediaType;
    return isSame ? { action: "none", name, file } : { action: "replace", name, file, document };
  });
  const names = new Set(files.map(({ name }) => name));
  for (const document of found) {
    if (!names.has(document.name)) plans.push({ action: "delete", name: document.name, document });
  }
  return plans.sort((a, b) => (a.name < b.name ? -1 : 1));
}

type Settings = { name: string; description: string; organization: boolean; groups: string[] };

const wantedOf = ({ name, description, organization, groups }: CollectionInFiles): Settings => ({
  name,
  description,
  organization,
  groups: [...new Set(groups)].sort(),
});

function settingsOf({ collection, access }: FoundCollection, groups: KnownGroups): Settings {
  const slugs = new Map([...groups].map(([slug, id]) => [id, slug]));
  const { name, description } = collection;
  const { organization } = access;
  return { name, description, organization, groups: access.groups.map((id) => slugs.get(id) ?? id).sort() };
}

/** Whom the collection of a plan is to be opened to. @param groups with those that were made */
export function accessFor({ file }: CollectionPlan, before: DocumentAccess, groups: KnownGroups): DocumentAccess {
  const ids = [...new Set(file.groups)].map((slug) => groups.get(slug) as Group["id"]);
  return { ...before, organization: file.organization, groups: ids };
}

/** Which of a collection's settings a plan changes. */
export const writes = ({ changes }: CollectionPlan): { settings: boolean; access: boolean } => ({
  settings: changes.some(({ path }) => path === "name" || path === "description"),
  access: changes.some(({ path }) => path === "organization" || path === "groups"),
});
