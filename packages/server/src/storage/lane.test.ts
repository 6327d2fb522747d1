import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase, withAdmin } from "../testing/database.ts";
import { isConnectionError, statement } from "./database.ts";
import { Lane } from "./lane.ts";

const backend = statement("lane_test.backend", "select pg_backend_pid() as pid");
const cutSelf = statement("lane_test.cut", "select pg_terminate_backend(pg_backend_pid())");
const wrong = statement("lane_test.wrong", "select 1 / $1::int as n");

let testDatabase: TestDatabase;
let lane: Lane;
const errors: Error[] = [];
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  lane = new Lane(testDatabase.url, (error) => errors.push(error));
});
afterAll(async () => {
  await lane.close();
  await testDatabase.drop();
});

const pid = async () => (await lane.rows<{ pid: number }>(backend, []))[0]?.pid;

test("one connection serves all statements", async () => {
  const first = await pid();
  await lane.rows(backend, []);
  expect(await pid()).toBe(first);
});

test("a statement that fails leaves the connection as it is", async () => {
  const before = await pid();
  const error = await lane.rows(wrong, [0]).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: "22012" });
  expect(isConnectionError(error)).toBe(false);
  expect(await pid()).toBe(before);
});

test("a connection lost in the middle of a statement is told, and the next statement connects anew", async () => {
  const before = await pid();
  const error = await lane.rows(cutSelf, []).catch((cause: unknown) => cause);
  expect(isConnectionError(error)).toBe(true);
  expect(await pid()).not.toBe(before);
});

test("a connection lost while idle is replaced without anybody noticing", async () => {
  const before = await pid();
  errors.length = 0;
  await withAdmin(testDatabase.url, (client) => client.query("select pg_terminate_backend($1)", [before]));
  while (errors.length === 0) await sleep(5);
  expect(await pid()).not.toBe(before);
});

test("a closed lane takes nothing more", async () => {
  const closed = new Lane(testDatabase.url, () => {});
  await closed.rows(backend, []);
  await closed.close();
  await expect(closed.rows(backend, [])).rejects.toSatisfy(isConnectionError);
});

test("a lane that is closed while it connects leaves no connection behind", async () => {
  const closed = new Lane(testDatabase.url, () => {});
  const connecting = closed.rows(backend, []);
  await closed.close();
  await expect(connecting).rejects.toSatisfy(isConnectionError);
});
