import { routes } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { type CallboardClient, createClient } from "./client.ts";
import { scriptedServer, sendJson } from "./testing/scripted-server.ts";

const user = { type: "user.message" as const, text: "hi" };
const draft = { name: "Support" };
const sso = {
  slug: "acme",
  name: "Acme",
  issuer: "https://id.acme.test",
  client_id: "c",
  email_domains: ["acme.test"],
};
/** Addresses for a browser to go to, not for a call. */
const forBrowsers = ["sso.start", "sso.callback"];

/** One call of every verb that is one request, and the request it must become: method, path, body. */
const verbs: Record<string, [(client: CallboardClient) => Promise<unknown>, string, unknown?]> = {
  "threads.create": [
    (c) => c.threads.create("support", { input: user, variables: { VIP: true } }),
    "POST /agents/support/threads",
    { input: user, variables: { VIP: true } },
  ],
  "threads.list": [
    (c) => c.threads.list("support", { limit: 5, archived: false, state: "idle", cursor: undefined }),
    "GET /agents/support/threads?limit=5&archived=false&state=idle",
  ],
  "threads.get": [(c) => c.threads.get("thread_1"), "GET /threads/thread_1"],
  "threads.update": [(c) => c.threads.update("thread_1", { title: null }), "PATCH /threads/thread_1", { title: null }],
  "threads.archive": [(c) => c.threads.archive("thread_1"), "POST /threads/thread_1/archive"],
  "threads.unarchive": [(c) => c.threads.unarchive("thread_1"), "POST /threads/thread_1/unarchive"],
  "threads.delete": [(c) => c.threads.delete("thread_1"), "DELETE /threads/thread_1"],
  "events.send": [
    (c) => c.events.send("thread_1", { events: [user] }),
    "POST /threads/thread_1/events",
    { events: [user] },
  ],
  "events.list": [
    (c) => c.events.list("thread_1", { after_seq: 7, types: ["run.completed", "run.failed"] }),
    "GET /threads/thread_1/events?after_seq=7&types=run.completed%2Crun.failed",
  ],
  "runs.create": [(c) => c.runs.create("support", { input: user }), "POST /agents/support/runs", { input: user }],
  "runs.createRaw": [(c) => c.runs.createRaw({ input: user, config: {} }), "POST /runs", { input: user, config: {} }],
  "runs.list": [(c) => c.runs.list({ state: "running" }), "GET /runs?state=running"],
  "runs.get": [(c) => c.runs.get("run_1"), "GET /runs/run_1"],
  "runs.cancel": [(c) => c.runs.cancel("run_1"), "POST /runs/run_1/cancel"],
  "runs.tree": [(c) => c.runs.tree("run_1"), "GET /runs/run_1/tree"],
  "runs.transcript": [(c) => c.runs.transcript("run_1"), "GET /runs/run_1/transcript"],

  "permissions.list": [(c) => c.permissions.list({ state: "pending" }), "GET /permissions?state=pending"],
  "permissions.get": [(c) => c.permissions.get("perm_1"), "GET /permissions/perm_1"],
  "permissions.decide": [
    (c) => c.permissions.decide("perm_1", { decision: "deny", message: "no" }),
    "POST /permissions/perm_1/decision",
    { decision: "deny", message: "no" },
  ],
  "files.list": [(c) => c.files.list("thread_1", { kind: "artifact" }), "GET /threads/thread_1/files?kind=artifact"],
  "files.get": [(c) => c.files.get("file_1"), "GET /files/file_1"],
  "files.download": [(c) => c.files.download("file_1"), "GET /files/file_1/content"],
  "collections.list": [(c) => c.collections.list({ limit: 5 }), "GET /document-collections?limit=5"],
  "collections.create": [
    (c) => c.collections.create({ slug: "faq", name: "FAQ" }),
    "POST /document-collections",
    { slug: "faq", name: "FAQ" },
  ],
  "collections.get": [(c) => c.collections.get("faq"), "GET /document-collections/faq"],
  "collections.update": [
    (c) => c.collections.update("faq", { name: "Questions" }),
    "PATCH /document-collections/faq",
    { name: "Questions" },
  ],
  "collections.delete": [(c) => c.collections.delete("faq"), "DELETE /document-collections/faq"],
  "collections.getAccess": [(c) => c.collections.getAccess("faq"), "GET /document-collections/faq/access"],
  "collections.setAccess": [
    (c) => c.collections.setAccess("faq", { organization: true }),
    "PUT /document-collections/faq/access",
    { organization: true },
  ],
  "documents.list": [(c) => c.documents.list("faq"), "GET /document-collections/faq/documents"],
  "documents.add": [
    (c) => c.documents.add("faq", { name: "a.md", text: "A" }),
    "POST /document-collections/faq/documents",
    { name: "a.md", text: "A" },
  ],
  "documents.get": [(c) => c.documents.get("document_1"), "GET /documents/document_1"],
  "documents.content": [(c) => c.documents.content("document_1"), "GET /documents/document_1/content"],
  "documents.replace": [
    (c) => c.documents.replace("document_1", { text: "B" }, { ifRevision: "2" }),
    "PUT /documents/document_1/content",
    { text: "B" },
  ],
  "documents.delete": [(c) => c.documents.delete("document_1"), "DELETE /documents/document_1"],
  "documents.search": [
    (c) => c.documents.search("refunds", { collection: "faq" }),
    "POST /documents/search",
    { query: "refunds", collection: "faq" },
  ],
  "files.delete": [(c) => c.files.delete("file_1"), "DELETE /files/file_1"],
  "agents.list": [(c) => c.agents.list({ limit: 2 }), "GET /agents?limit=2"],
  "agents.create": [(c) => c.agents.create({ slug: "support", draft }), "POST /agents", { slug: "support", draft }],
  "agents.get": [(c) => c.agents.get("a/b c"), "GET /agents/a%2Fb%20c"],
  "agents.update": [(c) => c.agents.update("support", { draft }), "PATCH /agents/support", { draft }],
  "agents.delete": [(c) => c.agents.delete("support"), "DELETE /agents/support"],
  "agents.publish": [(c) => c.agents.publish("support"), "POST /agents/support/publish"],
  "agents.unpublish": [(c) => c.agents.unpublish("support"), "POST /agents/support/unpublish"],
  "agents.versions": [(c) => c.agents.versions("support"), "GET /agents/support/versions"],
  "agents.version": [(c) => c.agents.version("support", 2), "GET /agents/support/versions/2"],
  "agents.activate": [(c) => c.agents.activate("support", 2), "POST /agents/support/versions/2/activate"],
  "agents.diff": [(c) => c.agents.diff("support", { from: "1" }), "GET /agents/support/diff?from=1"],
  "agents.getAccess": [(c) => c.agents.getAccess("support"), "GET /agents/support/access"],
  "agents.setAccess": [
    (c) => c.agents.setAccess("support", { users: [], groups: [] }),
    "PUT /agents/support/access",
    { users: [], groups: [] },
  ],
  "tools.list": [(c) => c.tools.list(), "GET /tools"],
  "models.list": [(c) => c.models.list(), "GET /model-connections"],
  "models.create": [
    (c) => c.models.create({ slug: "demo", kind: "demo" }),
    "POST /model-connections",
    { slug: "demo", kind: "demo" },
  ],
  "models.get": [(c) => c.models.get("model_1"), "GET /model-connections/model_1"],
  "models.update": [
    (c) => c.models.update("model_1", { api_key: null }),
    "PATCH /model-connections/model_1",
    { api_key: null },
  ],
  "models.delete": [(c) => c.models.delete("model_1"), "DELETE /model-connections/model_1"],
  "me.get": [(c) => c.me.get(), "GET /me"],
  "organization.get": [(c) => c.organization.get(), "GET /organization"],
  "organization.update": [(c) => c.organization.update({ name: "Acme" }), "PATCH /organization", { name: "Acme" }],
  "members.list": [(c) => c.members.list(), "GET /members"],
  "members.add": [
    (c) => c.members.add({ email: "a@acme.test", name: "A" }),
    "POST /members",
    { email: "a@acme.test", name: "A" },
  ],
  "members.update": [(c) => c.members.update("user_1", { role: "admin" }), "PATCH /members/user_1", { role: "admin" }],
  "members.remove": [(c) => c.members.remove("user_1"), "DELETE /members/user_1"],
  "groups.list": [(c) => c.groups.list(), "GET /groups"],
  "groups.create": [(c) => c.groups.create({ slug: "g", name: "G" }), "POST /groups", { slug: "g", name: "G" }],
  "groups.update": [(c) => c.groups.update("group_1", { name: "H" }), "PATCH /groups/group_1", { name: "H" }],
  "groups.delete": [(c) => c.groups.delete("group_1"), "DELETE /groups/group_1"],
  "jobs.get": [(c) => c.jobs.get("job_1"), "GET /jobs/job_1"],
  "jobs.cancel": [(c) => c.jobs.cancel("job_1"), "DELETE /jobs/job_1"],
  "audit.list": [(c) => c.audit.list({ cursor: "abc" }), "GET /audit?cursor=abc"],
  "budgets.list": [(c) => c.budgets.list(), "GET /budgets"],
  "budgets.create": [
    (c) => c.budgets.create({ subject: { kind: "organization" }, period: "day", limit_tokens: 1 }),
    "POST /budgets",
    { subject: { kind: "organization" }, period: "day", limit_tokens: 1 },
  ],
  "budgets.update": [
    (c) => c.budgets.update("budget_1", { action: "stop" }),
    "PATCH /budgets/budget_1",
    { action: "stop" },
  ],
  "budgets.delete": [(c) => c.budgets.delete("budget_1"), "DELETE /budgets/budget_1"],
  "usage.totals": [(c) => c.usage.totals({ group_by: "agent" }), "GET /usage?group_by=agent"],
  "usage.calls": [(c) => c.usage.calls({ limit: 5 }), "GET /usage/calls?limit=5"],
  "audit.head": [(c) => c.audit.head(), "GET /audit/head"],
  "audit.verify": [(c) => c.audit.verify({ anchor: "1:ab" }), "GET /audit/verify?anchor=1%3Aab"],
  "tokens.list": [(c) => c.tokens.list(), "GET /tokens"],
  "tokens.create": [(c) => c.tokens.create({ label: "ci" }), "POST /tokens", { label: "ci" }],
  "tokens.update": [(c) => c.tokens.update("token_1", { label: "ci" }), "PATCH /tokens/token_1", { label: "ci" }],
  "tokens.rotate": [
    (c) => c.tokens.rotate("token_1", { overlap_seconds: 60 }),
    "POST /tokens/token_1/rotate",
    { overlap_seconds: 60 },
  ],
  "session.signIn": [
    (c) => c.session.signIn({ email: "a@acme.test", password: "p" }),
    "POST /session",
    { email: "a@acme.test", password: "p" },
  ],
  "session.get": [(c) => c.session.get(), "GET /session"],
  "session.signOut": [(c) => c.session.signOut(), "DELETE /session"],
  "session.switch": [
    (c) => c.session.switch({ organization_id: "org_1" }),
    "POST /session/organization",
    { organization_id: "org_1" },
  ],
  "sessions.list": [(c) => c.sessions.list(), "GET /sessions"],
  "sessions.end": [(c) => c.sessions.end("session_1"), "DELETE /sessions/session_1"],
  "sessions.endAll": [(c) => c.sessions.endAll(), "DELETE /sessions"],
  "password.change": [
    (c) => c.password.change({ old_password: "a", new_password: "b" }),
    "POST /password",
    { old_password: "a", new_password: "b" },
  ],
  "password.reset": [
    (c) => c.password.reset({ token: "t", password: "p" }),
    "POST /password/reset",
    { token: "t", password: "p" },
  ],
  "passwordLinks.create": [
    (c) => c.passwordLinks.create({ user_id: "user_1" }),
    "POST /password-links",
    { user_id: "user_1" },
  ],
  "invitations.list": [(c) => c.invitations.list({ state: "open" }), "GET /invitations?state=open"],
  "invitations.create": [
    (c) => c.invitations.create({ email: "a@acme.test" }),
    "POST /invitations",
    { email: "a@acme.test" },
  ],
  "invitations.get": [(c) => c.invitations.get("invite_1"), "GET /invitations/invite_1"],
  "invitations.resend": [(c) => c.invitations.resend("invite_1"), "POST /invitations/invite_1/resend"],
  "invitations.revoke": [(c) => c.invitations.revoke("invite_1"), "POST /invitations/invite_1/revoke"],
  "invitations.preview": [(c) => c.invitations.preview({ token: "t" }), "POST /invitations/preview", { token: "t" }],
  "invitations.accept": [
    (c) => c.invitations.accept({ token: "t", password: "p" }),
    "POST /invitations/accept",
    { token: "t", password: "p" },
  ],
  "ssoConnections.list": [(c) => c.ssoConnections.list(), "GET /sso-connections"],
  "ssoConnections.create": [(c) => c.ssoConnections.create(sso), "POST /sso-connections", sso],
  "ssoConnections.get": [(c) => c.ssoConnections.get("sso_1"), "GET /sso-connections/sso_1"],
  "ssoConnections.update": [
    (c) => c.ssoConnections.update("sso_1", { enabled: false }),
    "PATCH /sso-connections/sso_1",
    { enabled: false },
  ],
  "ssoConnections.delete": [(c) => c.ssoConnections.delete("sso_1"), "DELETE /sso-connections/sso_1"],
  "tokens.revoke": [(c) => c.tokens.revoke("token_1"), "POST /tokens/token_1/revoke"],
};

