/** Documents over HTTP, in tools and in endpoints: one reader each, found by whom the request is from. */
import { defineEndpoint, defineTool } from "@callboard/kit";
import type { UserId } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { makePdf, shown } from "../documents/fixture.ts";
import { call, eventually } from "../endpoints/fixture.ts";
import { HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

let server: TestServer;
let tries = 0;
let ann: { userId: UserId; token: string };
let ben: { userId: UserId; token: string };
const canary = { payments: "heronpayments", devices: "ospreydevices", foreign: "foreignplover" };

const lookup = defineTool({
  description: "Looks up.",
  input: z.strictObject({ query: z.string() }),
  effect: "read",
  run: async ({ query }, { documents }) => (await documents.search(query)).map(({ text }) => text),
});

beforeAll(async () => {
  server = await startTestServer({
    tools: { lookup },
    agents: {
      desk: { name: "Desk", tools: ["documents_search", "documents_read"] },
      custom: { name: "Custom", tools: ["lookup"] },
    },
    endpoints: {
      search: defineEndpoint({
        method: "POST",
        mode: "sync",
        input: z.strictObject({ query: z.string() }),
        output: z.array(z.string()),
        handle: async ({ input, documents }) => (await documents.search(input.query)).map(({ text }) => text),
      }),
      twice: defineEndpoint({
        method: "POST",
        mode: "polling",
        input: z.strictObject({ query: z.string() }),
        output: z.array(z.string()),
        handle: async ({ input, documents, signal }) => {
          tries++;
          // The first process has this call under way when it stops.
          if (tries === 1)
            await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          return (await documents.search(input.query)).map(({ text }) => text);
        },
      }),
    },
  });
  ann = await server.person("member");
  ben = await server.person("member");
  const owner = server.client();
  for (const [slug, person] of [
    ["payments", ann],
    ["devices", ben],
  ] as const) {
    const group = await owner.post("/groups", { slug, name: slug, user_ids: [person.userId] });
    const access = { groups: [group.body.id] };
    const made = await owner.post("/document-collections", { slug, name: slug, language: "english", access });
    expect(made.status, made.text).toBe(201);
    const text = `# Guide of ${slug}\n\nThe escalation code is ${canary[slug]}.`;
    expect((await owner.post(`/document-collections/${slug}/documents`, { name: "guide.md", text })).status).toBe(201);
  }
  const other = await server.organization();
  const open = { slug: "payments", name: "P", access: { organization: true } };
  expect((await other.client().post("/document-collections", open)).status).toBe(201);
  const foreign = { name: "guide.md", text: `The escalation code is ${canary.foreign}.` };
  expect((await other.client().post("/document-collections/payments/documents", foreign)).status).toBe(201);
});
afterAll(() => server.stop());

const search = async (token: string, query = "escalation code") =>
  (await server.client(token).post("/documents/search", { query })).body.data;

/** The text of a run's answer, whose model says what its tools gave. */
async function ask(agent: string, tool: string, input: unknown, token: string, more: object = {}) {
  server.model.script(agent, ({ toolResults }) =>
    toolResults.length === 0 ? callTool(tool, input) : say(toolResults.join("\n")),
  );
  const { body, status, text } = await server
    .client(token)
    .post(
      `/agents/${agent}/runs`,
      { input: { type: "user.message", text: "?" }, ...more },
      { headers: { prefer: "wait=60" } },
    );
  expect(status, text).toBeLessThan(300);
  return body.result?.text as string;
}

describe("two teams ask the same question", () => {
  test("over REST, and each finds what is its own, with a citation", async () => {
    const [hit, ...more] = await search(ann.token);
    expect(more).toEqual([]);
    expect(hit).toMatchObject({
      citation: { title: "Guide of payments", passage: 1, page: null, start: 0 },
      collection: { slug: "payments" },
      name: "guide.md",
    });
    expect(hit.text).toContain(canary.payments);
    expect((await search(ben.token)).map(({ text }: { text: string }) => text).join()).toContain(canary.devices);
  });

  test.each([
    ["the built-in tool", "desk", "documents_search", { query: "escalation code" }],
    ["a tool of the project", "custom", "lookup", { query: "escalation code" }],
  ])("by %s of an agent", async (_, agent, tool, input) => {
    const [ofAnn, ofBen] = [await ask(agent, tool, input, ann.token), await ask(agent, tool, input, ben.token)];
    expect(ofAnn).toContain(canary.payments);
    expect(ofBen).toContain(canary.devices);
    for (const [said, foreign] of [
      [ofAnn, canary.devices],
      [ofBen, canary.payments],
    ] as const) {
      expect(said).not.toContain(foreign);
      expect(said).not.toContain(canary.foreign);
    }
  });

  test("by an endpoint", async () => {
    const asked = async (token: string) =>
      JSON.stringify((await call(server, "search", { query: "escalation code" }, { token })).body);
    expect(await asked(ann.token)).toContain(canary.payments);
    expect(await asked(ann.token)).not.toContain(canary.devices);
    expect(await asked(ben.token)).not.toContain(canary.payments);
  });

  test("and what was not granted is not there, by any name, in any way", async () => {
    const [{ citation, collection }] = await search(ben.token);
    const client = server.client(ann.token);
    const absent = citation.document_id.replace(/.{4}$/, "0000");
    for (const path of [
      "/documents/ID",
      "/documents/ID/content",
      "/document-collections/COLLECTION",
      "/document-collections/devices",
      "/document-collections/devices/documents",
    ]) {
      const at = (id: string) => path.replace("ID", id).replace("COLLECTION", collection.id);
      const [hidden, nothing] = [await client.get(at(citation.document_id)), await client.get(at(absent))];
      expect([path, hidden.status]).toEqual([path, 404]);
      const said = ({ text }: typeof hidden) => text.replace(/req_\w+/, "");
      expect(said(hidden)).toBe(said(nothing));
    }
    const within = await client.post("/documents/search", { query: "code", collection: "devices" });
    expect(within.status).toBe(404);
    const read = await ask("desk", "documents_read", { document_id: citation.document_id }, ann.token);
    expect(read).toContain("there is no such document");
    expect((await client.get("/document-collections")).body.data.map(({ slug }: { slug: string }) => slug)).toEqual([
      "payments",
    ]);
  });
});

describe("what a token may", () => {
  test("a run of a token without documents:read is refused by the tool, in words the model reads", async () => {
    const token = await server.personalToken(ann.userId, { scopes: ["threads:read", "threads:write"] });
    const said = await ask("desk", "documents_search", { query: "escalation code" }, token);
    expect(said).toMatch(/documents:read/);
    expect(said).not.toContain(canary.payments);
    expect(await ask("custom", "lookup", { query: "escalation code" }, token)).toMatch(/documents:read/);
    const { status, body } = await call(server, "search", { query: "escalation" }, { token });
    expect([status, JSON.stringify(body)]).toEqual([403, expect.stringContaining("insufficient_scope")]);
  });

  test("a service finds nothing until a collection is opened to it, and a person's where it works for that person", async () => {
    const agents = (await server.client().get("/agents")).body.data.map(({ id }: { id: string }) => id);
    const scopes = ["agents:read", "threads:read", "threads:write", "documents:read"] as const;
    const body = { agent_ids: agents, may_attribute: true, scopes: [...scopes] };
    const token = await server.service(body);
    expect(await search(token)).toEqual([]);
    const thread = { attributed_user_id: ann.userId, input: { type: "user.message", text: "?" } };
    server.model.script("desk", ({ toolResults }) =>
      toolResults.length === 0 ? callTool("documents_search", { query: "escalation code" }) : say(toolResults.join()),
    );
    const { run } = (await server.client(token).post("/agents/desk/threads", thread)).body;
    const ended = await server.client(token).get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } });
    expect(ended.body.result.text).toContain(canary.payments);
    const { token_id: service } = (await server.client(token).get("/me")).body;
    const opened = await server.client().put("/document-collections/devices/access", { services: [service] });
    expect(opened.status, opened.text).toBe(200);
    expect((await search(token))[0].text).toContain(canary.devices);
    expect(await search(ben.token)).toEqual([]); // replaced, not added to
    const groups = (await server.client().get("/groups")).body.data;
    const devices = groups.find(({ slug }: { slug: string }) => slug === "devices").id;
    await server.client().put("/document-collections/devices/access", { groups: [devices] });
  });

  test("members manage nothing, and their trying is in the audit log", async () => {
    const client = server.client(ann.token);
    const tries = [
      await client.post("/document-collections", { slug: "mine", name: "Mine" }),
      await client.put("/document-collections/devices/access", { users: [ann.userId] }),
      await client.post("/document-collections/payments/documents", { name: "x.md", text: "x" }),
      await client.delete("/document-collections/payments"),
      await client.get("/document-collections/payments/access"),
    ];
    expect(tries.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
    const log = (await server.client().get(`/audit?actor_id=${ann.userId}&outcome=refused&limit=200`)).body.data;
    const actions = log.map(({ action }: { action: string }) => action);
    for (const action of ["collection.create", "collection.set_access", "document.add", "collection.delete"]) {
      expect(actions).toContain(action);
    }
  });

  test("an admin reads beyond the grants, and leaves an entry", async () => {
    const [{ citation }] = await search(ben.token);
    expect(await search(server.token)).toEqual([]); // a search gives what was granted, to an admin as well
    expect((await server.client().get(`/documents/${citation.document_id}/content`)).text).toContain(canary.devices);
    const log = (await server.client().get("/audit?action=document.read_as_admin")).body.data;
    expect(log[0]).toMatchObject({ target: citation.document_id, outcome: "done", actor: { id: server.ownerId } });
    const other = await server.organization();
    expect((await other.client().get(`/documents/${citation.document_id}`)).status).toBe(404);
  });
});

