import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { SecretKeys } from "./keys.ts";
import { SigningKeys } from "./signing.ts";

const [old, fresh] = [SecretKeys.generate(), SecretKeys.generate()];
const keysOf = (text: string) => new SigningKeys(SecretKeys.parse(text));
const signed = (keys: SigningKeys, audience = "https://crm.example.com/mcp", lifeSeconds = 120) =>
  keys.sign({ type: "t+jwt", issuer: "https://us.example.com", audience, lifeSeconds, claims: { sub: "user_1" } });
const check = (text: string, keys: SigningKeys, audience = "https://crm.example.com/mcp") =>
  jwtVerify(text, createLocalJWKSet(keys.published), { issuer: "https://us.example.com", audience, typ: "t+jwt" }).then(
    ({ payload }) => payload.sub,
    ({ code }: { code: string }) => code,
  );

describe("what is signed", () => {
  test("is checked with the published keys, also by another process with the same server's key", async () => {
    expect(await check(await signed(keysOf(old)), keysOf(old))).toBe("user_1");
  });

  test.each([
    ["for another audience", () => signed(keysOf(old), "https://other.example.com"), "ERR_JWT_CLAIM_VALIDATION_FAILED"],
    ["with another key", () => signed(keysOf(fresh)), "ERR_JWKS_NO_MATCHING_KEY"],
    ["a while ago", () => signed(keysOf(old), undefined, -60), "ERR_JWT_EXPIRED"],
    [
      "and then changed",
      async () => {
        const [head, , signature] = (await signed(keysOf(old))).split(".");
        const claims = { iss: "https://us.example.com", aud: "https://crm.example.com/mcp", sub: "user_2", exp: 9e9 };
        return [head, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
      },
      "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    ],
  ])("%s is refused", async (_, make, code) => {
    expect(await check(await make(), keysOf(old))).toBe(code);
  });

  test("is checked at every step of a change of the server's key", async () => {
    const steps = [old, `${old},${fresh}`, `${fresh},${old}`, fresh];
    for (const [i, signer] of steps.entries()) {
      for (const publisher of steps.slice(Math.max(0, i - 1), i + 2)) {
        expect(await check(await signed(keysOf(signer)), keysOf(publisher))).toBe("user_1");
      }
    }
  });

  test("never repeats its own name", async () => {
    const [a, b] = [await signed(keysOf(old)), await signed(keysOf(old))];
    expect(a).not.toBe(b);
    expect(decodeProtectedHeader(a)).toEqual(decodeProtectedHeader(b));
  });
});

test("what is published holds no secret half, and nothing of the server's key", () => {
  const text = JSON.stringify(keysOf(old).published);
  expect(Object.keys(JSON.parse(text).keys[0]).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x"]);
  expect(text).not.toContain(Buffer.from(old, "base64").toString("base64url"));
});
