/** For whom a call is: as an MCP server finds out with the keys that a real server publishes. */
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { SecretKeys } from "../../secrets/index.ts";
import { callTool, say } from "../../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../testing/server.ts";
import { legacyServer, modernServer, type Toolbox } from "./fixture.ts";

const issuer = "https://callboard.example.com";
const secretKey = SecretKeys.generate();
const header = "callboard-assertion";

const box: Toolbox = (server) => {
  server.registerTool("Look-Up", { inputSchema: z.looseObject({}) }, async () => ({ content: [] }));
};

let server: TestServer;
let servers: Record<"told" | "older" | "untold", Awaited<ReturnType<typeof modernServer | typeof legacyServer>>>;
beforeAll(async () => {
  servers = { told: await modernServer(box), older: await legacyServer(box), untold: await modernServer(box) };
  const { told, older, untold } = servers;
  const headers = { authorization: "Bearer operators-own" };
  const tool = { tools: ["told__look_up", "older__look_up", "untold__look_up"] };
  server = await startTestServer({
    env: { CALLBOARD_PUBLIC_URL: issuer, CALLBOARD_SECRET_KEY: secretKey },
    config: {
      mcpServers: {
        told: { url: told.url, headers, identity: true },
        older: { url: older.url, headers, identity: true },
        untold: { url: untold.url, headers },
      },
    },
    agents: { desk: { name: "Desk", ...tool } },
  });
});
afterAll(async () => {
  await server.stop();
  await Promise.all(Object.values(servers).map(({ stop }) => stop()));
});

type Place = keyof typeof servers;
const sent = (place: Place) => servers[place].seen.flatMap(({ headers }) => headers[header] ?? []) as string[];
const claimsOf = async (text: string, place: Place): Promise<JWTPayload> => {
  const keys = createRemoteJWKSet(new URL(`${server.baseUrl}/api/v1/jwks.json`));
  const asked = { issuer, audience: servers[place].url, typ: "callboard-call+jwt", algorithms: ["EdDSA"] };
  return (await jwtVerify(text, keys, asked)).payload;
};

/** Has the model call the tool of a server with this input, and gives what that server was sent. */
async function call(place: Place, token: string, input: object = {}, more: object = {}) {
  const before = sent(place).length;
  server.model.script("desk", ({ toolResults }) =>
    toolResults.length === 0 ? callTool(`${place}__look_up`, input) : say("done"),
  );
  const body = { input: { type: "user.message", text: "?" }, ...more };
  const made = await server.client(token).post("/agents/desk/threads", body);
  expect(made.status, made.text).toBe(201);
  const ended = await server.client(token).get(`/runs/${made.body.run.id}`, { headers: { prefer: "wait=60" } });
  expect(ended.body.state).toBe("completed");
  const assertions = sent(place).slice(before);
  return { run: ended.body, assertions };
}
const only = <T>(list: readonly T[]): T => {
  expect(list).toHaveLength(1);
  return list[0] as T;
};

describe.each(["told", "older"] as const)("a server that is to know (%s)", (place) => {
  test("is told with each call and nothing else for whom it is, beside the operator's own headers", async () => {
    const ann = await server.person("member");
    const group = await server
      .client()
      .post("/groups", { slug: `desk-${place}`, name: "Desk", user_ids: [ann.userId] });
    expect(group.status, group.text).toBe(201);
    const { run, assertions } = await call(place, ann.token);
    const claims = await claimsOf(only(assertions), place);
    expect(claims).toEqual({
      iss: issuer,
      aud: servers[place].url,
      sub: ann.userId,
      kind: "user",
      organization_id: server.id,
      email: expect.stringContaining("@"),
      groups: [`desk-${place}`],
      thread_id: run.thread_id,
      run_id: run.id,
      call_id: expect.stringMatching(/^call_/),
      tool: "Look-Up",
      iat: expect.any(Number),
      exp: (claims.iat as number) + 120,
      jti: expect.any(String),
    });
    expect(servers[place].seen.length).toBeGreaterThan(sent(place).length); // listings say nothing
    expect(servers[place].seen.every(({ headers }) => headers.authorization === "Bearer operators-own")).toBe(true);
  });
});

describe("who a call is for", () => {
  test("is not for the model to say", async () => {
    const { userId, token } = await server.person("member");
    const forged = {
      sub: server.ownerId,
      [header]: "eyJhbGciOiJub25lIn0.e30.",
      headers: { [header]: "x" },
      _meta: { [header]: "x", "callboard/call_id": "call_other" },
    };
    const { assertions, run } = await call("told", token, forged);
    const claims = await claimsOf(only(assertions), "told");
    expect([claims.sub, claims.run_id]).toEqual([userId, run.id]);
  });

  test("is a service by itself, or the person it works for and the service", async () => {
    const agent = (await server.client().get("/agents/desk")).body.id;
    const { userId } = await server.person("member");
    const token = await server.service({ agent_ids: [agent], may_attribute: true });
    const service = (await server.client(token).get("/me")).body.token_id;
    const alone = await claimsOf(only((await call("told", token)).assertions), "told");
    expect([alone.sub, alone.act, alone.kind, alone.email]).toEqual([service, undefined, "service", undefined]);
    const attributed = await call("told", token, {}, { attributed_user_id: userId });
    const both = await claimsOf(only(attributed.assertions), "told");
    expect([both.sub, both.act, both.kind]).toEqual([userId, { sub: service }, "service"]);
  });

  test("is told for one server: another one cannot use it", async () => {
    const { assertions } = await call("told", server.token);
    await expect(claimsOf(only(assertions), "untold")).rejects.toMatchObject({
      code: "ERR_JWT_CLAIM_VALIDATION_FAILED",
    });
    const asToken = await fetch(`${server.baseUrl}/api/v1/me`, {
      headers: { authorization: `Bearer ${only(assertions)}` },
    });
    expect(asToken.status).toBe(401);
  });

  test("is not told to a server that is not to know", async () => {
    const { userId, token } = await server.person("member");
    expect((await call("untold", token)).assertions).toEqual([]);
    expect(JSON.stringify(servers.untold.seen)).not.toContain(userId);
  });
});

test("the published keys check what was signed before and after the server's key is changed", async () => {
  const before = only((await call("told", server.token)).assertions);
  const other = await server.second({ CALLBOARD_SECRET_KEY: `${SecretKeys.generate()},${secretKey}` });
  try {
    const answer = await fetch(`${other.baseUrl}/api/v1/jwks.json`);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/jwk-set+json"]);
    const { keys } = (await answer.json()) as { keys: object[] };
    expect(keys).toHaveLength(2);
    expect(JSON.stringify(keys)).not.toContain('"d"');
    const published = createRemoteJWKSet(new URL(`${other.baseUrl}/api/v1/jwks.json`));
    expect((await jwtVerify(before, published, { issuer })).payload.sub).toBe(server.ownerId);
  } finally {
    await other.stop();
  }
});
