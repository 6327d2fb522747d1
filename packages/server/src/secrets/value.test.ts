import fc from "fast-check";
import { expect, test } from "vitest";
import { SecretKeys } from "./keys.ts";
import { openText, openValue, sealText, sealValue } from "./value.ts";

const keys = SecretKeys.parse(SecretKeys.generate());

test("a value and a text come back as they were, for their row", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.parse(JSON.stringify(value));
      expect(openValue(keys, JSON.parse(JSON.stringify(sealValue(keys, json, "row"))), "row")).toEqual(json);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => openText(keys, sealText(keys, text, "row"), "row") === text));
});

test("what is not sealed stays as it is, also what only looks sealed or is another row's", () => {
  const sealed = sealValue(keys, "x", "row");
  for (const value of [null, 1, "x", [], {}, { $sealed: null }, { $sealed: { key_id: "x", data_key: {} } }]) {
    expect(openValue(keys, value, "row")).toEqual(value);
  }
  expect(openValue(keys, sealed, "other")).toEqual(sealed);
  for (const text of ["", "x", '{"$sealed":', '{"$sealed":1}', JSON.stringify(sealed)]) {
    expect(openText(keys, text, "other")).toBe(text);
  }
});