test("every route has a verb of its name", () => {
  const client = createClient({ baseUrl: "http://callboard.test" });
  const names = Object.entries(client).flatMap(([group, calls]) =>
    Object.keys(calls).map((verb) => `${group}.${verb}`),
  );
  const beyondRoutes = [
    "documents.replaceWith",
    "documents.upload",
    "endpoints.call",
    "events.follow",
    "jobs.follow",
    "jobs.wait",
    "runs.wait",
    "threads.run",
  ];
  const expected = [
    ...Object.keys(routes).filter((name) => !name.endsWith(".stream") && !forBrowsers.includes(name)),
    ...beyondRoutes,
  ];
  expect(names.sort()).toEqual(expected.sort());
});

describe("each verb becomes its request", () => {
  const elsewhere = [...forBrowsers, "events.stream", "jobs.stream", "files.uploadToAgent", "files.uploadToThread"];

  test("and none is forgotten here", () => {
    expect(Object.keys(verbs).sort()).toEqual(
      Object.keys(routes)
        .filter((name) => !elsewhere.includes(name))
        .sort(),
    );
  });

  test.each(Object.entries(verbs))("%s", async (name, [use, expected, body]) => {
    const { status, ...route } = routes[name as keyof typeof routes];
    const answer = { answered: name };
    const server = await scriptedServer((_, response) => {
      if (status === 204) response.writeHead(204).end();
      else sendJson(response, status, answer);
    });
    const client = createClient({ baseUrl: `${server.url}/`, token: "cbp_secret", headers: { "x-from": "test" } });

    const got = await use(client);

    const [seen] = server.seen;
    expect(`${seen?.method} ${seen?.url}`).toBe(expected.replace(" ", " /api/v1"));
    expect(seen?.body.toString()).toBe(body === undefined ? "" : JSON.stringify(body));
    expect(seen?.headers).toMatchObject({ authorization: "Bearer cbp_secret", "x-from": "test" });
    expect(typeof seen?.headers["idempotency-key"]).toBe("idempotent" in route ? "string" : "undefined");
    if (["files.download", "documents.content"].includes(name)) expect(await (got as Response).json()).toEqual(answer);
    else expect(got).toEqual(status === 204 ? undefined : answer);
  });
});

test("an empty id is refused instead of reaching another route", async () => {
  const client = createClient({ baseUrl: "http://callboard.test" });
  await expect(client.threads.delete("")).rejects.toThrow("expected a value for thread_id");
  await expect(client.files.get("..")).rejects.toThrow("expected a value for file_id");
});

test("waitSeconds becomes the Prefer header, in whole seconds", async () => {
  const server = await scriptedServer((_, response) => sendJson(response, 200, {}));
  await createClient({ baseUrl: server.url }).runs.get("run_1", { waitSeconds: 1.2 });
  expect(server.seen[0]?.headers.prefer).toBe("wait=2");
});
