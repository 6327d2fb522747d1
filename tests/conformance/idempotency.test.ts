/** T9: a request that is sent again with its key is answered as the first time. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer, Sending } from "../../packages/server/src/testing/http-client.ts";
import { say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, logOf, message, openEmpty } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(() => say("ok"));
});
afterAll(() => target.stop());

const withKey = (key: string) => ({ headers: { "idempotency-key": key } });
const replayed = ({ headers }: Answer) => headers.get("idempotency-replayed");

/** Sends the same twice, then something else. */
async function check(path: string, body: unknown, other: unknown, status: number): Promise<Answer> {
  const { client } = target;
  const key = unique("key");
  const first = await client.post(path, body, withKey(key));
  expect([first.status, replayed(first)], first.text).toEqual([status, null]);
  const second = await client.post(path, body, withKey(key));
  expect([second.status, replayed(second), second.text]).toEqual([status, "true", first.text]);
  expect(refusal(await client.post(path, other, withKey(key)))).toBe("409 idempotency_conflict");
  return first;
}

describe("creating requests are repeatable", () => {
  test("threads", async () => {
    const path = `${agent.path}/threads`;
    const { body } = await check(path, { input: message("once") }, { input: message("twice") }, 201);
    await ended(target.client, body.run);
    expect(agent.calls().filter(({ lastUser }) => lastUser === "once")).toHaveLength(1);
  });

  test("events", async () => {
    const { path } = await openEmpty(target.client, agent);
    const { body } = await check(`${path}/events`, message("hello once"), message("hello twice"), 200);
    await ended(target.client, body.events[0].run);
    expect((await logOf(target.client, path)).filter(({ type }) => type === "user.message")).toHaveLength(1);
  });

  test("runs on a new thread and on an old one", async () => {
    const path = `${agent.path}/runs`;
    const first = await check(path, { input: message("a") }, { input: message("b") }, 202);
    await ended(target.client, first.body);
    const { thread_id } = first.body;
    const next = await check(path, { input: message("c"), thread_id }, { input: message("d"), thread_id }, 202);
    await ended(target.client, next.body);
    expect(next.body.thread_id).toBe(thread_id);
  });

  test("files, as JSON and as multipart", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const file = (text: string) => ({ name: "a.txt", content_base64: Buffer.from(text).toString("base64") });
    await check(`${path}/files`, file("a"), file("b"), 201);
    const key = withKey(unique("key"));
    const bytes = "x".repeat(100_000);
    const first = await client.upload(`${path}/files`, { name: "b.txt", bytes }, key);
    const second = await client.upload(`${path}/files`, { name: "b.txt", bytes }, key);
    expect([second.status, replayed(second), second.text]).toEqual([201, "true", first.text]);
    const other = await client.upload(`${path}/files`, { name: "b.txt", bytes: `${bytes}y` }, key);
    expect(refusal(other)).toBe("409 idempotency_conflict");
    expect(ok(await client.get(`${path}/files`)).data).toHaveLength(2);
  });

  test("tokens: the secret comes again, to who knows the key", async () => {
    const { body } = await check("/tokens", { label: "mine" }, { label: "other" }, 201);
    ok(await target.client.as(body.secret).get("/me"));
  });

  test("agents, groups, members and model connections", async () => {
    const slug = unique("same");
    await check("/agents", { slug, draft: { name: "A" } }, { slug, draft: { name: "B" } }, 201);
    await check("/groups", { slug, name: "A" }, { slug, name: "B" }, 201);
    await check("/model-connections", { slug, kind: "demo" }, { slug, kind: "openai" }, 201);
    const email = `${slug}@example.com`;
    await check("/members", { email, name: "A" }, { email, name: "B" }, 201);
  });
});

/** Sends it again while another request with its key is under way, as the refusal says. */
async function once(path: string, body: unknown, sending: Sending): Promise<Answer> {
  for (;;) {
    const answer = await target.client.post(path, body, sending);
    if (answer.body.error?.code !== "idempotency_in_progress") return answer;
    await sleep(Number(answer.headers.get("retry-after")) * 1000);
  }
}

