/** The audit log has every act that manages something or touches others' things, done and refused. */
import { defineEndpoint } from "@callboard/kit";
import { type AuditAction, auditActions, newId, type Route, type RouteName, routes } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { call } from "../endpoints/fixture.ts";
import { Browser } from "../testing/browser.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";
import { audited } from "./audited.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    agents: { help: { name: "Help", instructions: "Help." } },
    endpoints: {
      owners: defineEndpoint({
        method: "POST",
        mode: "sync",
        input: z.strictObject({}),
        output: z.string(),
        access: { roles: ["owner"] },
        handle: () => "yes",
      }),
    },
  });
});
afterAll(() => server.stop());

type Entry = { action: string; outcome: string; target: string | null; actor: { id: string }; details: object };
const entries = async (query = ""): Promise<Entry[]> =>
  (await server.client().get(`/audit?limit=200${query}`)).body.data;

const all = Object.entries(routes) as [RouteName, Route][];
/** What a path's names stand for when nothing needs to be there. */
const pathOf = ({ path }: Route) => path.replaceAll("{version}", "1").replace(/\{\w+\}/g, "absent");

describe("the table of routes", () => {
  test("every route that manages something names what it writes", () => {
    const managing = all.filter(
      ([name, { method, scope }]) =>
        method !== "GET" &&
        !/^(threads:write|runs:raw|documents:read)$/.test(scope ?? "") &&
        name !== "invitations.preview", // a look: the link's token does not belong into an address
    );
    expect(managing.length).toBeGreaterThan(15);
    expect(managing.filter(([name]) => audited[name].done.length === 0)).toEqual([]);
  });

  test("every route to a thread, run, file or job names what an admin's use of others' writes", () => {
    const reaching = all.filter(
      ([name, { path }]) => /thread_id|run_id|file_id|job_id/.test(path) || name === "runs.list",
    );
    expect(reaching.length).toBeGreaterThan(15);
    const silent = reaching.filter(([name]) => !audited[name].done.some((action) => action.endsWith("_as_admin")));
    expect(silent).toEqual([]);
  });

  test("every action of the catalogue is some route's, or of those that have none", () => {
    const ofRoutes = Object.values(audited).flatMap(({ refused, done }) => [...done, ...(refused ? [refused] : [])]);
    const others: AuditAction[] = [
      "audit.erase",
      "endpoint.call",
      "organization.create",
      "refusals.suppressed",
      "secrets.rotate",
      "token.use",
    ];
    expect([...new Set([...ofRoutes, ...others])].sort()).toEqual(Object.keys(auditActions).sort());
  });
});

