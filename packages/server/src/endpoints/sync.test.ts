/** C1, C2, C3, C6, C7 of calls that wait for their answer, on a listening server with a scripted model. */
import { Readable } from "node:stream";
import { defineEndpoint, defineTool, type EndpointCaller } from "@callboard/kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later, runsOf } from "./fixture.ts";

const text = z.strictObject({ text: z.string().min(1) });
const answer = z.strictObject({ said: z.string() });
const common = { method: "POST", mode: "sync" } as const;

let seenCaller: EndpointCaller | undefined;
let toolStarted = later();
let toolAborted = later<unknown>();
const leftBehind = later();

/** Answers that are no JSON, though `JSON.stringify` would print most of them. */
const strange: Record<string, () => unknown> = {
  stream: () => new ReadableStream(),
  "node-stream": () => Readable.from(["text"]),
  generator: () => (async function* () {})(),
  function: () => () => "text",
  "nested-function": () => ({ list: [{ deed: () => {} }] }),
  promise: () => ({ soon: Promise.resolve("an await was forgotten") }),
  blob: () => new Blob(["text"]),
  "nested-response": () => ({ body: new Response("hello") }),
  map: () => ({ counts: new Map([["a", 1]]) }),
  buffer: () => Buffer.from("text"),
  error: () => new Error("returned, not thrown"),
  symbol: () => Symbol("text"),
};

