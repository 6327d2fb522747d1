import { describe, expect, test } from "vitest";
import { stem, terms, words } from "./words.ts";

describe("words", () => {
  test("forms of one word have one stem", () => {
    for (const forms of [
      ["refund", "refunds", "refunded", "refunding"],
      ["pair", "pairs", "paired", "pairing"],
      ["drop", "drops", "dropped", "dropping"],
      ["duplicate", "duplicates", "duplicated"],
      ["battery", "batteries"],
      ["invoice", "invoices", "invoiced"],
    ]) {
      expect(new Set(forms.map(stem)).size, forms.join(", ")).toBe(1);
    }
  });

  test("short words and words with digits stay as they are", () => {
    expect(["vpn", "4g", "ess", "glass", "mg4s"].map(stem)).toEqual(["vpn", "4g", "ess", "glass", "mg4s"]);
  });

  test("case, accents and filler words make no difference", () => {
    expect(terms("The Küche is not printing")).toEqual(terms("kuche PRINTING"));
    expect(terms("Größe naïve déjà")).toEqual(terms("GROßE naive deja"));
  });

  test("an id is found as a whole and in its parts", () => {
    expect(terms("see KB-1042")).toEqual(["see", "kb-1042", "kb", "1042"]);
  });

  test("spellings of one thing meet", () => {
    expect(terms("Wi-Fi")).toEqual(terms("WLAN"));
    expect(terms("e-mail")).toEqual(terms("mails"));
  });

  test("each word knows its place in the text", () => {
    const text = "Große Störung: reader offline";
    for (const { start, end } of words(text)) expect(text.slice(start, end)).toMatch(/^[\p{L}]+$/u);
    expect(words(text).map(({ start, end }) => text.slice(start, end))).toEqual([
      "Große",
      "Störung",
      "reader",
      "offline",
    ]);
  });
});
