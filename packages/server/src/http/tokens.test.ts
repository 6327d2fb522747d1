/** Tokens over their life, and what a service token does with its agents and their threads. */
import { newId, type Role, type Token } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer, HttpClient } from "../testing/http-client.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

let server: TestServer;
let agents: Record<"helper" | "invited" | "other", string>;
beforeAll(async () => {
  const instructions = "Help.";
  server = await startTestServer({
    agents: {
      helper: { name: "Helper", instructions },
      other: { name: "Other", instructions },
      invited: { name: "Invited", instructions, access_mode: "invited" },
    },
  });
  const { data } = (await server.client().get("/agents")).body;
  agents = Object.fromEntries(data.map(({ slug, id }: { slug: string; id: string }) => [slug, id])) as typeof agents;
});
afterAll(() => server.stop());

const codeOf = ({ status, body }: Answer) => body?.error?.code ?? status;
const tokenOf = async (client: HttpClient) => (await client.get("/me")).body.token_id as string;
const make = async (client: HttpClient, body: object): Promise<{ token: Token; secret: string }> => {
  const answer = await client.post("/tokens", { label: "test", ...body });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
};
const days = (token: Token) => (Date.parse(token.expires_at ?? "") - Date.now()) / 86_400_000;

describe("a token made with a token", () => {
  test("lives no longer than that one, unless a person has signed in or it has no end", async () => {
    const admin = server.client();
    expect(days((await make(admin, {})).token)).toBeCloseTo(90, 1);
    expect((await make(admin, { expires_in_days: null })).token.expires_at).toBeNull();
    const short = await make(admin, { scopes: ["tokens:write", "threads:read"], expires_in_days: 5 });
    const client = server.client(short.secret);
    expect((await make(client, {})).token.expires_at).toBe(short.token.expires_at);
    expect(days((await make(client, { expires_in_days: 3 })).token)).toBeCloseTo(3, 1);
    for (const expires_in_days of [null, 6, 90]) {
      expect(codeOf(await client.post("/tokens", { label: "longer", expires_in_days }))).toBe("forbidden");
    }
  });

  test("is renewed by it for no longer than it was given", async () => {
    const admin = server.client();
    const short = await make(admin, { scopes: ["tokens:write"], expires_in_days: 5 });
    const client = server.client(short.secret);
    const { token } = await make(client, { expires_in_days: 2 });
    const rotate = (id: string, expires_in_days?: number | null) =>
      client.post(`/tokens/${id}/rotate`, { expires_in_days });
    for (const asked of [null, 6]) expect(codeOf(await rotate(token.id, asked))).toBe("forbidden");
    expect(days((await rotate(token.id, 4)).body.token)).toBeCloseTo(4, 1);
    expect(codeOf(await rotate(short.token.id, 9))).toBe("forbidden");
    const renewed = await rotate(short.token.id);
    expect([renewed.status, days(renewed.body.token)]).toEqual([200, expect.closeTo(5, 1)]);
  });
});

