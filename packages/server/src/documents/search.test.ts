import { type DocumentHit, documentLanguages, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorld, type World } from "../access/fixture.ts";
import { type Caller, scopeOf } from "../access/index.ts";
import { managing, nobody } from "./fixture.ts";
import { documentsFor } from "./library.ts";
import { MARKS, toHighlight } from "./store.ts";

let world: World;
let owner: Caller;
let documents: ReturnType<typeof documentsFor>;
let manage: ReturnType<typeof managing>;

const long = Array.from(
  { length: 12 },
  (_, i) => `## Part ${i + 1}\n\n${`Sentence ${i} about tills. `.repeat(25)}`,
).join("\n\n");

beforeAll(async () => {
  world = await createWorld();
  owner = await (await world.organization()).owner();
  manage = managing(world.database, owner);
  const open = { access: { ...nobody, organization: true } };
  await manage.create("handbook", open);
  await manage.create("handbuch", { ...open, language: "german" });
  await manage.add(
    "handbook",
    "refunds.md",
    "# Card refunds\n\nRefunding a card payment takes ten days. Call us after that.",
  );
  await manage.add(
    "handbook",
    "readers.md",
    "# Card readers\n\nA reader that shows E-17 needs an update <b>now</b> & a restart.",
  );
  await manage.add("handbook", "long.md", `# Tills\n\n${long}`);
  await manage.add("handbuch", "erstattung.md", "# Erstattungen\n\nErstattungen auf Karten dauern zehn Tage.");
  documents = documentsFor(world.database, scopeOf(owner), new Set(["documents:read"] as const));
});
afterAll(() => world.end());

const names = (hits: DocumentHit[]) => hits.map(({ name }) => name);

describe("a search", () => {
  test("finds words by their stems, in the language of the collection", async () => {
    expect(names(await documents.search("refunded payments"))).toEqual(["refunds.md"]);
    expect(names(await documents.search("Erstattung auf Karte"))).toEqual(["erstattung.md"]);
  });

  test.each(documentLanguages.map((language) => [language]))("may be in %s", async (language) => {
    const slug = `in-${language}`;
    await manage.create(slug, { language, access: { ...nobody, organization: true } });
    await manage.add(slug, "a.md", "# Callboard\n\nThe word quetzalcoatlus is in this text.");
    expect(names(await documents.search("quetzalcoatlus", { collection: slug }))).toEqual(["a.md"]);
  });

  test("cites where the passage is, so that it can be found in the text", async () => {
    const [hit] = (await documents.search('"sentence 7"')) as [DocumentHit];
    const { text } = await documents.read(hit.citation.document_id);
    expect(hit.citation).toMatchObject({ title: "Tills", page: null });
    expect(text.slice(hit.citation.start, hit.citation.end)).toBe(hit.text);
    expect(hit.text).toContain("Sentence 7");
    const part = await documents.read(hit.citation.document_id, { passage: hit.citation.passage, passages: 1 });
    expect(part).toMatchObject({
      text: hit.text,
      passage: hit.citation.passage,
      next_passage: hit.citation.passage + 1,
    });
  });

  test("marks the words by their places, and leaves the text as it is", async () => {
    const [hit] = (await documents.search("restart E-17")) as [DocumentHit];
    expect(hit.highlight).toContain("& a restart");
    expect(hit.matches.map(({ start, end }) => hit.highlight.slice(start, end))).toContain("restart");
    expect(JSON.stringify(hit)).not.toMatch(/\\u000[23]/);
  });

  test("takes any of the words where no passage has them all, but not where words are left out", async () => {
    expect(names(await documents.search("refund unicorns zebras"))).toEqual(["refunds.md"]);
    expect(await documents.search("unicorns -refund")).toEqual([]);
    expect(names(await documents.search("card -reader"))).toEqual(["refunds.md"]);
  });

  test("counts the words of the title, and puts the best first", async () => {
    expect(names(await documents.search("card refunds"))[0]).toBe("refunds.md");
    expect(names(await documents.search("tills part", { limit: 3 }))).toEqual(["long.md", "long.md", "long.md"]);
  });

  test("stays within a collection, by slug or id, and knows no other", async () => {
    expect(names(await documents.search("card karte", { collection: "handbook" }))).not.toContain("erstattung.md");
    await expect(documents.search("card", { collection: "elsewhere" })).rejects.toMatchObject({ code: "not_found" });
    const [{ collection }] = (await documents.search("card")) as [DocumentHit];
    expect((await documents.search("refunds", { collection: collection.id })).length).toBe(1);
  });

  test.each([
    "'",
    '"',
    "\\",
    "a' & 'b",
    "!(((",
    "a <-> b",
    "foo:*",
    "-",
    "or or or",
    "--; drop table documents",
    "$1",
    "%s",
    "\u0002\u0003",
    "&|!",
    "a & !",
    "'; select pg_sleep(9) --",
    "🙂",
    "x".repeat(1000),
    "the a of",
    " \n\t ",
    "\\u0000",
    `${'"'.repeat(999)}a`,
    "a or ".repeat(199),
  ])("takes %j as words", async (query) => {
    expect(await documents.search(query)).toBeInstanceOf(Array);
  });

  test.each([
    ["NUL", "a\u0000b", "query"],
    ["half a character", "\ud800", "query"],
    ["a megabyte", "x".repeat(1024 * 1024), "query"],
  ])("refuses %s", async (_, query, path) => {
    await expect(documents.search(query)).rejects.toMatchObject({
      code: "invalid_request",
      details: { fields: [{ path }] },
    });
  });

  test("answers any text at all, or refuses it by name", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 60 }), async (query) => {
        const outcome = await documents.search(query).then(
          () => "found",
          ({ code }: { code: string }) => code,
        );
        expect(["found", "invalid_request"]).toContain(outcome);
      }),
      { numRuns: 150 },
    );
  });
});

