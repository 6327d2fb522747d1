/** T9, what only the database shows: keys under way, kept answers, sealed secrets, the end after a day. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectionConfig } from "../storage/database.ts";
import type { Answer } from "../testing/http-client.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ agents: { desk: { name: "Desk" } } });
});
afterAll(() => server.stop());

const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code ?? "accepted"}`;
const withKey = (key: string) => ({ headers: { "idempotency-key": key } });
const ref = (client_external_ref: string) => ({ client_external_ref });

/**
 * Holds a key as another process does that has reserved it, and was paused before its commit.
 *
 * @param ends the database ends its transaction after a while; else not
 */
async function underWay<T>(route: string, key: string, work: () => Promise<T>, ends = true): Promise<T> {
  const client = new pg.Client(connectionConfig(server.databaseUrl));
  client.on("error", () => {}); // the database ends a transaction in which nothing happens
  await client.connect();
  if (!ends) await client.query("set idle_in_transaction_session_timeout = 0");
  await client.query("begin");
  await client.query(
    `insert into idempotency_keys (organization_id, principal, route, key, request_hash, status, response)
     select id, $1, $2, $3, '\\x00', 0, '' from organizations limit 1`,
    [server.ownerId, route, key],
  );
  try {
    return await work();
  } finally {
    await client.end().catch(() => {});
  }
}

describe("a key whose first request is still under way elsewhere", () => {
  test("is told so, and may be sent again", async () => {
    const body = { slug: "team", name: "Team" };
    const create = () => server.client().post("/groups", body, withKey("busy"));
    const answer = await underWay("groups.create", "busy", create, false);
    expect(refusal(answer)).toBe("409 idempotency_in_progress");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await server.client().post("/groups", body, withKey("busy"))).status).toBe(201);
  });

  test("does not hold up those who start threads for ever: the database ends what stalls", async () => {
    const create = (name: string, sending = {}) => server.client().post("/agents/desk/threads", ref(name), sending);
    const answers = await underWay("threads.create", "slow", () =>
      Promise.all([create("held", withKey("slow")), create("free"), create("other", withKey("other"))]),
    );
    expect(answers.map(refusal)).toEqual(Array(3).fill("201 accepted"));
  });
});

describe("what is kept", () => {
  test("a token's answer is sealed: its secret is nowhere in the database", async () => {
    const answer = await server.client().post("/tokens", { label: "sealed" }, withKey("sealed"));
    const { secret } = answer.body;
    const { response } = await server.row<{ response: string }>(
      "select response from idempotency_keys where key = 'sealed'",
    );
    expect(response).not.toBe("");
    expect(response).not.toContain(secret);
    expect((await server.client().post("/tokens", { label: "sealed" }, withKey("sealed"))).body.secret).toBe(secret);
  });

  test("a secret is shown again to the token that made it, and to no other one of the same person", async () => {
    const scopes = ["tokens:write"];
    const narrow = (await server.client().post("/tokens", { label: "narrow", scopes })).body.secret;
    const body = { label: "wide" };
    const made = await server.client().post("/tokens", body, withKey("wide"));
    expect(made.status).toBe(201);
    const answer = await server.client(narrow).post("/tokens", body, withKey("wide"));
    expect(refusal(answer)).toBe("409 idempotency_conflict");
    expect(answer.text).not.toContain(made.body.secret);
    expect((await server.client().post("/tokens", body, withKey("wide"))).body).toEqual(made.body);
  });

  test("is the answer of then, not the state of now", async () => {
    const client = server.client();
    const first = await client.post("/agents/desk/threads", ref("then"), withKey("then"));
    await client.patch(`/threads/${first.body.thread.id}`, { title: "changed since" });
    const again = await client.post("/agents/desk/threads", ref("then"), withKey("then"));
    expect(again.text).toBe(first.text);
  });

  test("is given to who may still ask: a right that ended meanwhile is refused first", async () => {
    const { userId, token } = await server.person("member");
    const client = server.client(token);
    expect((await client.post("/agents/desk/threads", {}, withKey("mine"))).status).toBe(201);
    await server.client().patch(`/members/${userId}`, { suspended: true });
    expect(refusal(await client.post("/agents/desk/threads", {}, withKey("mine")))).toBe("401 unauthenticated");
  });

  test("ends after a day: the same key makes a new thing", async () => {
    const client = server.client();
    for (const [path, body, status] of [
      ["/agents/desk/threads", ref("day"), 201],
      ["/agents", { slug: "day", draft: { name: "Day" } }, 201],
    ] as const) {
      const key = `day-${path}`;
      const first = await client.post(path, body, withKey(key));
      expect(first.status).toBe(status);
      await server.row("update idempotency_keys set created_at = now() - interval '25 hours' where key = $1", [key]);
      const again = await client.post(path, body, withKey(key));
      expect(again.headers.get("idempotency-replayed")).toBeNull();
      expect(refusal(again)).toBe(path === "/agents" ? "409 slug_taken" : "201 accepted");
      if (path !== "/agents") expect(again.body.thread.id).not.toBe(first.body.thread.id);
    }
  });
});