describe("a rotated token", () => {
  test("is the same token with another secret, and the old one ends at once", async () => {
    const { token: secret } = await server.person("member");
    const client = server.client(secret);
    const id = await tokenOf(client);
    const rotated = await client.post(`/tokens/${id}/rotate`, {});
    expect(rotated.status).toBe(200);
    expect(rotated.body.token).toMatchObject({ id, previous_secret_until: null, rotated_at: expect.any(String) });
    expect(await tokenOf(server.client(rotated.body.secret))).toBe(id);
    expect(codeOf(await client.get("/me"))).toBe("unauthenticated");
  });

  test("keeps its old secret for the overlap that was asked for, and no older one", async () => {
    const admin = server.client();
    const first = await make(admin, { kind: "service", agent_ids: [agents.helper] });
    const rotate = () => admin.post(`/tokens/${first.token.id}/rotate`, { overlap_seconds: 3600 });
    const second = (await rotate()).body;
    expect(Date.parse(second.token.previous_secret_until)).toBeGreaterThan(Date.now() + 3_500_000);
    for (const secret of [first.secret, second.secret])
      expect((await server.client(secret).get("/me")).status).toBe(200);
    const third = (await rotate()).body;
    const answers = [first, second, third].map(({ secret }) => server.client(secret).get("/me"));
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([401, 200, 200]);
    await admin.post(`/tokens/${first.token.id}/revoke`);
    expect((await server.client(second.secret).get("/me")).status).toBe(401);
  });

  test("takes its old secret no longer than the overlap", async () => {
    const admin = server.client();
    const { token, secret } = await make(admin, { kind: "service" });
    await admin.post(`/tokens/${token.id}/rotate`, { overlap_seconds: 1 });
    await expect.poll(async () => (await server.client(secret).get("/me")).status).toBe(401);
  });

  test("closes the streams that its old secret opened", async () => {
    const { token: secret } = await server.person("member");
    const client = server.client(secret);
    const { thread } = (await client.post("/agents/helper/threads", {})).body;
    const stream = await client.stream(`/threads/${thread.id}/events/stream`);
    const { secret: next } = (await client.post(`/tokens/${await tokenOf(client)}/rotate`, {})).body;
    expect(await stream.next()).toBeUndefined();
    expect((await server.client(next).get(`/threads/${thread.id}`)).status).toBe(200);
  });

  test("lives on for as long as it was given at first, or as it is asked", async () => {
    const admin = server.client();
    const { token } = await make(admin, { kind: "service", expires_in_days: 10 });
    expect(days(token)).toBeCloseTo(10, 1);
    expect(days((await admin.post(`/tokens/${token.id}/rotate`, {})).body.token)).toBeCloseTo(10, 1);
    expect(days((await admin.post(`/tokens/${token.id}/rotate`, { expires_in_days: 3 })).body.token)).toBeCloseTo(3, 1);
    const never = await admin.post(`/tokens/${token.id}/rotate`, { expires_in_days: null });
    expect(never.body.token.expires_at).toBeNull();
    expect((await admin.post(`/tokens/${token.id}/rotate`, {})).body.token.expires_at).toBeNull();
  });

  test("shows its secret to nobody but its person, or, of a service, to those who have its scopes", async () => {
    const { token: secret } = await server.person("member");
    const id = await tokenOf(server.client(secret));
    expect(codeOf(await server.client().post(`/tokens/${id}/rotate`, {}))).toBe("forbidden");
    const narrow = (await make(server.client(), { scopes: ["tokens:write"] })).secret;
    const bot = await make(server.client(), { kind: "service", scopes: ["threads:read"] });
    expect(codeOf(await server.client(narrow).post(`/tokens/${bot.token.id}/rotate`, {}))).toBe("forbidden");
    expect(codeOf(await server.client(secret).post(`/tokens/${bot.token.id}/rotate`, {}))).toBe("not_found");
    expect((await server.client(secret).get("/me")).status).toBe(200);
  });

  test("rotates once for repeats with one key", async () => {
    const { token: secret } = await server.person("member");
    const client = server.client(secret);
    const id = await tokenOf(client);
    const headers = { "idempotency-key": newId("request") };
    const first = await client.post(`/tokens/${id}/rotate`, {}, { headers });
    const again = await server.client(first.body.secret).post(`/tokens/${id}/rotate`, {}, { headers });
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.body.secret).toBe(first.body.secret);
  });

  test("that was revoked is neither rotated nor changed", async () => {
    const admin = server.client();
    const { token } = await make(admin, {});
    await admin.post(`/tokens/${token.id}/revoke`);
    expect(codeOf(await admin.post(`/tokens/${token.id}/rotate`, {}))).toBe("token_ended");
    expect(codeOf(await admin.patch(`/tokens/${token.id}`, { label: "x" }))).toBe("token_ended");
  });

  test("has one winner when it is rotated many times at once", async () => {
    const admin = server.client();
    const { token } = await make(admin, { kind: "service" });
    const answers = await Promise.all(Array.from({ length: 8 }, () => admin.post(`/tokens/${token.id}/rotate`, {})));
    const secrets = answers.map(({ body }) => body.secret as string);
    expect(new Set(secrets).size).toBe(8);
    const alive = await Promise.all(secrets.map(async (secret) => (await server.client(secret).get("/me")).status));
    expect(alive.filter((status) => status === 200)).toHaveLength(1);
  });
});

