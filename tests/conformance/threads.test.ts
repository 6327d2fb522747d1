/** T1, T2, T8: threads are created, listed, renamed, archived and deleted. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, gate, logOf, message, open, openEmpty, seen, typesOf, withoutDeltas } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(({ lastUser }) => say("Hello, ", lastUser));
});
afterAll(() => target.stop());

describe("create", () => {
  test("a thread without input has no run and an empty log", async () => {
    const { client } = target;
    const created = ok(await client.post(`${agent.path}/threads`, {}), 201);
    expect(created).toMatchObject({
      run: null,
      thread: { agent_id: agent.id, agent_version: 1, state: "idle", archived: false, last_seq: 0, metadata: {} },
    });
    expect(created.thread).toMatchObject({ active_run_id: null, last_run_id: null, title: null });
    expect(await logOf(client, `/threads/${created.thread.id}`)).toEqual([]);
  });

  test("a thread with input carries its first run, which answers", async () => {
    const { client } = target;
    const { thread, run, path } = await open(client, agent, "Kim");
    expect(run).toMatchObject({ thread_id: thread.id, agent_version: 1, trigger: "message" });
    expect(thread).toMatchObject({ state: "running", active_run_id: run.id, last_run_id: run.id });
    expect(await ended(client, run)).toMatchObject({ state: "completed", result: { text: "Hello, Kim" } });
    expect(typesOf(withoutDeltas(await logOf(client, path)))).toEqual([
      "user.message",
      "run.queued",
      "run.started",
      "agent.message",
      "usage.updated",
      "run.completed",
    ]);
    expect(ok(await client.get(path)).thread).toMatchObject({ state: "idle", active_run_id: null });
  });

  test("everything a caller says about a thread is kept", async () => {
    const facts = { title: "Card reader", client_external_ref: unique("ref"), metadata: { order: "17", é: "ü" } };
    const { path } = await openEmpty(target.client, agent, facts);
    expect(ok(await target.client.get(path)).thread).toMatchObject(facts);
  });

  test("the links lead to the thread, its events and its stream", async () => {
    const { links, thread } = ok(await target.client.post(`${agent.path}/threads`, {}), 201);
    expect(links).toEqual({
      thread: `/api/v1/threads/${thread.id}`,
      events: `/api/v1/threads/${thread.id}/events`,
      stream: `/api/v1/threads/${thread.id}/events/stream`,
    });
  });

  test("an agent may be named by its slug", async () => {
    const { thread } = ok(await target.client.post(`/agents/${agent.slug}/threads`, {}), 201);
    expect(thread.agent_id).toBe(agent.id);
  });

  test("the short and the long form of a message are the same", async () => {
    const { client } = target;
    const long = { type: "user.message", content: [{ type: "text", text: "Lee" }] };
    const one = ok(await client.post(`${agent.path}/threads`, { input: long }), 201);
    const other = await open(client, agent, "Lee");
    const [first, second] = [await logOf(client, `/threads/${one.thread.id}`), await logOf(client, other.path)];
    expect(first[0]?.data).toEqual(second[0]?.data);
    await ended(client, one.run);
    await ended(client, other.run);
  });
});

describe("list", () => {
  test("pages hold every thread once, newest first", async () => {
    const { client } = target;
    const own = await target.agent(() => say("."));
    const made: string[] = [];
    for (let i = 0; i < 7; i++) made.unshift((await openEmpty(client, own)).thread.id);
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const query: Record<string, string | number> = { limit: 3, ...(cursor === null ? {} : { cursor }) };
      const page = ok(await client.get(`${own.path}/threads`, { query }));
      found.push(...page.data.map(({ id }: { id: string }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(found).toEqual(made);
  });

  test("filters by reference, archive and state", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ text: "…" }, { until: hold.opened }] }));
    const ref = unique("ref");
    const { thread: named } = await openEmpty(client, own, { client_external_ref: ref });
    const { thread: put, path } = await openEmpty(client, own);
    ok(await client.post(`${path}/archive`));
    const busy = await open(client, own, "go");
    const list = async (query: Record<string, string>) =>
      ok(await client.get(`${own.path}/threads`, { query })).data.map(({ id }: { id: string }) => id);
    expect(await list({ client_external_ref: ref })).toEqual([named.id]);
    expect(await list({ client_external_ref: "nobody's" })).toEqual([]);
    expect(await list({ archived: "true" })).toEqual([put.id]);
    expect(await list({ archived: "false" })).toEqual([busy.thread.id, named.id]);
    expect(await list({ state: "running" })).toEqual([busy.thread.id]);
    expect(await list({ state: "idle", archived: "false" })).toEqual([named.id]);
    expect(await list({ attributed_user_id: "nobody" })).toEqual([]);
    hold.open();
    await ended(client, busy.run);
  });

  test("a cursor of another list is refused", async () => {
    const { client } = target;
    const answer = await client.get(`${agent.path}/threads`, { query: { cursor: "bm90IGEgY3Vyc29y" } });
    expect(refusal(answer)).toBe("422 invalid_request");
    expect(answer.body.error.details.fields[0].path).toBe("cursor");
  });
});

describe("change", () => {
  test("a title and metadata are replaced; what is not named stays", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent, { title: "Old", metadata: { a: "1" } });
    expect(ok(await client.patch(path, { title: "New" }))).toMatchObject({ title: "New", metadata: { a: "1" } });
    expect(ok(await client.patch(path, { metadata: { b: "2" } }))).toMatchObject({
      title: "New",
      metadata: { b: "2" },
    });
    expect(ok(await client.patch(path, { title: null }))).toMatchObject({ title: null, metadata: { b: "2" } });
  });

  test("archive and unarchive may be repeated, and only a change is in the log", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    for (let i = 0; i < 2; i++) expect(ok(await client.post(`${path}/archive`)).archived).toBe(true);
    for (let i = 0; i < 2; i++) expect(ok(await client.post(`${path}/unarchive`)).archived).toBe(false);
    expect(typesOf(await logOf(client, path))).toEqual(["thread.archived", "thread.unarchived"]);
  });

  test("an archived thread takes no events, runs and files, but can be read", async () => {
    const { client } = target;
    const { path, thread } = await openEmpty(client, agent);
    ok(await client.post(`${path}/archive`));
    const input = message("hello?");
    expect(refusal(await client.post(`${path}/events`, input))).toBe("409 thread_archived");
    expect(refusal(await client.post(`${agent.path}/runs`, { input, thread_id: thread.id }))).toBe(
      "409 thread_archived",
    );
    expect(refusal(await client.upload(`${path}/files`, { name: "a.txt", bytes: "a" }))).toBe("409 thread_archived");
    expect(typesOf(await logOf(client, path))).toEqual(["thread.archived"]);
    ok(await client.post(`${path}/unarchive`));
    ok(await client.post(`${path}/events`, input));
  });

  test("a thread at work is not archived", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }, { text: "done" }] }));
    const { path, run } = await open(client, own, "go");
    expect(refusal(await client.post(`${path}/archive`))).toBe("409 run_active");
    hold.open();
    await ended(client, run);
    ok(await client.post(`${path}/archive`));
  });
});

describe("delete", () => {
  test("everything of the thread is gone: thread, log, run, transcript, file", async () => {
    const { client } = target;
    const { path, run } = await open(client, agent, "bye");
    await ended(client, run);
    const file = ok(await client.upload(`${path}/files`, { name: "a.txt", bytes: "a" }), 201);
    expect((await client.delete(path)).status).toBe(204);
    const gone = [
      path,
      `${path}/events`,
      `${path}/events/stream`,
      `${path}/files`,
      `/runs/${run.id}`,
      `/runs/${run.id}/transcript`,
      `/files/${file.id}`,
      `/files/${file.id}/content`,
    ];
    for (const one of gone) expect(`${one} ${refusal(await client.get(one))}`).toBe(`${one} 404 not_found`);
    expect(refusal(await client.delete(path))).toBe("404 not_found");
    expect(refusal(await client.post(`${path}/events`, message("still there?")))).toBe("404 not_found");
    const threads = ok(await client.get(`${agent.path}/threads`)).data;
    expect(threads.some(({ id }: { id: string }) => path.endsWith(id))).toBe(false);
  });

  test("a thread at work is deleted too: its model call is given up and its streams end", async () => {
    const { client } = target;
    const own = await target.agent(() => ({ steps: [{ text: "for ever" }, "hang"] }));
    const { path, run } = await open(client, own, "go");
    await seen(client, path, "agent.message.delta");
    const stream = await client.stream(`${path}/events/stream`);
    expect((await client.delete(path)).status).toBe(204);
    await own.calls()[0]?.left;
    while ((await stream.next()) !== undefined); // ends
    expect(refusal(await client.get(`/runs/${run.id}`))).toBe("404 not_found");
  });
});