const endpoints = {
  echo: defineEndpoint({
    ...common,
    input: text,
    output: answer,
    async handle({ input, runAgent }) {
      const run = await runAgent("echo", { message: input.text, variables: { TONE: "kind" } });
      return { said: String(run.output()) };
    },
  }),
  classify: defineEndpoint({
    ...common,
    input: z.strictObject({ ticket: z.strictObject({ body: z.string().min(1), tags: z.array(z.string()) }) }),
    output: z.strictObject({ category: z.enum(["bug", "billing"]) }),
    handle: async ({ input, runAgent }) =>
      (await runAgent("classifier", { message: input.ticket.body })).output() as { category: "bug" },
  }),
  "tickets/[id]/index": defineEndpoint({
    method: "GET",
    mode: "sync",
    input: z.strictObject({ limit: z.coerce.number().int().default(3) }),
    output: z.strictObject({
      id: z.string(),
      limit: z.number(),
      query: z.string(),
      secret: z.boolean(),
      from: z.string(),
    }),
    handle: ({ input, params, query, headers }) => ({
      id: params.id as string,
      limit: input.limit,
      query: query.toString(),
      secret: headers.has("authorization") || headers.has("cookie"),
      from: headers.get("x-from") ?? "",
    }),
  }),
  "tickets/new": defineEndpoint({
    ...common,
    method: "GET",
    input: z.strictObject({}),
    output: z.string(),
    handle: () => "the form",
  }),
  "wrong-output": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle: ({ input }) => ({ said: 7, secret: input.text }) as never,
  }),
  throws: defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle() {
      throw new Error("the password is hunter2");
    },
  }),
  hangs: defineEndpoint({
    ...common,
    timeoutMs: 150,
    input: text,
    output: answer,
    handle: () => new Promise<never>(() => {}),
  }),
  "hangs-in-agent": defineEndpoint({
    ...common,
    timeoutMs: 4000,
    input: text,
    output: answer,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("slow", { message: "m" })).output()) }),
  }),
  response: defineEndpoint({
    ...common,
    input: text,
    output: z.any(),
    handle: () => new Response("hello"),
  }),
  cyclic: defineEndpoint({
    ...common,
    input: text,
    output: z.any(),
    handle() {
      const value: Record<string, unknown> = {};
      value.self = value;
      return value;
    },
  }),
  bigint: defineEndpoint({ ...common, input: text, output: z.any(), handle: () => ({ count: 1n }) }),
  ...Object.fromEntries(
    Object.entries(strange).map(([name, make]) => [
      name,
      defineEndpoint({ ...common, input: text, output: z.any(), handle: make }),
    ]),
  ),
  refuses: defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle({ problem }) {
      throw problem(404, "there is no such ticket", { ticket: "t-7" });
    },
  }),
  "failed-agent": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("broken", { message: "m" })).output()) }),
  }),
  "failed-agent-handled": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    async handle({ runAgent }) {
      const run = await runAgent("broken", { message: "m" });
      return { said: run.state === "completed" ? run.text : `sorry: ${run.error.code}` };
    },
  }),
  "in-model": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("slow", { message: "m" })).output()) }),
  }),
  "in-tool": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("tool-user", { message: "m" })).output()) }),
  }),
  "own-limit": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    async handle({ runAgent }) {
      const stop = new AbortController();
      const run = runAgent("slow", { message: "own limit", signal: stop.signal });
      stop.abort(new Error("enough"));
      return {
        said: await run.then(
          () => "an answer",
          (error: Error) => error.message,
        ),
      };
    },
  }),
  "leaves-run-behind": defineEndpoint({
    ...common,
    input: text,
    output: answer,
    async handle({ runAgent }) {
      void runAgent("slow", { message: "left behind" }).then(() => leftBehind.resolve());
      return { said: "done" };
    },
  }),
  impostor: defineEndpoint({
    ...common,
    input: text,
    output: answer,
    handle: async ({ input, runAgent }) => {
      const run = await runAgent("echo", { message: input.text, user: "user_1" } as never);
      return { said: String(run.output()) };
    },
  }),
  mutineer: defineEndpoint({
    ...common,
    input: z.strictObject({ owner: z.string() }),
    output: z.strictObject({ errors: z.array(z.string()), run: z.string() }),
    async handle({ input, caller, runAgent, ...context }) {
      const errors: string[] = [];
      const attempt = (deed: () => void) => {
        try {
          deed();
        } catch (error) {
          errors.push((error as Error).name);
        }
      };
      attempt(() => Object.assign(caller, { userId: input.owner }));
      attempt(() => (caller.groups as string[]).push("admins"));
      attempt(() => Object.assign(caller.scopes, ["audit:read"]));
      attempt(() => Object.assign(context, { caller: { userId: input.owner } }));
      const run = await runAgent("echo", { message: "whose?" });
      return { errors, run: run.id };
    },
  }),
  whoami: defineEndpoint({
    ...common,
    input: z.strictObject({}),
    output: z.strictObject({ ok: z.boolean() }),
    handle({ caller }) {
      seenCaller = caller;
      return { ok: Object.isFrozen(caller) && Object.isFrozen(caller.groups) };
    },
  }),
  "for-admins": defineEndpoint({
    ...common,
    access: { roles: ["owner", "admin"] },
    input: z.strictObject({}),
    output: z.string(),
    handle: () => "welcome",
  }),
  "for-group": defineEndpoint({
    ...common,
    access: { groups: ["support"], scopes: ["transcripts:read"] },
    input: z.strictObject({}),
    output: z.string(),
    handle: () => "welcome",
  }),
  "on-thread": defineEndpoint({
    ...common,
    input: z.strictObject({ thread: z.string(), text: z.string() }),
    output: z.strictObject({ said: z.string(), thread: z.string() }),
    async handle({ input, runAgent }) {
      const run = await runAgent("echo", { message: input.text, thread: input.thread as never });
      return { said: String(run.output()), thread: run.threadId };
    },
  }),
};

const wait = defineTool({
  description: "Waits.",
  input: z.strictObject({}),
  effect: "read",
  run: (_, { signal }) =>
    new Promise((_resolve, reject) => {
      toolStarted.resolve();
      signal.addEventListener("abort", () => {
        toolAborted.resolve(signal.reason);
        reject(signal.reason);
      });
    }),
});

let server: TestServer;
const lines: string[] = [];
beforeAll(async () => {
  server = await startTestServer({
    agents: {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder of the agent's
      echo: { name: "Echo", instructions: "Be ${TONE:-plain}.", variables: { TONE: { schema: { type: "string" } } } },
      classifier: {
        name: "Classifier",
        output_schema: {
          type: "object",
          properties: { category: { enum: ["bug", "billing"] } },
          required: ["category"],
        },
      },
      broken: { name: "Broken" },
      slow: { name: "Slow" },
      "tool-user": { name: "Tool user", tools: ["wait"] },
    },
    tools: { wait },
    endpoints,
    onLog: (line) => lines.push(line),
  });
  server.model.script("broken", () => ({ status: 400 }));
  server.model.script("slow", () => ({ steps: [{ text: "so" }, "hang"] }));
  server.model.script("tool-user", ({ index }) => (index % 2 === 0 ? callTool("wait") : say("done")));
  server.model.script("classifier", () => say('{"category":"bug"}'));
});
afterAll(() => server.stop());