describe("a token that is changed", () => {
  test("gets another label, and loses scopes at once", async () => {
    const { token: secret } = await server.person("member");
    const client = server.client(secret);
    const id = await tokenOf(client);
    const scopes = ["threads:read", "tokens:write"];
    expect((await client.patch(`/tokens/${id}`, { label: "laptop", scopes })).body).toMatchObject({
      label: "laptop",
      scopes,
    });
    expect(codeOf(await client.get("/agents"))).toBe("insufficient_scope");
    expect(codeOf(await client.patch(`/tokens/${id}`, { scopes: [...scopes, "agents:read"] }))).toBe("forbidden");
  });

  test("of a person has no agents and attributes nothing", async () => {
    const client = server.client();
    const id = await tokenOf(client);
    expect(codeOf(await client.patch(`/tokens/${id}`, { agent_ids: [agents.helper] }))).toBe("invalid_request");
    expect(codeOf(await client.patch(`/tokens/${id}`, { may_attribute: true }))).toBe("invalid_request");
  });

  test("of a service gets agents from admins alone", async () => {
    const admin = server.client();
    const scopes = ["agents:read", "tokens:write", "threads:read"];
    const { token, secret } = await make(admin, { kind: "service", scopes });
    const bot = server.client(secret);
    expect(codeOf(await bot.patch(`/tokens/${token.id}`, { agent_ids: [agents.helper] }))).toBe("forbidden");
    expect(codeOf(await bot.patch(`/tokens/${token.id}`, { may_attribute: true }))).toBe("forbidden");
    expect((await admin.patch(`/tokens/${token.id}`, { agent_ids: [agents.helper] })).body.agent_ids).toEqual([
      agents.helper,
    ]);
    expect((await bot.get("/agents/helper")).status).toBe(200);
    expect(codeOf(await admin.patch(`/tokens/${token.id}`, { agent_ids: [newId("agent")] }))).toBe("not_found");
    expect((await admin.get("/tokens")).body.data.find(({ id }: Token) => id === token.id).agent_ids).toHaveLength(1);
  });

  test("is not there for a member it does not belong to, and not for another organization", async () => {
    const other = await server.organization();
    const member = await server.person("member");
    const { token } = await make(server.client(), {});
    for (const client of [other.client(), server.client(member.token)]) {
      const answers = [
        await client.patch(`/tokens/${token.id}`, { label: "x" }),
        await client.post(`/tokens/${token.id}/rotate`, {}),
        await client.patch(`/tokens/${newId("token")}`, { label: "x" }),
      ];
      expect(answers.map(codeOf)).toEqual(["not_found", "not_found", "not_found"]);
    }
  });
});

