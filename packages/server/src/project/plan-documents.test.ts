import { type Document, type DocumentAccess, documentAccess, type Group, newId } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  accessFor,
  type CollectionInFiles,
  type CollectionPlan,
  type DocumentInFile,
  type FoundCollection,
  planCollections,
  writes,
} from "./plan-documents.ts";

const at = "2026-01-31T09:30:00.000Z";
const doc = (name: string, sha256: string): DocumentInFile => ({
  name,
  title: name,
  mediaType: "text/markdown",
  sizeBytes: 1,
  sha256,
  pages: null,
  passages: [],
  path: `/project/${name}`,
});
const file = (slug: string, more: Partial<CollectionInFiles> = {}): CollectionInFiles => ({
  slug,
  name: slug,
  description: "",
  language: "simple",
  organization: false,
  groups: [],
  documents: [],
  ...more,
});

const groups = new Map<string, Group["id"]>([
  ["desk", newId("group")],
  ["till", newId("group")],
]);
const known = (given: CollectionInFiles) => given.groups.map((slug) => groups.get(slug) as Group["id"]);

/** What a server has that is as the files say. */
function found(given: CollectionInFiles, access: Partial<DocumentAccess> = {}): FoundCollection {
  const { slug, name, description, language, organization } = given;
  const id = newId("collection");
  return {
    collection: { id, slug, name, description, language, created_at: at, updated_at: at },
    access: documentAccess.parse({ organization, groups: known(given), ...access }),
    documents: given.documents.map((one) => toDocument(one, id)),
  };
}
const toDocument = ({ name, title, mediaType, sizeBytes, sha256 }: DocumentInFile, id: Document["collection_id"]) => ({
  id: newId("document"),
  collection_id: id,
  name,
  title,
  media_type: mediaType,
  size_bytes: sizeBytes,
  sha256,
  pages: null,
  passages: 0,
  revision: "1",
  created_at: at,
  updated_at: at,
});
const plan = (given: CollectionInFiles, there: FoundCollection[], prune = false) =>
  planCollections([given], there, groups, { prune })[0] as CollectionPlan;
const deeds = ({ documents }: CollectionPlan) => documents.map(({ action, name }) => `${action} ${name}`);

describe("a folder", () => {
  const desk = file("desk", { groups: ["desk"], documents: [doc("a.md", "1"), doc("b.md", "2")] });

  test("whose collection is what it says changes nothing", () => {
    expect(plan(desk, [found(desk)])).toMatchObject({ action: "none", changes: [], newGroups: [] });
  });

  test("without a collection creates one, with its documents", () => {
    const made = plan(desk, []);
    expect(made).toMatchObject({ action: "create", language: undefined });
    expect(deeds(made)).toEqual(["add a.md", "add b.md"]);
  });

  test("adds, replaces and leaves documents, by name", () => {
    const before = found({ ...desk, documents: [doc("old.md", "0"), doc("b.md", "x")] });
    const made = plan(desk, [before]);
    expect(made).toMatchObject({ action: "update", changes: [], left: ["old.md"] });
    expect(deeds(made)).toEqual(["add a.md", "replace b.md"]);
    expect(deeds(plan(desk, [before], true))).toEqual(["add a.md", "replace b.md", "delete old.md"]);
  });

  test("that says another thing about itself writes that alone, and keeps people who were granted beside it", () => {
    const users = [newId("user")];
    const before = found(desk, { users });
    const wanted = { ...desk, description: "New", groups: ["till", "desk"] };
    const made = plan(wanted, [before]);
    expect(made.changes).toEqual([
      { path: "description", before: "", after: "New" },
      { path: "groups", before: ["desk"], after: ["desk", "till"] },
    ]);
    expect(writes(made)).toEqual({ settings: true, access: true });
    expect(accessFor(made, before.access, groups)).toEqual({ ...before.access, groups: known(wanted) });
  });

  test("with another language keeps the one that is there, and says so", () => {
    const made = plan({ ...desk, language: "german" }, [found(desk)]);
    expect(made).toMatchObject({ action: "none", language: "simple" });
  });

  test("names groups that are missing once for all folders", () => {
    const plans = planCollections([file("b", { groups: ["new"] }), file("a", { groups: ["new", "desk"] })], [], groups);
    expect(plans.map(({ slug, newGroups }) => [slug, newGroups])).toEqual([
      ["a", ["new"]],
      ["b", []],
    ]);
  });
});

test("a plan that was carried out is followed by one without a change, whatever the order", () => {
  const documents = fc.uniqueArray(
    fc.tuple(fc.constantFrom("a.md", "b.md", "c.md"), fc.constantFrom("1", "2")).map(([name, sha]) => doc(name, sha)),
    { selector: ({ name }) => name },
  );
  const one = fc
    .record({
      slug: fc.constantFrom("desk", "till", "yard"),
      name: fc.constantFrom("A", "B"),
      organization: fc.boolean(),
      groups: fc.subarray(["desk", "till"]),
      documents,
    })
    .map(({ slug, ...more }) => file(slug, more));
  const some = fc.uniqueArray(one, { selector: ({ slug }) => slug });
  fc.assert(
    fc.property(some, some, fc.boolean(), (wanted, there, prune) => {
      const before = there.map((each) => found(each));
      const plans = planCollections(wanted, before, groups, { prune });
      expect(planCollections(wanted.toReversed(), before.toReversed(), groups, { prune })).toEqual(plans);
      const after = plans.map((made) => carriedOut(made, before));
      expect(planCollections(wanted, after, groups, { prune }).filter(({ action }) => action !== "none")).toEqual([]);
      for (const { slug } of prune ? [] : there) {
        const names = (all: FoundCollection[]) =>
          all.find(({ collection }) => collection.slug === slug)?.documents.map(({ name }) => name) ?? [];
        if (wanted.some((each) => each.slug === slug)) {
          expect(names(after)).toEqual(expect.arrayContaining(names(before)));
        }
      }
    }),
  );
});

function carriedOut(made: CollectionPlan, before: FoundCollection[]): FoundCollection {
  const there = before.find(({ collection }) => collection.slug === made.slug);
  if (there === undefined) return found({ ...made.file, documents: made.documents.flatMap(fileOf) });
  const { id } = there.collection;
  const touched = new Set(made.documents.map(({ name }) => name));
  const { name, description } = made.file;
  return {
    collection: { ...there.collection, name, description },
    access: accessFor(made, there.access, groups),
    documents: [
      ...there.documents.filter((one) => !touched.has(one.name)),
      ...made.documents.flatMap(fileOf).map((one) => toDocument(one, id)),
    ],
  };
}
const fileOf = (one: CollectionPlan["documents"][number]) => (one.action === "delete" ? [] : [one.file]);