describe("an endpoint", () => {
  test("runs an agent for its caller and answers with what its schema says", async () => {
    const done = await call(server, "echo", { text: "hello" });
    expect(done.body).toEqual({ said: "You said: hello" });
    expect(done.status).toBe(200);
    expect(done.headers.get("x-request-id")).toMatch(/^req_/);
    expect(server.model.calls("echo").at(-1)?.messages[0].content).toContain("Be kind.");
    expect((await call(server, "classify", { ticket: { body: "E-17", tags: [] } })).body).toEqual({ category: "bug" });
  });

  test("gets path parameters, the query and the headers, but no secrets", async () => {
    const done = await call(server, "tickets/t%207?limit=5", undefined, {
      method: "GET",
      headers: { "x-from": "test", cookie: "session=1" },
    });
    expect(done.body).toEqual({ id: "t 7", limit: 5, query: "limit=5", secret: false, from: "test" });
    expect((await call(server, "tickets/new", undefined, { method: "GET" })).body).toBe("the form");
  });

  test("refuses input that does not fit, with the path of the field", async () => {
    const refused = await call(server, "classify", { ticket: { body: "", tags: ["a", 7] } });
    expect(refused.status).toBe(422);
    expect(refused.body.error).toMatchObject({ code: "invalid_request", request_id: expect.stringMatching(/^req_/) });
    expect(refused.body.error.details.fields.map(({ path }: { path: string }) => path)).toEqual([
      "ticket.body",
      "ticket.tags[1]",
    ]);
    expect((await call(server, "echo")).body.error.code).toBe("invalid_request");
  });

  test("refuses what is no JSON, an unknown path and another method", async () => {
    expect((await call(server, "echo", undefined, { raw: "{" })).body.error.code).toBe("bad_json");
    const plain = await call(server, "echo", undefined, { raw: "x", headers: { "content-type": "text/plain" } });
    expect([plain.status, plain.body.error.code]).toEqual([415, "unsupported_media_type"]);
    expect((await call(server, "nowhere", {})).status).toBe(404);
    const put = await call(server, "echo", { text: "x" }, { method: "PUT" });
    expect([put.status, put.headers.get("allow"), put.body.error.code]).toEqual([405, "POST", "method_not_allowed"]);
  });

  test("goes on with a thread of the caller's, and finds nobody else's", async () => {
    const first = await call(server, "echo", { text: "one" });
    expect(first.status).toBe(200);
    const thread = (await server.client().get("/agents/echo/threads")).body.data[0].id;
    const second = await call(server, "on-thread", { thread, text: "two" });
    expect(second.body).toEqual({ said: "You said: two", thread });
    const { token } = await server.person("member");
    const stranger = await call(server, "on-thread", { thread, text: "three" }, { token });
    expect([stranger.status, stranger.body.error.code]).toEqual([404, "not_found"]);
  });
});

