import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSecret, newSecret, secretHash, shownPrefix } from "./secret.ts";

describe("a token's secret", () => {
  test("has its kind's prefix, 43 random characters and 6 of checksum", () => {
    expect(newSecret("personal")).toMatch(/^cbp_[0-9A-Za-z]{49}$/);
    expect(newSecret("service")).toMatch(/^cbs_[0-9A-Za-z]{49}$/);
  });

  test("is never the same twice", () => {
    expect(new Set(Array.from({ length: 500 }, () => newSecret("personal"))).size).toBe(500);
  });

  test("is recognised as one", () => {
    for (let i = 0; i < 200; i++)
      expect(isSecret(newSecret(i % 2 === 0 ? "personal" : "service"), "personal", "service")).toBe(true);
  });

  test("with one changed character is not one any more", () => {
    fc.assert(
      fc.property(fc.nat(52), fc.constantFrom(..."0Aaz9Z_-\u0000é "), (at, character) => {
        const secret = newSecret("personal");
        fc.pre(secret[at] !== character);
        expect(isSecret(secret.slice(0, at) + character + secret.slice(at + 1), "personal")).toBe(false);
      }),
    );
  });

  test("is told from any other text", () => {
    fc.assert(
      fc.property(
        fc.string(),
        (text) => !isSecret(text, "personal", "service", "session", "invitation", "passwordLink"),
      ),
    );
    for (const text of [
      "",
      "cbp_",
      `cbx_${"a".repeat(49)}`,
      `${newSecret("personal")}\n`,
      ` ${newSecret("service")}`,
    ]) {
      expect(isSecret(text, "personal", "service")).toBe(false);
    }
  });

  test("is known by a hash of 32 bytes and shows ten characters", () => {
    const secret = newSecret("service");
    expect(Buffer.from(secretHash(secret), "base64")).toHaveLength(32);
    expect(shownPrefix(secret)).toBe(secret.slice(0, 10));
  });
});
