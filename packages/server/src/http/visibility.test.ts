/** I1, I3, I4, I7: who sees what, and who may do what. */
import { defineTool } from "@callboard/kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Answer, HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

const nothing = z.strictObject({}) as never;
const whoami = defineTool({
  description: "Who is asking?",
  input: nothing,
  effect: "read",
  run: (_, { caller }) => ({
    kind: caller.kind,
    userId: caller.userId,
    email: caller.email,
    groups: [...caller.groups],
  }),
});

let server: TestServer;
let other: TestOrganization;
beforeAll(async () => {
  server = await startTestServer({
    tools: { whoami },
    agents: {
      desk: { name: "Desk" },
      mirror: { name: "Mirror", tools: ["whoami"] },
      club: { name: "Club", access_mode: "invited" },
    },
  });
  server.model.script("mirror", ({ index, toolResults }) =>
    index % 2 === 0 ? callTool("whoami") : say(`${toolResults[0]}`),
  );
  other = await server.organization();
});
afterAll(() => server.stop());

const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code ?? "accepted"}`;
const hello = { type: "user.message", text: "hello" };
const waited = { headers: { prefer: "wait=60" } };

/** A thread of that caller's, with an ended run and a file. */
async function work(client: HttpClient, agent = "desk") {
  const run = (await client.post(`/agents/${agent}/runs`, { input: hello }, waited)).body;
  expect(run.state).toBe("completed");
  const thread = `/threads/${run.thread_id}`;
  const file = (await client.upload(`${thread}/files`, { name: "a.txt", bytes: "a" })).body;
  return { run, thread, file, threadId: run.thread_id as string };
}

/** All ways to a thread and what is in it. */
const ways = ({ run, thread, file }: Awaited<ReturnType<typeof work>>): Array<[string, string, unknown?]> => [
  ["GET", thread],
  ["PATCH", thread, { title: "mine now" }],
  ["POST", `${thread}/archive`],
  ["POST", `${thread}/unarchive`],
  ["GET", `${thread}/events`],
  ["GET", `${thread}/events/stream`],
  ["POST", `${thread}/events`, hello],
  ["POST", `${thread}/events`, { type: "user.interrupt" }],
  ["GET", `${thread}/files`],
  ["POST", `${thread}/files`, { name: "a", content_base64: "" }],
  ["POST", "/agents/desk/runs", { input: hello, thread_id: run.thread_id }],
  ["GET", `/runs/${run.id}`],
  ["GET", `/runs/${run.id}/transcript`],
  ["POST", `/runs/${run.id}/cancel`],
  ["GET", `/files/${file.id}`],
  ["GET", `/files/${file.id}/content`],
  ["DELETE", `/files/${file.id}`],
  ["DELETE", thread],
];

const send = (client: HttpClient, [method, path, json]: [string, string, unknown?]) =>
  client.send(method, path, json === undefined ? {} : { json });

/** The body without what is different each time. */
const told = ({ status, body }: Answer) => ({
  status,
  code: body.error.code,
  message: body.error.message,
  details: body.error.details,
});

const counts = () =>
  server.row<Record<string, number>>(
    `select (select count(*)::int from threads) as threads, (select count(*)::int from runs) as runs,
            (select count(*)::int from events) as events, (select count(*)::int from files) as files,
            (select count(*)::int from blobs) as blobs, (select sum(last_seq)::int from threads) as seqs,
            (select count(*)::int from idempotency_keys) as keys, (select count(*)::int from agents) as agents,
            (select count(*)::int from tokens) as tokens, (select count(*)::int from memberships) as memberships,
            (select md5(string_agg(t::text, '' order by t.id)) from threads t) as state`,
  );

const absent = {
  run: { id: "run_01h455vb4pex5vsknk084sn02q", thread_id: "thread_01h455vb4pex5vsknk084sn02q" },
  thread: "/threads/thread_01h455vb4pex5vsknk084sn02q",
  file: { id: "file_01h455vb4pex5vsknk084sn02q" },
  threadId: "thread_01h455vb4pex5vsknk084sn02q",
};

describe("another organization", () => {
  test("is told the same of what exists as of what does not, on every way in, and nothing is written", async () => {
    const theirs = await work(server.client());
    const stranger = other.client();
    await stranger.post("/agents", { slug: "desk", draft: { name: "Their own desk" } });
    await stranger.post("/agents/desk/publish");
    const before = await counts();
    const none = ways(absent);
    for (const [i, way] of ways(theirs).entries()) {
      const foreign = await send(stranger, way);
      expect(`${way[0]} ${way[1]} ${refusal(foreign)}`).toBe(`${way[0]} ${way[1]} 404 not_found`);
      expect(told(foreign), way[1]).toEqual(told(await send(stranger, none[i] as (typeof none)[number])));
    }
    expect(await counts()).toEqual(before);
  });

  test("is told the same of foreign and absent things of management", async () => {
    const client = server.client();
    const stranger = other.client();
    const agent = (await client.get("/agents/club")).body.id;
    const member = (await server.person("member")).userId;
    const group = (await client.post("/groups", { slug: "g-1", name: "G" })).body.id;
    const token = (await client.post("/tokens", { label: "t" })).body.token.id;
    const model = (await client.get("/model-connections")).body.data[0].id;
    const empty = "01h455vb4pex5vsknk084sn02q";
    const before = await counts();
    const ways: Array<[string, (id: string) => string, string, unknown?]> = [
      ["GET", (id) => `/agents/${id}`, agent],
      ["PATCH", (id) => `/agents/${id}`, agent, { api_access: false }],
      ["DELETE", (id) => `/agents/${id}`, agent],
      ["POST", (id) => `/agents/${id}/publish`, agent],
      ["POST", (id) => `/agents/${id}/unpublish`, agent],
      ["GET", (id) => `/agents/${id}/versions`, agent],
      ["GET", (id) => `/agents/${id}/versions/1`, agent],
      ["POST", (id) => `/agents/${id}/versions/1/activate`, agent],
      ["GET", (id) => `/agents/${id}/access`, agent],
      ["PUT", (id) => `/agents/${id}/access`, agent, { users: [], groups: [] }],
      ["POST", (id) => `/agents/${id}/threads`, agent, {}],
      ["POST", (id) => `/agents/${id}/runs`, agent, { input: hello }],
      ["POST", (id) => `/agents/${id}/files`, agent, { name: "a", content_base64: "" }],
      ["GET", (id) => `/agents/${id}/threads`, agent],
      ["PATCH", (id) => `/members/${id}`, member, { role: "admin" }],
      ["DELETE", (id) => `/members/${id}`, member],
      ["PATCH", (id) => `/groups/${id}`, group, { name: "X" }],
      ["DELETE", (id) => `/groups/${id}`, group],
      ["POST", (id) => `/tokens/${id}/revoke`, token],
      ["GET", (id) => `/model-connections/${id}`, model],
      ["PATCH", (id) => `/model-connections/${id}`, model, { default_model: "x" }],
      ["DELETE", (id) => `/model-connections/${id}`, model],
    ];
    for (const [method, path, id, json] of ways) {
      const none = `${id.slice(0, id.lastIndexOf("_"))}_${empty}`;
      const foreign = await send(stranger, [method, path(id), json]);
      expect(`${method} ${path(id)} ${refusal(foreign)}`).toBe(`${method} ${path(id)} 404 not_found`);
      expect(told(foreign)).toEqual(told(await send(stranger, [method, path(none), json])));
    }
    expect(await counts()).toEqual(before);
  });

  test("sees nothing in lists, and cannot name foreign people, agents, groups or files", async () => {
    const { file, threadId } = await work(server.client());
    const stranger = other.client();
    const agent = (await server.client().get("/agents/club")).body.id;
    const member = (await server.person("member")).userId;
    const early = (await server.client().upload("/agents/desk/files", { name: "e", bytes: "e" })).body.id;
    for (const query of ["", `?thread_id=${threadId}`, `?agent_id=${agent}`]) {
      expect((await stranger.get(`/runs${query}`)).body.data).toEqual([]);
    }
    const own = (await stranger.post("/agents", { slug: "own", draft: { name: "Own" } })).body;
    await stranger.post(`/agents/${own.id}/publish`);
    for (const id of [file.id, early]) {
      expect(refusal(await stranger.post(`/agents/${own.id}/threads`, { files: [id] }))).toBe(
        "422 file_not_attachable",
      );
      const content = [{ type: "file", file_id: id }];
      expect(
        refusal(await stranger.post(`/agents/${own.id}/threads`, { input: { type: "user.message", content } })),
      ).toBe("422 file_not_attachable");
    }
    expect(
      (await stranger.put(`/agents/${own.id}/access`, { users: [member], groups: [] })).status,
    ).toBeGreaterThanOrEqual(400);
    expect(
      (await stranger.post("/groups", { slug: "g-2", name: "G", user_ids: [member] })).status,
    ).toBeGreaterThanOrEqual(400);
    expect(refusal(await stranger.post("/tokens", { kind: "service", label: "b", agent_ids: [agent] }))).toBe(
      "404 not_found",
    );
    const bot = other.client(await other.service({ agent_ids: [own.id], may_attribute: true }));
    expect(refusal(await bot.post(`/agents/${own.id}/threads`, { attributed_user_id: member }))).toBe(
      "422 attribution_not_allowed",
    );
    const audit = await stranger.get("/audit?limit=200");
    expect(audit.text).not.toContain(server.ownerId);
  });
});

describe("inside an organization", () => {
  test("a member's things do not exist for another member; an admin sees them, and that is in the audit log", async () => {
    const [kim, lee, admin] = [
      await server.person("member"),
      await server.person("member"),
      await server.person("admin"),
    ];
    const theirs = await work(server.client(kim.token));
    const before = await counts();
    for (const way of ways(theirs)) {
      const answer = await send(server.client(lee.token), way);
      expect(`${way[0]} ${way[1]} ${refusal(answer)}`).toBe(`${way[0]} ${way[1]} 404 not_found`);
    }
    expect((await server.client(lee.token).get("/agents/desk/threads")).body.data).toEqual([]);
    expect((await server.client(lee.token).get("/runs")).body.data).toEqual([]);
    expect(await counts()).toEqual(before);
    const seen = server.client(admin.token);
    for (const path of [
      theirs.thread,
      `${theirs.thread}/events`,
      `${theirs.thread}/files`,
      `/runs/${theirs.run.id}`,
      `/runs/${theirs.run.id}/transcript`,
      `/files/${theirs.file.id}`,
    ]) {
      expect(`${path} ${(await seen.get(path)).status}`).toBe(`${path} 200`);
    }
    expect((await seen.get("/agents/desk/threads")).body.data.some(({ id }: Anything) => id === theirs.threadId)).toBe(
      true,
    );
    const entries = (await server.client().get("/audit?limit=50")).body.data as Anything[];
    const looks = entries
      .filter(({ actor }) => actor.id === admin.userId)
      .map(({ action, target }) => `${action} ${target}`);
    expect(looks).toContain(`thread.read_as_admin ${theirs.threadId}`);
    expect(looks).toContain(`run.read_as_admin ${theirs.run.id}`);
  });

  test("a file before a thread is its uploader's alone", async () => {
    const kim = server.client((await server.person("member")).token);
    const file = (await kim.upload("/agents/desk/files", { name: "e.txt", bytes: "e" })).body;
    expect((await kim.get(`/files/${file.id}`)).status).toBe(200);
    for (const someone of [server.client(), server.client((await server.person("member")).token)]) {
      expect(refusal(await someone.get(`/files/${file.id}`))).toBe("404 not_found");
      expect(refusal(await someone.get(`/files/${file.id}/content`))).toBe("404 not_found");
      expect(refusal(await someone.delete(`/files/${file.id}`))).toBe("404 not_found");
      expect(refusal(await someone.post("/agents/desk/threads", { files: [file.id] }))).toBe("422 file_not_attachable");
    }
  });

  test("guests read; they start, send and upload nothing", async () => {
    const { userId, token } = await server.person("member");
    const client = server.client(token);
    const own = await work(client);
    await server.client().patch(`/members/${userId}`, { role: "guest" });
    expect((await client.get(own.thread)).status).toBe(200);
    expect((await client.get(`${own.thread}/events`)).status).toBe(200);
    const before = await counts();
    const refused: Array<[string, string, unknown?]> = [
      ["POST", "/agents/desk/threads", {}],
      ["POST", "/agents/desk/threads", { input: hello }],
      ["POST", "/agents/desk/runs", { input: hello }],
      ["POST", "/agents/desk/files", { name: "a", content_base64: "" }],
      ["POST", `${own.thread}/events`, hello],
      ["POST", `${own.thread}/files`, { name: "a", content_base64: "" }],
      ["POST", `${own.thread}/archive`],
      ["PATCH", own.thread, { title: "x" }],
      ["DELETE", `/files/${own.file.id}`],
      ["DELETE", own.thread],
      ["POST", `/runs/${own.run.id}/cancel`],
      ["POST", "/agents", { slug: "mine", draft: { name: "M" } }],
      ["POST", "/members", { email: "x@example.com", name: "X" }],
      ["GET", "/members"],
      ["GET", "/model-connections"],
      ["GET", "/audit"],
    ];
    for (const way of refused)
      expect(`${way[0]} ${way[1]} ${refusal(await send(client, way))}`).toBe(`${way[0]} ${way[1]} 403 forbidden`);
    expect(await counts()).toEqual(before);
  });

  test("members manage nothing unless the organization lets them edit agents", async () => {
    const client = server.client((await server.person("member")).token);
    const refused: Array<[string, string, unknown?]> = [
      ["POST", "/agents", { slug: "mine", draft: { name: "M" } }],
      ["PATCH", "/agents/desk", { api_access: false }],
      ["POST", "/agents/desk/publish"],
      ["POST", "/agents/desk/unpublish"],
      ["DELETE", "/agents/desk"],
      ["POST", "/members", { email: "x@example.com", name: "X" }],
      ["POST", "/groups", { slug: "mine", name: "M" }],
      ["POST", "/model-connections", { slug: "mine", kind: "demo" }],
      ["PATCH", "/organization", { name: "Mine" }],
      ["GET", "/audit"],
      ["POST", "/tokens", { kind: "service", label: "mine" }],
    ];
    for (const way of refused)
      expect(`${way[0]} ${way[1]} ${refusal(await send(client, way))}`).toBe(`${way[0]} ${way[1]} 403 forbidden`);
    await server.client().patch("/organization", { members_edit_agents: true });
    const made = await client.post("/agents", { slug: "members-own", draft: { name: "M" } });
    expect(made.status).toBe(201);
    expect((await client.post("/agents/members-own/publish")).status).toBe(201);
    await server.client().patch("/organization", { members_edit_agents: false });
    expect(refusal(await client.post("/agents/members-own/publish"))).toBe("403 forbidden");
  });

  test("an invited agent is for its owner, invited people and invited groups", async () => {
    const owner = server.client();
    const [kim, lee] = [await server.person("member"), await server.person("member")];
    const [asKim, asLee] = [server.client(kim.token), server.client(lee.token)];
    const open = (client: HttpClient) => client.post("/agents/club/threads", {});
    expect(refusal(await open(asKim))).toBe("403 forbidden");
    await owner.put("/agents/club/access", { users: [kim.userId], groups: [] });
    const thread = await open(asKim);
    expect(thread.status).toBe(201);
    expect(refusal(await open(asLee))).toBe("403 forbidden");
    const group = (await owner.post("/groups", { slug: "club", name: "Club", user_ids: [lee.userId] })).body;
    await owner.put("/agents/club/access", { users: [], groups: [group.id] });
    expect((await open(asLee)).status).toBe(201);
    expect(refusal(await asKim.post(`/threads/${thread.body.thread.id}/events`, hello))).toBe("403 forbidden");
    expect((await asKim.get(`/threads/${thread.body.thread.id}`)).status).toBe(200);
    await owner.patch(`/groups/${group.id}`, { user_ids: [] });
    expect(refusal(await open(asLee))).toBe("403 forbidden");
    const slugs = async (client: HttpClient) =>
      (await client.get("/agents")).body.data.map(({ slug }: Anything) => slug);
    expect(await slugs(asKim)).not.toContain("club");
    expect(await slugs(owner)).toContain("club");
  });
});

describe("attribution", () => {
  test("the thread is the person's as well: visible to him, and tools see him", async () => {
    const { userId, token } = await server.person("member");
    const mirror = (await server.client().get("/agents/mirror")).body.id;
    await server.client().post("/groups", { slug: "mirrored", name: "M", user_ids: [userId] });
    const bot = server.client(await server.service({ agent_ids: [mirror], may_attribute: true }));
    const { thread, run } = (await bot.post("/agents/mirror/threads", { input: hello, attributed_user_id: userId }))
      .body;
    const ended = (await bot.get(`/runs/${run.id}`, waited)).body;
    const email = (await server.client(token).get("/me")).body.user.email;
    expect(JSON.parse(ended.result.text)).toEqual({ kind: "service", userId, email, groups: ["mirrored"] });
    const person = server.client(token);
    expect((await person.get(`/threads/${thread.id}`)).body.thread.attributed_user).toEqual({ id: userId });
    expect((await person.get("/agents/mirror/threads")).body.data.map(({ id }: Anything) => id)).toContain(thread.id);
    const sent = (await person.post(`/threads/${thread.id}/events`, hello)).body.events[0].run;
    const own = JSON.parse((await person.get(`/runs/${sent.id}`, waited)).body.result.text);
    expect(own).toMatchObject({ kind: "user", userId });
    const stranger = server.client((await server.person("member")).token);
    expect(refusal(await stranger.get(`/threads/${thread.id}`))).toBe("404 not_found");
  });

  test("a bare service is nobody; a person is himself", async () => {
    const mirror = (await server.client().get("/agents/mirror")).body.id;
    const bot = server.client(await server.service({ agent_ids: [mirror] }));
    const ask = async (client: HttpClient) =>
      JSON.parse((await client.post("/agents/mirror/runs", { input: hello }, waited)).body.result.text);
    expect(await ask(bot)).toEqual({ kind: "service", userId: null, email: null, groups: [] });
    const { userId, token } = await server.person("member");
    expect(await ask(server.client(token))).toMatchObject({ kind: "user", userId });
  });
});

describe("the end of access", () => {
  test("an expired token is 401, and its streams end", async () => {
    const { userId } = await server.person("member");
    const lasting = server.client(await server.personalToken(userId));
    const { thread } = (await lasting.post("/agents/desk/threads", {})).body;
    const brief = server.client(await server.personalToken(userId, { expiresAtMs: Date.now() + 4000 }));
    const stream = await brief.stream(`/threads/${thread.id}/events/stream`);
    expect(await stream.next()).toBeUndefined();
    expect(refusal(await brief.get("/me"))).toBe("401 unauthenticated");
    expect((await lasting.get("/me")).status).toBe(200);
    const past = server.client(await server.personalToken(userId, { expiresAtMs: Date.now() - 1 }));
    expect(refusal(await past.get("/me"))).toBe("401 unauthenticated");
  });

  test.each(["suspended", "removed"])("a %s member is 401 at once, and his streams end", async (how) => {
    const { userId, token } = await server.person("member");
    const client = server.client(token);
    const { thread } = (await client.post("/agents/desk/threads", {})).body;
    const stream = await client.stream(`/threads/${thread.id}/events/stream`);
    if (how === "suspended") await server.client().patch(`/members/${userId}`, { suspended: true });
    else await server.client().delete(`/members/${userId}`);
    expect(refusal(await client.get("/me"))).toBe("401 unauthenticated");
    expect(refusal(await client.post(`/threads/${thread.id}/events`, hello))).toBe("401 unauthenticated");
    expect(await stream.next()).toBeUndefined();
    if (how === "suspended") {
      await server.client().patch(`/members/${userId}`, { suspended: false });
      expect((await client.get("/me")).status).toBe(200);
    }
  });
});