describe("a handler that goes wrong", () => {
  /** The last line of the log about a file. */
  const logged = (file: string) => lines.findLast((line) => line.includes(file));
  const refusal = async (path: string) => {
    const { status, body } = await call(server, path, { text: "private text" });
    return { status, ...body.error };
  };

  test("by an answer against its own schema: 500, and nothing of it is told", async () => {
    const error = await refusal("wrong-output");
    expect(error).toMatchObject({ status: 500, code: "endpoint_output_invalid" });
    expect(JSON.stringify(error)).not.toContain("private text");
    expect(error.details).toBeUndefined();
    expect(logged("wrong-output.mjs")).toContain("said");
  });

  test.each(["response", "cyclic", "bigint", ...Object.keys(strange)])(
    "by an answer that is no JSON (%s)",
    async (path) => {
      expect(await refusal(path)).toMatchObject({ status: 500, code: "endpoint_output_invalid" });
      expect(logged(`${path}.mjs`)).toMatch(/the handler returned a \w+|the answer is not JSON/);
    },
  );

  test("by throwing: 500, and the log names the file and the reason", async () => {
    const error = await refusal("throws");
    expect(error).toMatchObject({ status: 500, code: "internal" });
    expect(JSON.stringify(error)).not.toContain("hunter2");
    expect(logged("throws.mjs")).toContain("hunter2");
    expect(logged("throws.mjs")).toContain(error.request_id);
  });

  test("by never answering: 504 when its time is up", async () => {
    expect(await refusal("hangs")).toMatchObject({ status: 504, code: "endpoint_timeout" });
  });

  test("by refusing: with its own status and words", async () => {
    const error = await refusal("refuses");
    expect(error).toMatchObject({ status: 404, code: "endpoint_problem", message: "there is no such ticket" });
    expect(error.details).toEqual({ ticket: "t-7" });
  });

  test("because its agent's run failed: with the run's code, unless it deals with that", async () => {
    const error = await refusal("failed-agent");
    expect(error).toMatchObject({ status: 502, code: "model_rejected" });
    expect(error.details.run_id).toMatch(/^run_/);
    expect((await call(server, "failed-agent-handled", { text: "x" })).body).toEqual({ said: "sorry: model_rejected" });
  });
});

describe("a call that is stopped stops what it started", () => {
  const newest = async () => (await runsOf(server))[0];
  const modelCall = () => server.model.calls("slow").at(-1);

  test("a client that leaves during the model call", async () => {
    const before = server.model.calls("slow").length;
    const abort = new AbortController();
    const left = call(server, "in-model", { text: "x" }, { signal: abort.signal }).catch((error) => error.name);
    await eventually(() => server.model.calls("slow").length > before);
    abort.abort();
    expect(await left).toBe("AbortError");
    await modelCall()?.left;
    const run = await eventually(async () => ((await newest())?.state === "canceled" ? await newest() : undefined));
    expect(run.error?.code).toBe("canceled");
  });

  test("a client that leaves during a tool call", async () => {
    toolStarted = later();
    toolAborted = later();
    const abort = new AbortController();
    const left = call(server, "in-tool", { text: "x" }, { signal: abort.signal }).catch(() => "left");
    await toolStarted.promise;
    abort.abort();
    await left;
    await toolAborted.promise;
    await eventually(async () => (await newest())?.state === "canceled");
  });

  test("a call whose time is up", async () => {
    const refused = await call(server, "hangs-in-agent", { text: "x" });
    expect(refused.body.error.code).toBe("endpoint_timeout");
    await modelCall()?.left;
    expect((await newest())?.state).toBe("canceled"); // before the client was answered
  });

  test("a signal of the handler's own", async () => {
    expect((await call(server, "own-limit", { text: "x" })).body).toEqual({ said: "enough" });
    expect((await runsOf(server)).filter(({ state }) => state === "running")).toEqual([]);
  });

  test("a handler that does not wait for its run", async () => {
    expect((await call(server, "leaves-run-behind", { text: "x" })).body).toEqual({ said: "done" });
    expect((await runsOf(server)).filter(({ state }) => state === "running")).toEqual([]);
  });
});

