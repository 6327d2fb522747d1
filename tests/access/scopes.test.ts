/** A token that has every scope but the one that a route asks for is refused there, before anything else is looked at. */
import { type Route, type RouteName, routes, type Scope, scopes } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { HttpClient } from "../../packages/server/src/testing/http-client.ts";
import { startTestServer, type TestServer } from "../../packages/server/src/testing/server.ts";

let server: TestServer;
const without = new Map<Scope, HttpClient>();
beforeAll(async () => {
  server = await startTestServer({ agents: { desk: { name: "Desk" } } });
  for (const scope of scopes) {
    const token = await server.personalToken(server.ownerId, { scopes: scopes.filter((one) => one !== scope) });
    without.set(scope, server.client(token));
  }
});
afterAll(() => server.stop());

const scoped = (Object.entries(routes) as Array<[RouteName, Route]>).filter(([, { scope }]) => scope !== null);

test.each(scoped)("%s", async (_, { method, path, scope }) => {
  const client = without.get(scope as Scope) as HttpClient;
  const at = path.replace("{agent_id}", "desk").replace(/\{\w+\}/g, "nothing");
  const answer = await client.send(method, at, method === "GET" ? {} : { json: {} });
  expect([answer.status, answer.body.error.code]).toEqual([403, "insufficient_scope"]);
  expect(answer.body.error.message).toBe(`the token lacks the scope ${scope}`);
});

test("a transcript takes a scope of its own beside the one to read threads", async () => {
  const { run } = (await server.client().post("/agents/desk/threads", { input: { type: "user.message", text: "hi" } }))
    .body;
  const read = (scope: Scope) => without.get(scope)?.get(`/runs/${run.id}/transcript`);
  for (const scope of ["threads:read", "transcripts:read"] as const) {
    expect((await read(scope))?.body.error.message).toBe(`the token lacks the scope ${scope}`);
  }
});
