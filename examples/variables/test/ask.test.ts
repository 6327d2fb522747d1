/** The three patterns on a real server: what each caller's request puts into the prompt. */
import { join } from "node:path";
import { createClient } from "@callboard/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../packages/server/src/testing/server.ts";
import { flag, localeFrom, tenantOf } from "../lib/patterns.ts";

let server: TestServer;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  server = await startTestServer({ env: { CALLBOARD_PROJECT: join(import.meta.dirname, "..") } });
  for (const house of ["harbour", "hill"]) {
    const guest = await server.person("member");
    tokens[house] = guest.token;
    await server.client().post("/groups", { slug: `tenant-${house}`, name: house, user_ids: [guest.userId] });
  }
});
afterAll(() => server.stop());

const ask = (token: string | undefined, language: string) => {
  const headers = { "accept-language": language };
  const client = createClient({ baseUrl: server.baseUrl, token: token ?? "", headers });
  return client.endpoints.call("ask", { question: "When is breakfast?" });
};
const prompt = () => server.model.calls("echo").at(-1)?.messages[0].content;

test("each house gets its own prompt, in the visitor's language", async () => {
  expect(await ask(tokens.harbour, "de-CH, en;q=0.5")).toMatchObject({ locale: "de" });
  expect(prompt()).toContain("concierge of harbour. Answer in the language de.\nShow the new menu: true.");
  expect(await ask(tokens.hill, "pt")).toMatchObject({ locale: "en" });
  expect(prompt()).toContain("concierge of hill. Answer in the language en.\nShow the new menu: false.");
});

test("a caller of no house is refused before a model is called", async () => {
  const calls = server.model.calls("echo").length;
  await expect(ask(server.token, "en")).rejects.toMatchObject({ status: 403 });
  expect(server.model.calls("echo").length).toBe(calls);
});

describe("the patterns", () => {
  test.each([
    ["de-CH, de;q=0.9", "de"],
    ["fr;q=0.2, en;q=0.8", "en"],
    ["EN-us", "en"],
    ["*", "en"],
    ["de;q=0, fr", "fr"],
    ["", "en"],
    [null, "en"],
    ["\u0024{LOCALE}", "en"],
  ])("locale: %s is %s", (header, locale) => {
    expect(localeFrom(header, ["en", "de", "fr"])).toBe(locale);
  });

  test("tenant: one group decides, none and several do not", () => {
    expect(tenantOf(["staff", "tenant-hill"])).toBe("hill");
    expect(tenantOf(["staff"])).toBeUndefined();
    expect(tenantOf(["tenant-hill", "tenant-harbour"])).toBeUndefined();
  });

  test("feature flag: a word", () => {
    expect([flag(true), flag(false)]).toEqual(["true", "false"]);
  });
});