describe("a refusal", () => {
  test.each(all.filter(([, { scope }]) => scope !== null))("of %s leaves its entry", async (name, route) => {
    await server.app.refusals.flush(); // a minute is over: routes share actions
    const none = await server.personalToken(server.ownerId, { scopes: [] });
    const { status } = await server.client(none).send(route.method, pathOf(route));
    expect(status).toBe(403);
    const [entry] = await entries("&outcome=refused");
    expect(entry).toMatchObject({
      action: audited[name].refused,
      target: route.path.includes("{") ? "absent" : null,
      actor: { id: server.ownerId },
      details: { code: "insufficient_scope" },
    });
  });

  test("by an endpoint leaves its entry", async () => {
    const { userId, token } = await server.person("member");
    expect((await call(server, "owners", {}, { token })).status).toBe(403);
    expect((await entries(`&actor_id=${userId}`))[0]).toMatchObject({ action: "endpoint.call", target: "owners" });
  });

  test("that hides a thread, a run and a job of somebody else leaves its entry, and one of nothing leaves none", async () => {
    const mine = (await server.client().post("/agents/help/threads", { input: { type: "user.message", text: "hi" } }))
      .body;
    const { userId, token } = await server.person("member");
    const client = server.client(token);
    for (const path of [`/threads/${mine.thread.id}`, `/runs/${mine.run.id}`, `/threads/${mine.thread.id}`]) {
      expect((await client.get(path)).status).toBe(404);
    }
    expect((await client.get(`/threads/${mine.thread.id.replace(/.$/, "0")}`)).status).toBe(404);
    await expect
      .poll(async () => (await entries(`&actor_id=${userId}`)).map(({ action, target }) => [action, target]))
      .toEqual([
        ["thread.read", mine.run.id],
        ["thread.read", mine.thread.id],
      ]);
  });

  test("is written once a minute however often it comes, and then counted", async () => {
    const { userId, token } = await server.person("member");
    const client = server.client(token);
    await Promise.all(Array.from({ length: 20 }, () => client.patch("/organization", { name: "Mine" })));
    expect((await entries(`&actor_id=${userId}`)).length).toBe(1);
    await server.app.refusals.flush();
    expect((await entries(`&actor_id=${userId}`)).map(({ details }) => details)).toEqual([
      { code: "forbidden", repeated: 19 },
      { code: "forbidden" },
    ]);
  });

  test("of many kinds is bounded, and the rest is counted", async () => {
    await server.app.refusals.flush();
    const other = await server.organization();
    const { userId, token } = await other.person("member");
    const client = other.client(token);
    for (let n = 0; n < 150; n++) await client.delete(`/groups/thing-${n}`);
    await server.app.refusals.flush();
    const log = async (query: string) => (await other.client().get(`/audit?limit=200&${query}`)).body.data;
    expect((await log(`actor_id=${userId}`)).length).toBe(100);
    expect((await log("action=refusals.suppressed"))[0]).toMatchObject({ details: { count: 50 } });
  });

  test("of one caller, however many, hide nobody else's", async () => {
    const other = await server.organization();
    const [loud, quiet] = [await other.person("member"), await other.person("member")];
    for (let n = 0; n < 120; n++) await other.client(loud.token).delete(`/groups/thing-${n}`);
    await other.client(quiet.token).patch("/organization", { name: "Mine" });
    const { data } = (await other.client().get(`/audit?actor_id=${quiet.userId}`)).body;
    expect(data).toMatchObject([{ action: "organization.update", outcome: "refused" }]);
  });
});

test("a service that would call an agent which is not in its list leaves an entry, and learns nothing", async () => {
  const token = await server.service({ agent_ids: [] });
  const client = server.client(token);
  const { token_id } = (await client.get("/me")).body;
  const { id } = (await server.client().get("/agents/help")).body;
  const answers = [await client.post("/agents/help/threads", {}), await client.post("/agents/nothing/threads", {})];
  expect(answers.map(({ status, body }) => [status, body.error.message])).toEqual(
    Array(2).fill([404, "there is no such agent for this caller"]),
  );
  await expect
    .poll(async () => (await entries(`&actor_id=${token_id}`)).map(({ action, target }) => [action, target]))
    .toEqual([["agent.call", id]]);
});

describe("what speaks for somebody else without the right", () => {
  test("is in the log: a service that attributes, a person that does", async () => {
    const { id } = (await server.client().get("/agents?limit=1")).body.data[0];
    const service = server.client(await server.service({ agent_ids: [id] }));
    const person = await server.person("member");
    const body = { attributed_user_id: person.userId };
    for (const client of [service, server.client(person.token)]) {
      expect((await client.post(`/agents/${id}/threads`, body)).status).toBe(422);
      const { user, token_id } = (await client.get("/me")).body;
      const data = await entries(`&actor_id=${user?.user_id ?? token_id}`);
      expect(data).toMatchObject([{ action: "agent.call", target: id, details: { code: "attribution_not_allowed" } }]);
    }
  });

  test("is in the log: a page elsewhere that sends a session's cookie along", async () => {
    const { token } = (await server.client().post("/invitations", { email: `${newId("user")}@example.com` })).body;
    const browser = new Browser(server.baseUrl);
    const password = "nine lives of a cat";
    const { user } = (await browser.post("/invitations/accept", { token, password })).body;
    const headers = { "sec-fetch-site": "cross-site" };
    expect((await browser.post("/agents", { slug: "forged", draft: { name: "F" } }, { headers })).status).toBe(403);
    const data = await entries(`&actor_id=${user.user_id}&outcome=refused`);
    expect(data).toMatchObject([{ action: "agent.create", details: { code: "csrf_refused" } }]);
  });
});

