/** C4: runs without a saved agent, from a handler and over REST. */
import { defineEndpoint, defineTool, type RunAdHoc } from "@callboard/kit";
import { type JobId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later } from "./fixture.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests hand over what a handler's author might
type Anything = any;

const schema = z.object({ code: z.string(), urgent: z.boolean().default(false) });
const common = { method: "POST", input: z.any(), output: z.any() } as const;
const run = async (runAdHoc: RunAdHoc, options: Anything) => {
  const done = await runAdHoc(options);
  return { thread: done.threadId, run: done.id, said: done.output() as unknown };
};
const endpoints = {
  plain: defineEndpoint({ ...common, mode: "sync", handle: ({ input, runAdHoc }) => run(runAdHoc, input) }),
  typed: defineEndpoint({
    ...common,
    mode: "sync",
    handle: ({ input, runAdHoc }) => run(runAdHoc, { ...input, output: schema }),
  }),
  job: defineEndpoint({
    ...common,
    mode: "polling",
    async handle({ input, runAdHoc, runAgent }) {
      const first = await run(runAdHoc, { messages: [user("first")], model: { id: "raw-first" } });
      const agent = await runAgent("helper", { message: "between" });
      const last = await run(runAdHoc, { messages: [user(input.text)], model: { id: "raw-gated" } });
      return [first.said, agent.output(), last.said];
    },
  }),
};

const tools = {
  lookup: defineTool({
    description: "Looks up.",
    input: z.strictObject({}),
    effect: "read",
    run: () => "found",
  }),
  forbid: defineTool({
    description: "Switches raw runs off.",
    input: z.strictObject({}),
    effect: "read",
    async run() {
      await allow(false);
      return "off";
    },
  }),
};

const user = (text: string) => ({ role: "user", text });
const assistant = (text: string) => ({ role: "assistant", text });

let server: TestServer;
const lines: string[] = [];
beforeAll(async () => {
  server = await startTestServer({
    agents: {
      helper: {
        name: "Helper",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the agent's
        instructions: "Help with ${PRODUCT:-all}.",
        variables: { PRODUCT: { schema: { type: "string" } } },
        tools: [{ name: "lookup", approval: "always" }, "forbid"],
        limits: { max_steps: 3 },
      },
    },
    tools,
    endpoints,
    onLog: (line) => lines.push(line),
  });
  await allow(true);
});
afterAll(() => server.stop());

const allow = (raw_runs: boolean) => server.client().patch("/organization", { raw_runs });
const adHoc = (input: Anything, token = server.token) => call(server, "plain", input, { token });
const told = (model: string) =>
  server.model
    .calls(model)
    .at(-1)
    ?.messages.map(({ role, content }) => `${role}: ${content}`);
const types = async (thread: string) =>
  (await server.client().get(`/threads/${thread}/events?limit=100`)).body.data.map(
    ({ type }: { type: string }) => type,
  );

describe("an ad-hoc run", () => {
  test("tells the model the conversation and answers its last message", async () => {
    const messages = [user("hello"), assistant("What is it?"), user("E-17")];
    const done = await adHoc({ messages, model: { id: "talk" }, instructions: "Be brief." });
    expect([done.status, done.body.said]).toEqual([200, "You said: E-17"]);
    expect(told("talk")).toEqual(["system: Be brief.", "user: hello", "assistant: What is it?", "user: E-17"]);
    const log = (await server.client().get(`/threads/${done.body.thread}/events`)).body.data;
    expect(log.filter(({ type }: Anything) => type === "user.message")).toMatchObject([
      { data: { content: [{ type: "text", text: "E-17" }] } },
    ]);
    const transcript = (await server.client().get(`/runs/${done.body.run}/transcript`)).body;
    expect(transcript.input).toEqual([
      { content: [{ type: "text", text: "hello" }] },
      { role: "assistant", content: [{ type: "text", text: "What is it?" }] },
      { content: [{ type: "text", text: "E-17" }] },
    ]);
  });

  test("goes on in its thread, told what was said there", async () => {
    const first = (await adHoc({ messages: [user("a"), assistant("b"), user("c")], model: { id: "first" } })).body;
    const next = await adHoc({ messages: [user("d")], model: { id: "next" }, thread: first.thread });
    expect(next.body).toMatchObject({ said: "You said: d", thread: first.thread });
    expect(told("next")).toEqual(["user: a", "assistant: b", "user: c", "assistant: You said: c", "user: d"]);
    const stranger = (await server.person("member")).token;
    const theirs = await adHoc({ messages: [user("d")], thread: first.thread }, stranger);
    expect([theirs.status, theirs.body.error.code]).toEqual([404, "not_found"]);
  });

  test("has the answer its schema asks for, repaired or failed as an agent's", async () => {
    server.model.script("json", ({ index }) => say(index === 0 ? "not json" : '{"code":"E-17"}'));
    const typed = (input: Anything) => call(server, "typed", { messages: [user("x")], ...input });
    const done = await typed({ model: { id: "json" } });
    expect(done.body.said).toEqual({ code: "E-17", urgent: false });
    expect(server.model.calls("json")).toHaveLength(2);
    server.model.script("never", () => say("no"));
    const failed = await typed({ model: { id: "never" } });
    expect([failed.status, failed.body.error.code]).toEqual([502, "output_invalid"]);
  });

  test("uses the tools that are named, and no others", async () => {
    server.model.script("tools", ({ index }) => (index === 0 ? callTool("lookup") : say("looked up")));
    const done = await adHoc({ messages: [user("x")], tools: ["lookup"], model: { id: "tools" } });
    expect(done.body.said).toBe("looked up");
    expect(server.model.calls("tools")[0]?.tools).toEqual(["lookup"]);
    const refused = await adHoc({ messages: [user("x")], tools: ["no_such_tool"] });
    expect([refused.status, refused.body.error.code]).toEqual([422, "draft_invalid"]);
  });
});