describe("a service token", () => {
  const bot = async (body: object = {}) => {
    const made = await make(server.client(), { kind: "service", agent_ids: [agents.helper], ...body });
    return { ...made, client: server.client(made.secret) };
  };
  const message = { type: "user.message", text: "Hello" };

  test("does with its agents' threads what a person does: create, send, list, follow, attach, rename, archive, delete", async () => {
    const { client, token } = await bot();
    const created = await client.post("/agents/helper/threads", { input: message, client_external_ref: "order 7" });
    expect(created.status).toBe(201);
    const { id } = created.body.thread;
    expect(created.body.thread.created_by).toEqual({ kind: "service", id: token.id });
    await client.get(`/runs/${created.body.run.id}`, { headers: { prefer: "wait=60" } });
    const upload = await client.upload(`/threads/${id}/files`, { name: "a.txt", bytes: "text" });
    expect(upload.status).toBe(201);
    const content = [
      { type: "text", text: "And this?" },
      { type: "file", file_id: upload.body.id },
    ];
    const sent = await client.post(`/threads/${id}/events`, { events: [{ type: "user.message", content }] });
    expect(sent.status, sent.text).toBe(200);
    const runId = sent.body.events[0].run.id;
    const ended = await client.get(`/runs/${runId}`, { headers: { prefer: "wait=60" } });
    expect(ended.body.state).toBe("completed");
    const before = await client.upload("/agents/helper/files", { name: "b.txt", bytes: "text" });
    expect(before.status).toBe(201);
    const stream = await client.stream(`/threads/${id}/events/stream`, { query: { until_run: runId } });
    expect((await stream.next())?.id).toBe("1");
    stream.close();
    const statuses = [
      await client.get("/agents/helper/threads", { query: { client_external_ref: "order 7" } }),
      await client.get(`/threads/${id}/events`),
      await client.get(`/threads/${id}/files`),
      await client.get(`/files/${upload.body.id}/content`),
      await client.get("/runs"),
      await client.patch(`/threads/${id}`, { title: "Seven" }),
      await client.post(`/threads/${id}/archive`),
      await client.post(`/threads/${id}/archive`),
      await client.post(`/threads/${id}/unarchive`),
      await client.delete(`/files/${before.body.id}`),
      await client.delete(`/threads/${id}`),
      await client.get(`/threads/${id}`),
    ].map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 200, 204, 204, 404]);
  });

  test("does not know agents that are not in its list, nor others' threads", async () => {
    const { client } = await bot();
    const theirs = (await server.client().post("/agents/helper/threads", {})).body.thread.id;
    expect(codeOf(await client.post("/agents/other/threads", {}))).toBe("not_found");
    expect(codeOf(await client.get(`/threads/${theirs}`))).toBe("not_found");
    expect((await client.get("/agents")).body.data.map(({ slug }: { slug: string }) => slug)).toEqual(["helper"]);
  });

  test("loses the threads, runs, files and streams of an agent that is taken from its list, until it is there again", async () => {
    const { client, token } = await bot({ scopes: ["threads:read", "threads:write", "transcripts:read"] });
    const { thread, run } = (await client.post("/agents/helper/threads", { input: message })).body;
    await client.get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } });
    const inThread = (await client.upload(`/threads/${thread.id}/files`, { name: "a.txt", bytes: "a" })).body.id;
    const loose = (await client.upload("/agents/helper/files", { name: "b.txt", bytes: "b" })).body.id;
    const stream = await client.stream(`/threads/${thread.id}/events/stream`);
    const all = async () => [
      await client.get("/agents/helper/threads"),
      await client.get(`/threads/${thread.id}`),
      await client.get(`/threads/${thread.id}/events`),
      await client.get(`/threads/${thread.id}/events/stream`, { query: { until_run: run.id } }),
      await client.get(`/threads/${thread.id}/files`),
      await client.get(`/runs/${run.id}`),
      await client.get(`/runs/${run.id}/transcript`),
      await client.get(`/files/${inThread}`),
      await client.get(`/files/${inThread}/content`),
      await client.get(`/files/${loose}`),
      await client.post(`/threads/${thread.id}/events`, { events: [message] }),
      await client.post("/agents/helper/runs", { input: message, thread_id: thread.id }),
      await client.patch(`/threads/${thread.id}`, { title: "x" }),
      await client.post(`/threads/${thread.id}/archive`),
      await client.delete(`/files/${inThread}`),
      await client.delete(`/threads/${thread.id}`),
    ];
    const change = (agent_ids: string[]) => server.client().patch(`/tokens/${token.id}`, { agent_ids });
    await change([agents.other]);
    const gone = (await all()).map((answer) => codeOf(answer));
    expect(new Set(gone)).toEqual(new Set(["not_found"]));
    expect((await client.get("/runs")).body.data).toEqual([]);
    for (let frame = await stream.next(); frame !== undefined; ) frame = await stream.next();
    await change([agents.helper]);
    expect((await client.get(`/threads/${thread.id}`)).status).toBe(200);
    expect((await client.get("/runs")).body.data).toHaveLength(1);
  });

  test("manages nothing, whatever its scopes", async () => {
    const scopes = (await server.client().get("/me")).body.scopes;
    const { client } = await bot({ scopes });
    const slug = newId("agent").slice(-12);
    const answers = [
      await client.post("/agents", { slug, draft: { name: "X" } }),
      await client.patch("/agents/helper", { draft: { name: "X" } }),
      await client.post("/members", { email: "x@example.com", name: "X" }),
      await client.post("/invitations", { email: "x@example.com" }),
      await client.post("/password-links", { user_id: server.ownerId }),
      await client.post("/groups", { slug, name: "X" }),
      await client.post("/tokens", { label: "x" }),
      await client.post("/model-connections", { slug, kind: "demo" }),
      await client.get("/sso-connections"),
      await client.patch("/organization", { name: "X" }),
    ];
    expect(new Set(answers.map(codeOf))).toEqual(new Set(["forbidden"]));
  });
});

