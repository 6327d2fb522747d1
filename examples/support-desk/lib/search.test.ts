import { describe, expect, test } from "vitest";
import { articleIndex, ticketIndex } from "./desk.ts";
import { createIndex, cutSnippet } from "./search.ts";
import { terms } from "./words.ts";

type Note = { title: string; text: string };
const notes: Note[] = [
  { title: "Oven", text: "The oven gets hot. Clean the oven on Sundays." },
  { title: "Fridge", text: "The fridge is beside the oven." },
  { title: "Door", text: "The door has a lock." },
];
const index = createIndex(notes, {
  fields: [
    { text: (note) => note.title, weight: 3 },
    { text: (note) => note.text, weight: 1 },
  ],
  snippet: (note) => note.text,
});
const titles = (query: string, options?: Parameters<typeof index.search>[1]) =>
  index.search(query, options).hits.map((hit) => hit.item.title);

describe("an index", () => {
  test("puts the item with more of the words in weightier fields first", () => {
    expect(titles("oven")).toEqual(["Oven", "Fridge"]);
  });

  test("lets a rare word count for more than a common one", () => {
    expect(titles("oven lock")[0]).toBe("Door");
  });

  test("counts all matches though it returns only some", () => {
    const { hits, total } = index.search("oven", { limit: 1 });
    expect([hits.length, total]).toEqual([1, 2]);
  });

  test("leaves out what the filter refuses, before the limit", () => {
    expect(titles("oven", { limit: 1, where: (note) => note.title !== "Oven" })).toEqual(["Fridge"]);
  });

  test("finds nothing for unknown words, filler words and an empty query", () => {
    for (const query of ["zeppelin", "the is on", "", "?!"]) {
      expect(index.search(query)).toEqual({ hits: [], total: 0 });
    }
  });

  test("works without items", () => {
    const empty = createIndex<Note>([], { fields: [{ text: (note) => note.text, weight: 1 }], snippet: () => "" });
    expect(empty.search("oven")).toEqual({ hits: [], total: 0 });
  });
});

describe("a snippet", () => {
  const long = `${"Nothing of interest here. ".repeat(20)}The reader shows E-17 after the update. ${"More text. ".repeat(40)}`;

  test("shows the words that were looked for", () => {
    const snippet = cutSnippet(long, new Set(terms("E-17 update")));
    expect(snippet).toContain("The reader shows E-17 after the update.");
    expect(snippet.startsWith("… ")).toBe(true);
    expect(snippet.endsWith(" …")).toBe(true);
    expect(snippet.length).toBeLessThanOrEqual(230);
  });

  test("is the whole of a short text, on one line", () => {
    expect(cutSnippet("Two\n\nlines.", new Set())).toBe("Two lines.");
  });

  test("survives a text without spaces", () => {
    expect(cutSnippet("x".repeat(1000), new Set()).length).toBeGreaterThan(0);
  });
});

describe("the desk's articles", () => {
  const expected: ReadonlyArray<readonly [query: string, id: string]> = [
    ["card reader no connection", "KB-1002"],
    ["reader shows E-17 after the firmware update", "KB-1003"],
    ["how do I refund a card payment", "KB-1009"],
    ["invoices land in spam", "KB-1102"],
    ["bank connection expired", "KB-1108"],
    ["webhook signature does not match", "KB-1120"],
    ["VPN between two shops", "KB-1213"],
    ["fridge alarm did not arrive at night", "KB-1216"],
    ["lost my phone, two-step codes gone", "KB-1302"],
    ["cancel my subscription", "KB-1308"],
    ["blinking red light", "KB-1208"],
    ["KB-1111", "KB-1111"],
  ];
  test.each(expected)("%s leads to %s among the first three", (query, id) => {
    expect(articleIndex.search(query, { limit: 3 }).hits.map((hit) => hit.item.id)).toContain(id);
  });
});

describe("the desk's tickets", () => {
  const expected: ReadonlyArray<readonly [query: string, articleId: string]> = [
    ["my card reader keeps losing the connection", "KB-1002"],
    ["customer charged twice", "KB-1010"],
    ["receipts are blank", "KB-1004"],
    ["payout on hold", "KB-1023"],
    ["duplicate transactions after reconnecting the bank", "KB-1109"],
    ["VAT return deadline portal error", "KB-1111"],
    ["no internet amber light", "KB-1203"],
    ["Kartenleser Verbindung Bluetooth", "KB-1002"],
    ["carte cadeau perdue", "KB-1015"],
    ["luz naranja módem", "KB-1203"],
    ["API 429 too many requests", "KB-1120"],
  ];
  test.each(expected)("the best ticket for: %s, is about %s", (query, articleId) => {
    expect(ticketIndex.search(query).hits[0]?.item.related_article_ids).toContain(articleId);
  });
});