describe("a token that has ended", () => {
  const used = async (token: string, userId: string) => {
    expect((await server.client(token).get("/me")).status).toBe(401);
    expect((await server.client(token).get("/me")).status).toBe(401);
    return (await entries(`&actor_id=${userId}&action=token.use`)).map(({ outcome, details }) => [outcome, details]);
  };

  test("leaves an entry when it is used after its expiry", async () => {
    const { userId, token } = await server.person("member", { expiresAtMs: Date.now() - 1000 });
    expect(await used(token, userId)).toEqual([["refused", { code: "expired" }]]);
  });

  test("leaves an entry when it is used after it was revoked", async () => {
    const { userId, token } = await server.person("member");
    const { token_id } = (await server.client(token).get("/me")).body;
    await server.client().post(`/tokens/${token_id}/revoke`);
    expect(await used(token, userId)).toEqual([["refused", { code: "revoked" }]]);
  });

  test("leaves an entry when its user is suspended or no member any more", async () => {
    const [one, two] = [await server.person("member"), await server.person("member")];
    await server.client().patch(`/members/${one.userId}`, { suspended: true });
    await server.client().delete(`/members/${two.userId}`);
    expect(await used(one.token, one.userId)).toEqual([["refused", { code: "suspended" }]]);
    expect(await used(two.token, two.userId)).toEqual([["refused", { code: "revoked" }]]);
  });

  test("that never was one leaves none: it is nobody's", async () => {
    const before = (await entries()).length;
    expect((await server.client("cbp_nonsense").get("/me")).status).toBe(401);
    expect((await entries()).length).toBe(before);
  });
});

/** Invitations, passwords, sessions and single sign-on, once each. */
async function signInActs(home: TestOrganization): Promise<void> {
  const admin = home.client();
  const [email, password] = [`${newId("user")}@example.com`, "nine lives of a cat"];
  const dropped = (await admin.post("/invitations", { email })).body.invitation.id;
  await admin.post(`/invitations/${dropped}/revoke`);
  const { id } = (await admin.post("/invitations", { email })).body.invitation;
  const { token } = (await admin.post(`/invitations/${id}/resend`)).body;
  const browser = new Browser(server.baseUrl);
  const { user } = (await browser.post("/invitations/accept", { token, password })).body;
  const link = (await admin.post("/password-links", { user_id: user.user_id })).body.token;
  await browser.post("/password/reset", { token: link, password });
  const other = (await browser.signIn(email, password)).body.session.id;
  await browser.signIn(email, password);
  await browser.post("/session/organization", { organization_id: home.id });
  await browser.post("/password", { old_password: password, new_password: `${password}!` });
  await browser.delete(`/sessions/${other}`);
  const third = new Browser(server.baseUrl);
  await third.signIn(email, `${password}!`);
  await browser.delete(`/sessions/${(await third.get("/session")).body.session.id}`);
  await browser.delete("/session");
  await browser.signIn(email, `${password}!`);
  await browser.delete("/sessions");
  const issuer = "https://id.example.com";
  const fields = { slug: newId("user").slice(-20), name: "A", issuer, client_id: "c", email_domains: ["example.com"] };
  const connection = (await admin.post("/sso-connections", fields)).body.id;
  await admin.patch(`/sso-connections/${connection}`, { name: "B" });
  await admin.delete(`/sso-connections/${connection}`);
}