describe("attribution", () => {
  const bot = async (may_attribute: boolean) => {
    const { secret } = await make(server.client(), {
      kind: "service",
      agent_ids: [agents.helper, agents.invited],
      may_attribute,
    });
    return server.client(secret);
  };
  const open = (client: HttpClient, agent: string, attributed_user_id: string) =>
    client.post(`/agents/${agent}/threads`, { attributed_user_id });

  test("is refused the same way for a guest, somebody suspended, of another organization, not invited, and nobody", async () => {
    const client = await bot(true);
    const suspended = await server.person("member");
    await server.client().patch(`/members/${suspended.userId}`, { suspended: true });
    const removed = await server.person("member");
    await server.client().delete(`/members/${removed.userId}`);
    const foreign = await (await server.organization()).person("member");
    const cases: Array<[string, string]> = [
      ["helper", (await server.person("guest")).userId],
      ["helper", suspended.userId],
      ["helper", removed.userId],
      ["helper", foreign.userId],
      ["helper", newId("user")],
    ];
    const answers = await Promise.all(cases.map(([agent, user]) => open(client, agent, user)));
    const bodies = answers.map(({ status, body }) => ({ status, ...body.error, request_id: undefined }));
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
    expect(bodies[0]).toMatchObject({ status: 422, code: "attribution_not_allowed" });
    const outsider = await open(client, "invited", (await server.person("admin")).userId);
    expect(codeOf(outsider)).toBe("attribution_not_allowed");
  });

  test("is refused to every personal token, and to a service without the right", async () => {
    const { userId } = await server.person("member");
    const roles: Role[] = ["member", "admin"];
    for (const role of roles) {
      const { token } = await server.person(role);
      expect(codeOf(await open(server.client(token), "helper", userId))).toBe("attribution_not_allowed");
    }
    expect(codeOf(await open(server.client(), "helper", server.ownerId))).toBe("attribution_not_allowed");
    expect(codeOf(await open(await bot(false), "helper", userId))).toBe("attribution_not_allowed");
  });

  test("shows the thread to its person, and ends with the person's membership", async () => {
    const client = await bot(true);
    const { userId, token } = await server.person("member");
    const { thread } = (await open(client, "helper", userId)).body;
    expect(thread.attributed_user).toEqual({ id: userId });
    expect((await server.client(token).get(`/threads/${thread.id}`)).status).toBe(200);
    await server.client().patch(`/members/${userId}`, { suspended: true });
    const events = [{ type: "user.message", text: "Hi" }];
    expect(codeOf(await client.post(`/threads/${thread.id}/events`, { events }))).toBe("attribution_not_allowed");
  });

  test("ends when the right is taken from the token", async () => {
    const { token, secret } = await make(server.client(), {
      kind: "service",
      agent_ids: [agents.helper],
      may_attribute: true,
    });
    const { userId } = await server.person("member");
    expect((await open(server.client(secret), "helper", userId)).status).toBe(201);
    await server.client().patch(`/tokens/${token.id}`, { may_attribute: false });
    expect(codeOf(await open(server.client(secret), "helper", userId))).toBe("attribution_not_allowed");
  });
});