describe("identity", () => {
  test("is the token's, frozen, and of no use when it is changed", async () => {
    const { token, userId } = await server.person("member");
    const done = await call(server, "mutineer", { owner: server.ownerId }, { token });
    expect(done.body.errors).toEqual(["TypeError", "TypeError", "TypeError"]);
    // The run is the member's own: the member sees it, another member does not.
    expect((await server.client(token).get(`/runs/${done.body.run}`)).status).toBe(200);
    const { token: other } = await server.person("member");
    expect((await server.client(other).get(`/runs/${done.body.run}`)).status).toBe(404);
    expect((await call(server, "whoami", {}, { token })).body).toEqual({ ok: true });
    expect(seenCaller).toMatchObject({ kind: "user", userId, role: "member", organizationId: server.id });
  });

  test("cannot be passed: not to runAgent, and not by the client", async () => {
    const refused = await call(server, "impostor", { text: "x" });
    expect(refused.body.error.code).toBe("internal");
    expect(lines.at(-1)).toContain("runAgent takes message, variables, thread, signal; found user");
    const { token, userId } = await server.person("member");
    await call(server, `whoami?user_id=${server.ownerId}`, {}, { token, headers: { "x-user-id": server.ownerId } });
    expect(seenCaller?.userId).toBe(userId);
    expect((await call(server, "whoami", { user: server.ownerId }, { token })).status).toBe(422);
  });

  test("no token, a guest, a missing scope: refused before the input is looked at", async () => {
    const nobody = await call(server, "echo", {}, { token: null });
    expect([nobody.status, nobody.body.error.code]).toEqual([401, "unauthenticated"]);
    const { token: guest } = await server.person("guest");
    expect((await call(server, "echo", {}, { token: guest })).body.error.code).toBe("forbidden");
    const reader = await server.personalToken(server.ownerId, { scopes: ["threads:read"] });
    expect((await call(server, "echo", {}, { token: reader })).body.error.code).toBe("insufficient_scope");
  });

  test("an endpoint may be for some roles or groups", async () => {
    const { token, userId } = await server.person("member");
    const admin = await server.person("admin");
    expect((await call(server, "for-admins", {}, { token: admin.token })).body).toBe("welcome");
    expect((await call(server, "for-admins", {}, { token })).body.error.code).toBe("forbidden");
    expect((await call(server, "for-group", {}, { token })).body.error.code).toBe("forbidden");
    const group = { slug: "support", name: "Support", user_ids: [userId] };
    expect((await server.client().post("/groups", group)).status).toBe(201);
    expect((await call(server, "for-group", {}, { token })).body).toBe("welcome");
  });

  test("a service calls with its own agents only", async () => {
    const echo = (await server.client().get("/agents/echo")).body.id;
    const scopes = ["threads:read", "threads:write"] as const;
    const listed = await server.service({ agent_ids: [echo], scopes: [...scopes] });
    expect((await call(server, "echo", { text: "hi" }, { token: listed })).body).toEqual({ said: "You said: hi" });
    const unlisted = await server.service({ agent_ids: [], scopes: [...scopes] });
    expect((await call(server, "echo", { text: "hi" }, { token: unlisted })).body.error.code).toBe("not_found");
    expect((await call(server, "for-admins", {}, { token: listed })).body.error.code).toBe("forbidden");
  });
});