describe("its permission", () => {
  test("is the scope runs:raw and the organization's switch, each time", async () => {
    const messages = [user("x")];
    const { token } = await server.person("member", { scopes: ["threads:read", "threads:write"] });
    expect((await adHoc({ messages }, token)).body.error.code).toBe("insufficient_scope");
    await allow(false);
    const refused = await adHoc({ messages });
    expect([refused.status, refused.body.error.code]).toEqual([403, "forbidden"]);
    await allow(true);
    expect((await adHoc({ messages })).status).toBe(200);
  });

  test("is asked for again when somebody writes to the thread of such a run", async () => {
    const { thread } = (await adHoc({ messages: [user("x")] })).body;
    const message = { type: "user.message", text: "again" };
    await allow(false);
    expect((await server.client().post(`/threads/${thread}/events`, message)).body.error.code).toBe("forbidden");
    await allow(true);
    expect((await server.client().post(`/threads/${thread}/events`, message)).status).toBe(200);
  });

  test("is checked while it runs, also with an agent", async () => {
    server.model.script("revoked", ({ index }) => (index === 0 ? callTool("forbid") : say("went on")));
    const failed = await adHoc({ messages: [user("x")], agent: "helper", model: { id: "revoked" } });
    expect(failed.body.error.code).toBe("access_revoked");
    await allow(true);
  });

  test("is not for somebody else to have: there is no user among its options", async () => {
    const refused = await adHoc({ messages: [user("x")], user: server.ownerId });
    expect(refused.body.error.code).toBe("internal");
    expect(lines.at(-1)).toContain("runAdHoc takes messages, tools");
  });
});

describe("with an agent", () => {
  test("takes what is left out from it, and its variables", async () => {
    const done = await adHoc({ messages: [user("x")], agent: "helper", variables: { PRODUCT: "Till" } });
    expect(done.body.said).toBe("You said: x");
    expect(told("helper")?.[0]).toBe("system: Help with Till.");
    expect(server.model.calls("helper").at(-1)?.tools).toEqual(["lookup", "forbid"]);
    const thread = (await server.client().get("/agents/helper/threads")).body.data[0];
    expect(thread).toMatchObject({ id: done.body.thread, agent_version: 1 });
    const bad = await adHoc({ messages: [user("x")], agent: "helper", variables: { OTHER: "x" } });
    expect(bad.body.error.code).toBe("invalid_variables");
  });

  test("leaves tools out and asks more strictly, never the other way round", async () => {
    const more = await adHoc({ messages: [user("x")], agent: "helper", tools: ["lookup", "no_such_tool"] });
    expect([more.status, more.body.error.details.fields[0].path]).toEqual([422, "config.tools[1].name"]);
    server.model.script("asks", () => callTool("lookup"));
    const body = {
      messages: [user("x")],
      agent_id: "helper",
      config: { tools: [{ name: "lookup", approval: "never" }], model: { id: "asks" }, limits: { max_steps: 100 } },
    };
    const { id } = (await server.client().post("/runs", body)).body;
    await eventually(async () => (await server.client().get(`/runs/${id}`)).body.state === "waiting");
    const { config } = await server.row<{ config: Anything }>("select config from runs where id = $1", [toUuid(id)]);
    expect(config).toMatchObject({ limits: { max_steps: 3 }, tools: [{ name: "lookup", approval: "always" }] });
    await server.client().post(`/runs/${id}/cancel`);
  });

  test("goes on in a thread of that agent, and in no other", async () => {
    const { body } = await server
      .client()
      .post("/agents/helper/runs", { input: { type: "user.message", text: "one" } });
    await server.client().get(`/runs/${body.id}`, { headers: { prefer: "wait=60" } });
    const messages = [user("two")];
    const done = await adHoc({ messages, agent: "helper", thread: body.thread_id, model: { id: "other" } });
    expect(done.body.said).toBe("You said: two");
    expect(told("other")?.slice(1)).toEqual(["user: one", "assistant: You said: one", "user: two"]);
    expect((await adHoc({ messages, thread: body.thread_id })).body.error.code).toBe("not_found");
    const { thread } = (await adHoc({ messages })).body;
    expect((await adHoc({ messages, agent: "helper", thread })).body.error.code).toBe("not_found");
    // The agent's own runs go on as before.
    const after = await server
      .client()
      .post(`/threads/${body.thread_id}/events`, { type: "user.message", text: "three" });
    expect(after.body.events[0].run).toMatchObject({ trigger: "message", agent_version: 1 });
  });
});

