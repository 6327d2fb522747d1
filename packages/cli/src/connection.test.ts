import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findConnection } from "./connection.ts";

let env: { CALLBOARD_DATA_DIR: string };
beforeEach(() => {
  env = { CALLBOARD_DATA_DIR: mkdtempSync(join(tmpdir(), "callboard-connection-")) };
});
afterEach(() => rmSync(env.CALLBOARD_DATA_DIR, { recursive: true }));

const save = (text: string) => writeFileSync(join(env.CALLBOARD_DATA_DIR, "credentials.json"), text);
const saved = { baseUrl: "http://127.0.0.1:4100", token: "cbp_saved" };
const saveGood = () => save(JSON.stringify({ base_url: saved.baseUrl, token: saved.token, agents: {} }));

test("flags win over the environment, which wins over the file", () => {
  saveGood();
  const outside = { ...env, CALLBOARD_URL: "https://env.test", CALLBOARD_TOKEN: "cbp_env" };
  const flags = { baseUrl: "https://flag.test", token: "cbp_flag" };
  expect(findConnection(flags, outside)).toEqual(flags);
  expect(findConnection({}, outside)).toEqual({ baseUrl: "https://env.test", token: "cbp_env" });
  expect(findConnection({}, { ...env, CALLBOARD_URL: "", CALLBOARD_TOKEN: "" })).toEqual(saved);
});

test("a token alone goes to the local server", () => {
  expect(findConnection({ token: "cbp_flag" }, env)).toEqual({ baseUrl: "http://127.0.0.1:4100", token: "cbp_flag" });
});

test("the file's token is never sent to another address", () => {
  saveGood();
  expect(() => findConnection({ baseUrl: "https://other.test" }, env)).toThrow("no token for https://other.test");
  expect(findConnection({ baseUrl: `${saved.baseUrl}/` }, env)).toEqual(saved);
});

test("no token, an address without http and a broken file are told apart", () => {
  expect(() => findConnection({}, env)).toThrow("no token: give --token or CALLBOARD_TOKEN");
  expect(() => findConnection({ baseUrl: "localhost:4100", token: "x" }, env)).toThrow("expected an address like");
  for (const text of ["{", "null", '{"token":"x"}']) {
    save(text);
    expect(() => findConnection({}, env)).toThrow("does not hold base_url and token");
  }
});