describe("an Idempotency-Key", () => {
  const withKey = (key: string) => ({ headers: { "idempotency-key": key } });

  test("gives a repeat the first answer, without another call", async () => {
    const before = server.model.calls("echo").length;
    const first = await call(server, "echo", { text: "once" }, withKey("k1"));
    const again = await call(server, "echo", { text: "once" }, withKey("k1"));
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect([first, again].map(({ headers }) => headers.get("idempotency-replayed"))).toEqual([null, "true"]);
    expect(server.model.calls("echo")).toHaveLength(before + 1);
    const other = await call(server, "echo", { text: "twice" }, withKey("k1"));
    expect([other.status, other.body.error.code]).toEqual([409, "idempotency_conflict"]);
  });

  test("belongs to its caller and its endpoint", async () => {
    const { token } = await server.person("member");
    const own = await call(server, "echo", { text: "mine" }, { ...withKey("k1"), token });
    expect([own.status, own.headers.get("idempotency-replayed")]).toEqual([200, null]);
    expect((await call(server, "on-thread", {}, withKey("k1"))).body.error.code).toBe("invalid_request");
  });

  test("tells a repeat that comes too early to wait, and is free again when the client leaves", async () => {
    const before = server.model.calls("slow").length;
    const abort = new AbortController();
    const left = call(server, "in-model", { text: "x" }, { ...withKey("k2"), signal: abort.signal }).catch(
      () => "left",
    );
    await eventually(() => server.model.calls("slow").length > before);
    const early = await call(server, "in-model", { text: "x" }, withKey("k2"));
    expect([early.status, early.body.error.code]).toEqual([409, "idempotency_in_progress"]);
    expect(early.headers.get("retry-after")).toBe("1");
    abort.abort();
    await left;
    const count = () => server.row<{ n: number }>("select count(*)::int as n from idempotency_keys where key = 'k2'");
    await eventually(async () => (await count()).n === 0);
  });

  test("keeps refusals that a repeat would meet again, not failures", async () => {
    expect((await call(server, "refuses", { text: "x" }, withKey("k3"))).status).toBe(404);
    const again = await call(server, "refuses", { text: "x" }, withKey("k3"));
    expect([again.status, again.headers.get("idempotency-replayed")]).toEqual([404, "true"]);
    await call(server, "throws", { text: "x" }, withKey("k4"));
    const failed = await call(server, "throws", { text: "x" }, withKey("k4"));
    expect([failed.status, failed.headers.get("idempotency-replayed")]).toEqual([500, null]);
    expect(await server.row("select count(*)::int as n from jobs")).toEqual({ n: 0 });
  });

  test("of a call whose process died is taken over by the repeat, which joins the run", async () => {
    const before = server.model.calls("slow").length;
    server.model.script("slow", () => ({ steps: [{ text: "at last" }, { until: released.promise }] }));
    const released = later();
    const first = call(server, "in-model", { text: "x" }, withKey("k5"));
    await eventually(() => server.model.calls("slow").length > before);
    // The lease of a process that is gone: its worker row is no more.
    await server.row("update jobs set lease_owner = gen_random_uuid() where mode = 'sync'");
    const second = call(server, "in-model", { text: "x" }, withKey("k5"));
    await eventually(async () => (await server.row<{ a: number }>("select attempt as a from jobs")).a === 2);
    released.resolve();
    expect([(await first).body, (await second).body]).toEqual([{ said: "at last" }, { said: "at last" }]);
    expect(server.model.calls("slow")).toHaveLength(before + 1);
    expect((await call(server, "in-model", { text: "x" }, withKey("k5"))).headers.get("idempotency-replayed")).toBe(
      "true",
    );
    server.model.script("slow", () => ({ steps: [{ text: "so" }, "hang"] }));
  });
});

test("the API's description has the endpoints with their schemas", async () => {
  const { body } = await server.client().get("/openapi.json");
  const operation = body.paths["/endpoints/classify"].post;
  expect(operation.requestBody.content["application/json"].schema.properties.ticket.required).toEqual(["body", "tags"]);
  expect(operation.responses["200"].content["application/json"].schema.properties.category.enum).toEqual([
    "bug",
    "billing",
  ]);
  const ticket = body.paths["/endpoints/tickets/{id}"].get;
  expect(ticket.parameters.map(({ name }: { name: string }) => name)).toEqual(["id", "limit", "Idempotency-Key"]);
});

describe("a server that stops", () => {
  test("refuses the calls under way when it is alone, and leaves no run behind", async () => {
    const alone = await startTestServer({
      agents: { slow: { name: "Slow" } },
      endpoints: { "in-model": endpoints["in-model"] },
      onLog: () => {},
    });
    alone.model.script("slow", () => ({ steps: ["hang"] }));
    const refused = call(alone, "in-model", { text: "x" });
    await eventually(() => alone.model.calls("slow").length === 1);
    await alone.stopApp();
    expect((await refused).body.error).toMatchObject({ code: "unavailable", message: "the server is stopping" });
    const database = new pg.Client({ connectionString: alone.databaseUrl });
    await database.connect();
    expect((await database.query("select state from runs")).rows).toEqual([{ state: "canceled" }]);
    await database.end();
    await alone.stop();
  });

  test("lets them end when another one goes on with their runs", async () => {
    const other = await server.second();
    const before = server.model.calls("slow").length;
    server.model.script("slow", ({ index }) => (index === before ? { steps: ["hang"] } : say("went on")));
    const answer = call({ baseUrl: other.baseUrl, token: server.token }, "in-model", { text: "x" });
    await eventually(() => server.model.calls("slow").length > before);
    await other.stop();
    expect((await answer).body).toEqual({ said: "went on" });
  });
});
