import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findBaseUrl, findConnection } from "./connection.ts";

let env: { CALLBOARD_DATA_DIR: string };
beforeEach(() => {
  env = { CALLBOARD_DATA_DIR: mkdtempSync(join(tmpdir(), "callboard-connection-")) };
});
afterEach(() => rmSync(env.CALLBOARD_DATA_DIR, { recursive: true }));

const save = (text: string) => writeFileSync(join(env.CALLBOARD_DATA_DIR, "credentials.json"), text);
const saved = { baseUrl: "http://127.0.0.1:4100", token: "cbp_saved" };
const saveGood = () => save(JSON.stringify({ base_url: saved.baseUrl, token: saved.token, agents: {} }));

test("options win over the environment, which wins over the file", () => {
  saveGood();
  const tokenFile = join(env.CALLBOARD_DATA_DIR, "token");
  writeFileSync(tokenFile, "cbp_option\n");
  const outside = { ...env, CALLBOARD_URL: "https://env.test", CALLBOARD_TOKEN: "cbp_env" };
  expect(findConnection({ baseUrl: "https://option.test", tokenFile }, outside)).toEqual({
    baseUrl: "https://option.test",
    token: "cbp_option",
  });
  expect(findConnection({}, outside)).toEqual({ baseUrl: "https://env.test", token: "cbp_env" });
  expect(findConnection({}, { ...env, CALLBOARD_URL: "", CALLBOARD_TOKEN: "" })).toEqual(saved);
});

test("a token alone goes to the local server", () => {
  expect(findConnection({}, { ...env, CALLBOARD_TOKEN: "cbp_env" })).toEqual({
    baseUrl: "http://127.0.0.1:4100",
    token: "cbp_env",
  });
});

test("somebody who comes without a token finds the server in the same places", () => {
  expect(findBaseUrl({}, env)).toBe("http://127.0.0.1:4100");
  save(JSON.stringify({ base_url: "http://127.0.0.1:4101", token: saved.token }));
  expect(findBaseUrl({}, env)).toBe("http://127.0.0.1:4101");
  expect(findBaseUrl({ baseUrl: "https://option.test" }, env)).toBe("https://option.test");
});

test("the file's token is never sent to another address", () => {
  saveGood();
  expect(() => findConnection({ baseUrl: "https://other.test" }, env)).toThrow("no token for https://other.test");
  expect(findConnection({ baseUrl: `${saved.baseUrl}/` }, env)).toEqual(saved);
});

test("no token, an address without http and a broken file are told apart", () => {
  expect(() => findConnection({}, env)).toThrow("no token: set CALLBOARD_TOKEN");
  const withToken = { ...env, CALLBOARD_TOKEN: "x" };
  expect(() => findConnection({ baseUrl: "localhost:4100" }, withToken)).toThrow("expected an address like");
  expect(() => findConnection({ baseUrl: "http://" }, withToken)).toThrow("expected an address like");
  for (const text of ["{", "null", '{"token":"x"}']) {
    save(text);
    expect(() => findConnection({}, env)).toThrow("does not hold base_url and token");
  }
});

test("a token that cannot be one is told before it is sent, and not shown", () => {
  const broken = { ...env, CALLBOARD_TOKEN: "cbp_one\ncbp_two" };
  expect(() => findConnection({}, broken)).toThrow(/^the token holds a space, a line break/);
  expect(() => findConnection({ tokenFile: join(env.CALLBOARD_DATA_DIR, "none") }, env)).toThrow("cannot be read");
  const empty = join(env.CALLBOARD_DATA_DIR, "empty");
  writeFileSync(empty, "\n");
  expect(() => findConnection({ tokenFile: empty }, env)).toThrow("expected a token on the first line");
});