test("in a job that is run again after a crash, the n-th run of either kind is joined", async () => {
  const gate = later();
  server.model.script("raw-gated", () => ({ steps: [{ text: "third" }, { until: gate.promise }] }));
  const { body } = await call(server, "job", { text: "x" });
  await eventually(() => server.model.calls("raw-gated").length === 1);
  const helped = server.model.calls("helper").length;
  await server.row("update jobs set lease_owner = gen_random_uuid() where id = $1", [toUuid(body.job_id as JobId)]);
  await eventually(async () => (await server.row<{ a: number }>("select max(attempt) as a from jobs")).a === 2);
  gate.resolve();
  const done = (await server.client().get(`/jobs/${body.job_id}?wait=60`)).body;
  expect(done.result).toEqual(["You said: first", "You said: between", "third"]);
  expect(server.model.calls("raw-first")).toHaveLength(1);
  expect(server.model.calls("raw-gated")).toHaveLength(1);
  expect(server.model.calls("helper")).toHaveLength(helped);
});

describe("POST /runs", () => {
  const post = (body: object, headers = {}) => server.client().post("/runs", body, { headers });

  test("takes what runAdHoc takes", async () => {
    const messages = [user("a"), assistant("b"), user("c")];
    const first = await post({ messages, config: { model: { id: "rest" } } }, { prefer: "wait=60" });
    expect([first.status, first.body.result.text]).toEqual([200, "You said: c"]);
    const { thread_id } = first.body;
    const key = { prefer: "wait=60", "idempotency-key": "raw-on-thread" };
    const next = await post({ messages: [user("d")], thread_id, config: { model: { id: "rest" } } }, key);
    expect(next.body).toMatchObject({ state: "completed", trigger: "raw", thread_id });
    expect(told("rest")).toEqual(["user: a", "assistant: b", "user: c", "assistant: You said: c", "user: d"]);
    const again = await post({ messages: [user("d")], thread_id, config: { model: { id: "rest" } } }, key);
    expect([again.body.id, again.headers.get("idempotency-replayed")]).toEqual([next.body.id, "true"]);
    expect((await types(thread_id)).filter((type: string) => type === "user.message")).toHaveLength(2);
  });

  test.each([
    ["neither input nor messages", {}, "messages"],
    ["both", { input: { type: "user.message", text: "x" }, messages: [{ role: "user", text: "x" }] }, "messages"],
    ["no message", { messages: [] }, "messages"],
    ["an answer at the end", { messages: [{ role: "assistant", text: "x" }] }, "messages"],
    ["another voice", { messages: [{ role: "system", text: "x" }] }, "messages[0].role"],
    ["a text and content", { messages: [{ role: "user", text: "x", content: [] }] }, "messages[0].content"],
  ])("refuses %s", async (_, body, path) => {
    const refused = await post(body);
    expect(refused.status).toBe(422);
    expect(refused.body.error.details.fields.map((field: Anything) => field.path)).toContain(path);
  });

  test("refuses a file: there is no thread to which it could have been uploaded", async () => {
    const content = [{ type: "file", file_id: "file_01h455vb4pex5vsknk084sn02q" }];
    expect((await post({ messages: [{ role: "user", content }] })).body.error.code).toBe("file_not_attachable");
  });
});