describe("text that would fool a reader", () => {
  test("keeps no marks of its own", async () => {
    await manage.add("handbook", "marks.md", `One ${MARKS.start}fakemark${MARKS.end} and a platypus.`);
    const [hit] = (await documents.search("platypus")) as [DocumentHit];
    expect(hit.text).toBe("One fakemark and a platypus.");
    expect(hit.matches.map(({ start, end }) => hit.highlight.slice(start, end))).toEqual(["platypus"]);
  });

  test("marks are taken out wherever they stand", () => {
    const { start, end } = MARKS;
    expect(toHighlight("plain")).toEqual({ highlight: "plain", matches: [] });
    expect(toHighlight(`${start}a${end} b ${start}c${end}`)).toEqual({
      highlight: "a b c",
      matches: [
        { start: 0, end: 1 },
        { start: 4, end: 5 },
      ],
    });
    expect(toHighlight(`x${end}y${start}z`)).toEqual({ highlight: "xyz", matches: [] });
  });

  test("markup is plain text, and its words are counted as they stand", async () => {
    await manage.add("handbook", "html.md", `<script>alert("x")</script> &lt;b&gt; A <b>numbat</b> & "more".`);
    const [hit] = (await documents.search("numbat")) as [DocumentHit];
    expect(hit.text).toBe(`<script>alert("x")</script> &lt;b&gt; A <b>numbat</b> & "more".`);
    expect(hit.matches.map(({ start, end }) => hit.highlight.slice(start, end))).toEqual(["numbat"]);
    expect(hit.highlight).not.toMatch(/<mark|StartSel|class=/);
  });

  test("instructions to the database in a title stay a title", async () => {
    const title = `'); delete from documents; -- ${"$$"}`;
    const made = await manage.add("handbook", "title.md", "An ocelot.", title);
    expect((await documents.search("ocelot"))[0]?.citation.title).toBe(title);
    expect(toUuid(made.id)).toMatch(/^[0-9a-f-]{36}$/);
  });
});
