import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SecretError, SecretKeys } from "./keys.ts";

const keys = SecretKeys.parse(SecretKeys.generate());

describe("a sealed secret", () => {
  test("opens to what was sealed, whatever the text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => keys.open(keys.seal(text, "row"), "row") === text));
  });

  test("looks different each time and never like the text", () => {
    const [a, b] = [keys.seal("sk-secret", "row"), keys.seal("sk-secret", "row")];
    expect(a.data).not.toBe(b.data);
    expect(JSON.stringify(a)).not.toContain("sk-secret");
    expect(Buffer.from(a.iv, "base64")).toHaveLength(12);
  });

  test("does not open in another row", () => {
    expect(() => keys.open(keys.seal("x", "model_connections/a/b"), "model_connections/a/c")).toThrow(SecretError);
  });

  test("does not open when any of its bytes was changed", () => {
    const sealed = keys.seal("sk-secret", "row");
    for (const part of ["iv", "tag", "data"] as const) {
      const bytes = Buffer.from(sealed[part], "base64");
      bytes[0] = (bytes[0] as number) ^ 1;
      expect(() => keys.open({ ...sealed, [part]: bytes.toString("base64") }, "row")).toThrow(SecretError);
    }
    const shortTag = Buffer.from(sealed.tag, "base64").subarray(0, 4).toString("base64");
    expect(() => keys.open({ ...sealed, tag: shortTag }, "row")).toThrow(SecretError);
  });

  test("opens after a new key was put in front, and not once its own is gone", () => {
    const [old, fresh] = [SecretKeys.generate(), SecretKeys.generate()];
    const sealed = SecretKeys.parse(old).seal("x", "row");
    expect(SecretKeys.parse(`${fresh}, ${old}`).open(sealed, "row")).toBe("x");
    expect(SecretKeys.parse(`${fresh},${old}`).seal("x", "row").key_id).toBe(
      SecretKeys.parse(fresh).seal("x", "row").key_id,
    );
    expect(() => SecretKeys.parse(fresh).open(sealed, "row")).toThrow(SecretError);
  });
});

describe("the server's key", () => {
  const bytes = randomBytes(32);

  test("is the same in base64 and in hex", () => {
    const ids = [bytes.toString("hex"), bytes.toString("base64"), bytes.toString("base64url")].map(
      (text) => SecretKeys.parse(text).seal("x", "row").key_id,
    );
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}$/);
  });

  test("of a wrong length or alphabet is refused without being shown", () => {
    for (const text of [
      "",
      "short",
      bytes.subarray(1).toString("hex"),
      `${bytes.toString("base64")},`,
      "z".repeat(64),
    ]) {
      expect(() => SecretKeys.parse(text)).toThrow(SecretError);
      try {
        SecretKeys.parse(text);
      } catch (error) {
        if (text !== "") expect((error as Error).message).not.toContain(text);
      }
    }
  });
});