describe("the key", () => {
  test("twenty at once make one thread, and all get its answer", async () => {
    const sending = withKey(unique("key"));
    const body = { input: message("at once"), client_external_ref: unique("ref") };
    const answers = await Promise.all(Array.from({ length: 20 }, () => once(`${agent.path}/threads`, body, sending)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter((answer) => replayed(answer) === null)).toHaveLength(1);
    const query = { client_external_ref: body.client_external_ref };
    expect(ok(await target.client.get(`${agent.path}/threads`, { query })).data).toHaveLength(1);
    await ended(target.client, answers[0]?.body.run);
  });

  test("twenty at once send one message", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const sending = withKey(unique("key"));
    const answers = await Promise.all(Array.from({ length: 20 }, () => once(`${path}/events`, message("hi"), sending)));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    await ended(client, answers[0]?.body.events[0].run);
    expect((await logOf(client, path)).filter(({ type }) => type === "user.message")).toHaveLength(1);
  });

  test("means another request on another route, and on another thread", async () => {
    const { client } = target;
    const sending = withKey(unique("key"));
    const [one, two] = [await openEmpty(client, agent), await openEmpty(client, agent)];
    ok(await client.post(`${one.path}/events`, message("a"), sending));
    expect(refusal(await client.post(`${two.path}/events`, message("a"), sending))).toBe("409 idempotency_conflict");
    ok(await client.post(`${agent.path}/threads`, {}, sending), 201);
  });

  test("of another token's holder is another key", async () => {
    const { client } = target;
    const body = { kind: "service", label: "bot", agent_ids: [agent.id] };
    const service = client.as(ok(await client.post("/tokens", body), 201).secret);
    const sending = withKey(unique("key"));
    const mine = ok(await client.post(`${agent.path}/threads`, { title: "mine" }, sending), 201);
    const theirs = ok(await service.post(`${agent.path}/threads`, { title: "theirs" }, sending), 201);
    expect(theirs.thread.id).not.toBe(mine.thread.id);
  });

  test.each([
    ["empty", ""],
    ["too long", "k".repeat(256)],
    ["with a space", "a b"],
    ["not ASCII", "clé"],
  ])("%s is refused", async (_what, key) => {
    const answer = await target.client.post(`${agent.path}/threads`, {}, withKey(key));
    expect(refusal(answer)).toBe("422 invalid_request");
    expect(answer.body.error.details.fields[0].path).toBe("Idempotency-Key");
  });

  test("of 255 characters is accepted", async () => {
    ok(await target.client.post(`${agent.path}/threads`, {}, withKey(unique("k").padEnd(255, "k"))), 201);
  });

  test("is not used up by a refusal", async () => {
    const { client } = target;
    const sending = withKey(unique("key"));
    expect((await client.post(`${agent.path}/threads`, { surprise: 1 }, sending)).status).toBe(422);
    const { path } = await openEmpty(client, agent);
    const interrupt = { type: "user.interrupt" };
    expect(refusal(await client.post(`${path}/events`, interrupt, sending))).toBe("409 no_active_run");
    ok(await client.post(`${path}/events`, message("now"), sending));
    ok(await client.post(`${agent.path}/threads`, { title: "now" }, sending), 201);
  });

  test("of a deleted thread starts anew", async () => {
    const { client } = target;
    const sending = withKey(unique("key"));
    const first = ok(await client.post(`${agent.path}/threads`, {}, sending), 201);
    expect((await client.delete(`/threads/${first.thread.id}`)).status).toBe(204);
    const again = await client.post(`${agent.path}/threads`, {}, sending);
    expect([201, 404]).toContain(again.status);
    if (again.status === 201 && replayed(again) === null) expect(again.body.thread.id).not.toBe(first.thread.id);
  });
});
