/** C6: a client that leaves a sync call, in each phase of it. Nothing goes on, and no log grows behind its end. */
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { defineEndpoint, defineTool } from "@callboard/kit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later, runsOf } from "./fixture.ts";

const input = z.strictObject({ thread: z.string().optional() });
const common = { method: "POST", mode: "sync", input, output: z.string() } as const;

let entered = later();
let gate = later();
let wasAborted = later();
let toolDone = later();
const ask = (agent: string) =>
  defineEndpoint({
    ...common,
    async handle({ input, runAgent, relayStatus, signal }) {
      const { thread } = input;
      // It does not hear of the end: what it says afterwards is not for the run's log.
      signal.addEventListener("abort", () => setTimeout(() => relayStatus("too late"), 20));
      return String((await runAgent(agent, { message: "m", ...(thread ? { thread: thread as never } : {}) })).output());
    },
  });
const endpoints = {
  before: defineEndpoint({
    ...common,
    async handle({ runAgent, signal }) {
      signal.addEventListener("abort", () => wasAborted.resolve());
      entered.resolve();
      await gate.promise;
      await runAgent("echo", { message: "after the client left" });
      return "nobody hears this";
    },
  }),
  model: ask("slow"),
  tool: ask("tool-user"),
  permission: ask("careful"),
  "sub-agent": ask("planner"),
};

const tools = {
  /** Neither stops when it is told to nor is it silent afterwards. */
  deaf: defineTool({
    description: "Works on.",
    input: z.strictObject({}),
    effect: "read",
    async run(_, { relayStatus, signal }) {
      entered.resolve();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      relayStatus("still here");
      await sleep(50);
      toolDone.resolve();
      return "a late result";
    },
  }),
  look: defineTool({ description: "Looks.", input: z.strictObject({}), effect: "read", run: () => "seen" }),
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    agents: {
      echo: { name: "Echo" },
      slow: { name: "Slow" },
      "tool-user": { name: "Tool user", tools: ["deaf"] },
      planner: { name: "Planner", agents: ["slow"] },
      careful: { name: "Careful", tools: [{ name: "look", approval: "always" }] },
    },
    tools,
    endpoints,
    onLog: () => {},
  });
  server.model.script("slow", () => ({ steps: [{ text: "so " }, "endless"] }));
  server.model.script("tool-user", ({ index }) => (index % 2 === 0 ? callTool("deaf") : say("done")));
  server.model.script("planner", () => callTool("agent_slow", { message: "go on" }));
  server.model.script("careful", () => callTool("look"));
});
afterAll(() => server.stop());
beforeEach(() => {
  entered = later();
  gate = later();
  wasAborted = later();
  toolDone = later();
});

function begin(path: string, body: object = {}) {
  const abort = new AbortController();
  const answer = call(server, path, body, { signal: abort.signal }).catch(() => "left");
  return {
    async leave() {
      abort.abort();
      expect(await answer).toBe("left");
    },
  };
}

const newest = async () => (await runsOf(server))[0];
const logOf = async (thread: string) =>
  (await server.client().get(`/threads/${thread}/events?limit=1000`)).body.data as Array<{
    type: string;
    run_id: string;
  }>;
const threadOf = async (agent: string): Promise<string> =>
  (await server.client().get(`/agents/${agent}/threads`)).body.data[0].id;

/** The newest run is canceled, and its log ends with that, also after all that is still going on has ended. */
async function endsCanceled(agent: string): Promise<void> {
  await eventually(async () => (await newest())?.state === "canceled");
  const thread = await threadOf(agent);
  const events = await logOf(thread);
  expect(events.at(-1)?.type).toBe("run.canceled");
  await sleep(150);
  expect(await logOf(thread)).toEqual(events);
}

describe("a client that leaves", () => {
  test("while it still sends: nothing is called", async () => {
    const { port } = new URL(server.baseUrl);
    const socket = connect(Number(port), "127.0.0.1");
    const head = `POST /endpoints/before HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.token}\r\n`;
    socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{"thre`);
    await sleep(50);
    socket.destroy();
    const entry = await Promise.race([entered.promise.then(() => "called"), sleep(200).then(() => "not called")]);
    expect(entry).toBe("not called");
    gate.resolve();
  });

  test("before the run: the handler's signal is aborted and no run is started", async () => {
    const runs = (await runsOf(server)).length;
    const { leave } = begin("before");
    await entered.promise;
    await leave();
    await wasAborted.promise;
    await sleep(50); // the handler is over for everybody but itself
    gate.resolve();
    await sleep(150);
    expect(await runsOf(server)).toHaveLength(runs);
  });

  test("in the model call: the provider's connection is closed", async () => {
    const before = server.model.calls("slow").length;
    const { leave } = begin("model");
    await eventually(() => server.model.calls("slow").length > before);
    await leave();
    await server.model.calls("slow").at(-1)?.left;
    await endsCanceled("slow");
  });

  test("in a tool: its signal is aborted, and what it still says is not in the log", async () => {
    const { leave } = begin("tool");
    await entered.promise;
    await leave();
    await toolDone.promise;
    await endsCanceled("tool-user");
    expect(server.model.calls("tool-user")).toHaveLength(1);
  });

  test("in a sub-agent: both runs end, and the provider's connection is closed", async () => {
    const before = server.model.calls("slow").length;
    const { leave } = begin("sub-agent");
    await eventually(() => server.model.calls("slow").length > before);
    const thread = await threadOf("planner");
    const parent = (await server.client().get(`/runs?thread_id=${thread}`)).body.data[0].id;
    await leave();
    await server.model.calls("slow").at(-1)?.left;
    const tree = async () => (await server.client().get(`/runs/${parent}/tree`)).body;
    await eventually(async () => {
      const { run, children } = await tree();
      return run.state === "canceled" && children[0].run.state === "canceled";
    });
    const { run, children } = await tree();
    const logs = [await logOf(run.thread_id), await logOf(children[0].run.thread_id)];
    for (const events of logs) expect(events.at(-1)?.type).toBe("run.canceled");
    await sleep(150);
    expect([await logOf(run.thread_id), await logOf(children[0].run.thread_id)]).toEqual(logs);
  });

  test("while a person is asked for permission", async () => {
    const { leave } = begin("permission");
    await eventually(async () => (await newest())?.state === "waiting");
    await leave();
    await endsCanceled("careful");
  });

  test("while the run waits behind another one of its thread, which goes on", async () => {
    const body = { input: { type: "user.message", text: "first" } };
    const first = (await server.client().post("/agents/slow/runs", body)).body;
    const { leave } = begin("model", { thread: first.thread_id });
    await eventually(async () => (await newest())?.state === "queued");
    await leave();
    await eventually(async () => (await newest())?.state === "canceled");
    expect((await server.client().get(`/runs/${first.id}`)).body.state).toBe("running");
    await server.client().post(`/runs/${first.id}/cancel`);
  });
});