describe("an upload", () => {
  const add = (json: object, headers: Record<string, string> = {}) =>
    server.client().post("/document-collections/payments/documents", json, { headers });
  const upload = (name: string, bytes: Uint8Array | string, type = "") => {
    const form = new FormData();
    form.set("file", new Blob([bytes as BlobPart], { type }), name);
    return server.client().post("/document-collections/payments/documents", undefined, { body: form });
  };

  test("as a form may be a PDF, and is found by its page", async () => {
    const pdf = makePdf([shown("Chargebacks"), shown("A chargeback of a wombat takes ninety days")]);
    const { status, body, text } = await upload("rules.pdf", pdf);
    expect(status, text).toBe(201);
    expect(body).toMatchObject({ name: "rules.pdf", title: "rules", media_type: "application/pdf", pages: 2 });
    const [hit] = await search(ann.token, "wombat");
    expect(hit.citation).toMatchObject({ document_id: body.id, page: 1 });
    expect((await server.client(ann.token).get(`/documents/${body.id}/content`)).text).toContain("wombat");
  });

  test("with a key is done once, and a repeat gets the first answer", async () => {
    const headers = { "idempotency-key": "add-once" };
    const first = await add({ name: "once.md", text: "Once." }, headers);
    const again = await add({ name: "once.md", text: "Once." }, headers);
    expect([first.status, again.status, again.body.id]).toEqual([201, 201, first.body.id]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect((await add({ name: "once.md", text: "Twice." }, headers)).status).toBe(409);
  });

  test.each([
    ["a name that is taken", () => add({ name: "guide.md", text: "x" }), 409, "already_exists"],
    ["a picture", () => upload("a.png", "x", "image/png"), 415, "unsupported_media_type"],
    ["a name that says nothing", () => upload("a", "x"), 415, "unsupported_media_type"],
    ["a broken PDF", () => upload("a.pdf", "%PDF-1.4 nothing"), 422, "document_unreadable"],
    ["bytes that are no text", () => upload("a.txt", new Uint8Array([0xff, 0xfe, 0x41])), 422, "document_unreadable"],
    ["nothing", () => add({ name: "a.md", text: "  \n" }), 422, "document_unreadable"],
    ["too much", () => upload("a.txt", "x".repeat(16 * 1024 * 1024 + 1)), 413, "file_too_large"],
    ["text and bytes", () => add({ name: "a.md", text: "x", content_base64: "eA==" }), 422, "invalid_request"],
    ["a path for a name", () => add({ name: "../a.md", text: "x" }), 422, "invalid_request"],
  ])("is refused: %s", async (_, send, status, code) => {
    const answer = await send();
    expect([answer.status, answer.body?.error?.code]).toEqual([status, code]);
  });

  test("of a stranger to a foreign collection finds none", async () => {
    const other = await server.organization();
    const [{ collection }] = await search(ann.token);
    const path = `/document-collections/${collection.id}/documents`;
    expect((await other.client().post(path, { name: "a.md", text: "x" })).status).toBe(404);
    const grant = { users: [ann.userId] };
    const made = await other.client().post("/document-collections", { slug: "s", name: "S", access: grant });
    expect([made.status, made.body.error.details.fields[0].path]).toEqual([422, "access.users[0]"]);
  });
});

describe("a replaced document", () => {
  const path = "/document-collections/payments/documents";
  const put = (id: string, body: object, headers: Record<string, string> = {}, token = server.token) =>
    server.client(token).put(`/documents/${id}/content`, body, { headers });
  const added = async (name: string, text: string) => (await server.client().post(path, { name, text })).body;

  test("keeps its id, and is found by its new words and not by its old ones", async () => {
    const before = await added("fees.md", "# Fees\n\nA wallaby costs nothing.");
    const [cited] = await search(ann.token, "wallaby");
    expect(cited.citation).toMatchObject({ document_id: before.id, revision: "1" });
    const text = `# New fees\n\n${"A quokka costs ten. ".repeat(200)}`;
    const { status, body } = await put(before.id, { text });
    const { updated_at, ...after } = body;
    expect([status, after]).toEqual([
      200,
      {
        id: before.id,
        collection_id: before.collection_id,
        name: "fees.md",
        title: "New fees",
        media_type: "text/markdown",
        size_bytes: text.length,
        sha256: expect.not.stringMatching(before.sha256),
        pages: null,
        passages: 3,
        revision: "2",
        created_at: before.created_at,
      },
    ]);
    expect(updated_at > before.updated_at).toBe(true);
    expect(await search(ann.token, "wallaby")).toEqual([]);
    const [hit] = await search(ann.token, "quokka");
    expect(hit.citation).toMatchObject({ document_id: before.id, revision: "2", title: "New fees" });
    const whole = (await server.client(ann.token).get(`/documents/${before.id}/content`)).text;
    expect(whole).toBe(text);
    expect(whole.slice(hit.citation.start, hit.citation.end)).toBe(hit.text);
    const [entry] = (await server.client().get("/audit?action=document.replace")).body.data;
    expect(entry).toMatchObject({ target: before.id, outcome: "done", details: { name: "fees.md", revision: "2" } });
  });

  test("may become another kind, as a form", async () => {
    const { id } = await added("kinds.md", "# Kinds\n\nText.");
    const form = new FormData();
    const pdf = makePdf([shown("A bilby in a PDF")]);
    form.set("file", new Blob([pdf as BlobPart], { type: "application/pdf" }), "other.pdf");
    const { status, body, text } = await server.client().put(`/documents/${id}/content`, undefined, { body: form });
    expect(status, text).toBe(200);
    expect(body).toMatchObject({ name: "kinds.md", media_type: "application/pdf", pages: 1, revision: "2" });
    expect((await search(ann.token, "bilby"))[0].citation).toMatchObject({ document_id: id, page: 1 });
  });

  test("by what it is already stays as it is, also for who saw an older one", async () => {
    const { id } = await added("same.md", "One.");
    const two = (await put(id, { text: "Two." })).body;
    const again = await put(id, { text: "Two." }, { "if-match": '"1"' });
    expect([again.status, again.body]).toEqual([200, two]);
    expect((await put(id, { text: "Two.", title: "Another" })).body.revision).toBe("3");
  });

  test("is not written over, or deleted, by who saw an older one", async () => {
    const { id } = await added("race.md", "One.");
    const tries = await Promise.all(
      ["Two.", "Three.", "Four."].map((text) => put(id, { text }, { "if-match": '"1"' })),
    );
    expect(tries.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
    const refused = tries.find(({ status }) => status === 412);
    expect(refused?.body.error.code).toBe("precondition_failed");
    const client = server.client();
    expect((await client.delete(`/documents/${id}`, { headers: { "if-match": '"1"' } })).status).toBe(412);
    expect((await client.delete(`/documents/${id}`, { headers: { "if-match": '"2"' } })).status).toBe(204);
    expect((await put(id, { text: "Five." })).status).toBe(404);
  });

  test.each([
    ["nothing", { text: " " }, 422, "document_unreadable"],
    ["no PDF", { media_type: "application/pdf", content_base64: "eA==" }, 422, "document_unreadable"],
    ["a name", { name: "b.md", text: "x" }, 422, "invalid_request"],
  ])("by %s keeps what it has", async (what, body, status, code) => {
    const { id, ...before } = await added(`kept ${what}.md`, `Kept ${what}.`);
    const answer = await put(id, body);
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
    expect((await server.client().get(`/documents/${id}`)).body).toEqual({ id, ...before });
  });

  test("is replaced by admins alone", async () => {
    const { id } = await added("mine.md", "Ours.");
    expect((await put(id, { text: "x" }, {}, ann.token)).status).toBe(403);
    const other = await server.organization();
    expect((await put(id, { text: "x" }, {}, other.token)).status).toBe(404);
  });

  test("is read whole in one of its contents while it changes", async () => {
    const letter = (at: number) => String.fromCharCode(97 + (at % 26));
    const content = (at: number) => `${letter(at).repeat(99)} `.repeat(100);
    const { id } = await added("moving.md", content(0));
    let at = 0;
    const writing = (async () => {
      for (at = 1; at <= 12; at++) await put(id, { text: content(at) });
    })();
    while (at <= 12) {
      const { text } = await server.client(ann.token).get(`/documents/${id}/content`);
      expect(new Set(text.replaceAll(" ", "")).size).toBe(1);
      expect(text).toHaveLength(10_000);
    }
    await writing;
  });
});

test("who leaves a group during a run has lost its documents at the next call", async () => {
  const group = (await server.client().get("/groups")).body.data.find(
    ({ slug }: { slug: string }) => slug === "payments",
  );
  const leave = () => server.client().patch(`/groups/${group.id}`, { user_ids: [] });
  const said: string[] = [];
  server.model.script("desk", async ({ index, toolResults }) => {
    said.push(...toolResults);
    if (said.length === 1) await leave();
    return said.length < 2
      ? callTool("documents_search", { query: "escalation code", limit: 1 + (index % 5) })
      : say("done");
  });
  const { body } = await server
    .client(ann.token)
    .post("/agents/desk/runs", { input: { type: "user.message", text: "?" } }, { headers: { prefer: "wait=60" } });
  expect(body.state).toBe("completed");
  expect(said[0]).toContain(canary.payments);
  expect(said[1]).toBe("[]");
});

test("a job and a run that another process goes on with are still their caller's", async () => {
  server.model.script("custom", ({ toolResults }) =>
    toolResults.length === 0
      ? { steps: [{ delayMs: 300 }, ...(callTool("lookup", { query: "escalation code" }).steps ?? [])] }
      : say(toolResults.join()),
  );
  const job = await call(server, "twice", { query: "escalation code" }, { token: ben.token });
  const run = await server
    .client(ben.token)
    .post("/agents/custom/runs", { input: { type: "user.message", text: "?" } });
  await eventually(() => tries === 1);
  const other = await server.second();
  await server.stopApp();
  const client = new HttpClient(other.baseUrl, { token: ben.token });
  const wait = { headers: { prefer: "wait=60" } };
  const [ended, completed] = [
    await client.get(`/jobs/${job.body.job_id}`, wait),
    await client.get(`/runs/${run.body.id}`, wait),
  ];
  await other.stop();
  expect([tries, ended.body.state, completed.body.attempt > 1]).toEqual([2, "completed", true]);
  for (const { text } of [ended, completed]) {
    expect(text).toContain(canary.devices);
    expect(text).not.toContain(canary.payments);
    expect(text).not.toContain(canary.foreign);
  }
});