test("every act of the table is in the log when it was done, and the chain holds", async () => {
  const home = await server.organization();
  const admin = home.client();
  const ok = async (answer: ReturnType<typeof admin.get>) => {
    const { status, body, text } = await answer;
    expect(status, text).toBeLessThan(300);
    return body;
  };
  const body = { input: { type: "user.message", text: "hi" } };
  const agent = (await ok(admin.post("/agents", { slug: "a", draft: { name: "A", instructions: "A." } }))).id;
  await ok(admin.patch(`/agents/${agent}`, { draft: { name: "A", instructions: "B." } }));
  await ok(admin.post(`/agents/${agent}/publish`));
  await ok(admin.post(`/agents/${agent}/versions/1/activate`));
  await ok(admin.put(`/agents/${agent}/access`, { users: [], groups: [] }));
  const someone = await home.person("member");
  const theirs = await ok(home.client(someone.token).post(`/agents/${agent}/threads`, body));
  await ok(admin.get(`/agents/${agent}/threads`));
  await ok(admin.get(`/threads/${theirs.thread.id}`));
  await ok(admin.get("/runs"));
  await ok(admin.get(`/runs/${theirs.run.id}`));
  await admin.post(`/runs/${theirs.run.id}/cancel`); // it may have ended: asking is the act
  await ok(admin.patch(`/threads/${theirs.thread.id}`, { title: "Mine" }));
  await ok(admin.delete(`/threads/${theirs.thread.id}`));
  await ok(admin.post(`/agents/${agent}/unpublish`));
  await ok(admin.delete(`/agents/${agent}`));
  const model = (await ok(admin.post("/model-connections", { slug: "m", kind: "demo" }))).id;
  await ok(admin.patch(`/model-connections/${model}`, { default_model: "demo" }));
  await ok(admin.delete(`/model-connections/${model}`));
  const group = (await ok(admin.post("/groups", { slug: "g", name: "G" }))).id;
  await ok(admin.patch(`/groups/${group}`, { name: "H" }));
  await ok(admin.delete(`/groups/${group}`));
  await ok(admin.patch("/organization", { name: "New" }));
  const limit = { subject: { kind: "organization" }, period: "day", limit_tokens: 1 };
  const budget = (await ok(admin.post("/budgets", limit))).id;
  await ok(admin.patch(`/budgets/${budget}`, { limit_tokens: 2 }));
  await ok(admin.delete(`/budgets/${budget}`));
  await ok(admin.post("/document-collections", { slug: "c", name: "C" }));
  await ok(admin.patch("/document-collections/c", { name: "D" }));
  await ok(admin.put("/document-collections/c/access", { users: [someone.userId] }));
  const document = (await ok(admin.post("/document-collections/c/documents", { name: "a.md", text: "Text." }))).id;
  await ok(admin.get("/document-collections/c/documents"));
  await ok(admin.get(`/documents/${document}`));
  await ok(admin.put(`/documents/${document}/content`, { text: "Other." }));
  await ok(admin.delete(`/documents/${document}`));
  await ok(admin.delete("/document-collections/c"));
  await ok(admin.patch(`/members/${someone.userId}`, { role: "guest" }));
  await ok(admin.delete(`/members/${someone.userId}`));
  const { token } = await ok(admin.post("/tokens", { label: "t" }));
  await ok(admin.patch(`/tokens/${token.id}`, { label: "u" }));
  await ok(admin.post(`/tokens/${token.id}/rotate`, {}));
  await ok(admin.post(`/tokens/${token.id}/revoke`));
  await signInActs(home);

  const log: Entry[] = (await admin.get("/audit?limit=200&outcome=done")).body.data;
  const written = new Set(log.map(({ action }) => action));
  const expected = new Set(Object.values(audited).flatMap(({ done }) => done));
  // Jobs are looked at in the room of endpoints, permissions in their own test.
  expect([...expected].filter((action) => !written.has(action)).sort()).toEqual([
    "job.cancel_as_admin",
    "job.read_as_admin",
    "permission.decide",
    "permission.read_as_admin",
  ]);
  const { anchor } = (await admin.get("/audit/head")).body;
  expect((await admin.get(`/audit/verify?anchor=${anchor}`)).body).toMatchObject({ ok: true, problem: null });
  expect((await admin.get(`/audit/verify?anchor=${anchor.replace(/.$/, "x")}`)).status).toBe(422);
});
