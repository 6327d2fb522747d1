/** T6, C13, A5, A6: runs are started, waited for, listed, canceled and read. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, type ModelAnswer, say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, gate, logOf, message, open, seen, typesOf, withoutDeltas } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(({ lastUser }) => say(`You said ${lastUser}.`));
});
afterAll(() => target.stop());

const wait = (seconds: number) => ({ headers: { prefer: `wait=${seconds}` } });

describe("start and wait", () => {
  test("without Prefer the answer is 202 at once", async () => {
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }, { text: "late" }] }));
    const run = ok(await target.client.post(`${own.path}/runs`, { input: message("a") }), 202);
    expect(run).toMatchObject({ agent_id: own.id, agent_version: 1, ended_at: null });
    hold.open();
    expect(await ended(target.client, run)).toMatchObject({ state: "completed", result: { text: "late" } });
  });

  test("with Prefer: wait the answer is the ended run", async () => {
    const answer = await target.client.post(`${agent.path}/runs`, { input: message("hi") }, wait(60));
    expect(ok(answer)).toMatchObject({ state: "completed", result: { text: "You said hi." }, attempt: 1 });
    expect(ok(answer).usage).toMatchObject({ input_tokens: 7, output_tokens: 3 });
  });

  test("when the time is up the answer is 202 with the run as it is", async () => {
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }] }));
    const run = ok(await target.client.post(`${own.path}/runs`, { input: message("a") }, wait(1)), 202);
    expect(run.state).toBe("running");
    expect(ok(await target.client.get(`/runs/${run.id}`)).state).toBe("running");
    hold.open();
    await ended(target.client, run);
  });

  test("a run may go on in an existing thread of the agent, and only there", async () => {
    const { client } = target;
    const first = ok(await client.post(`${agent.path}/runs`, { input: message("one") }, wait(60)));
    const body = { input: message("two"), thread_id: first.thread_id };
    const second = ok(await client.post(`${agent.path}/runs`, body, wait(60)));
    expect(second).toMatchObject({ thread_id: first.thread_id, state: "completed" });
    const said = agent
      .calls()
      .at(-1)
      ?.messages.map(({ role, content }) => [role, content]);
    expect(said).toEqual([
      ["user", "one"],
      ["assistant", "You said one."],
      ["user", "two"],
    ]);
    const other = await target.agent(() => say("."));
    expect(refusal(await client.post(`${other.path}/runs`, body))).toBe("404 not_found");
  });

  test.each(["Wait=20", 'wait="20"', "wait = 20", "respond-async, wait=20", "return=minimal; wait=20"])(
    "Prefer: %s waits",
    async (prefer) => {
      const own = await target.agent(() => say("waited for"));
      const answer = await target.client.post(`${own.path}/runs`, { input: message("a") }, { headers: { prefer } });
      expect(ok(answer).state).toBe("completed");
    },
  );

  test.each(["wait", "wait=", "wait=soon", "wait=-1", "return=minimal"])("Prefer: %s is ignored", async (prefer) => {
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }] }));
    const run = ok(await target.client.post(`${own.path}/runs`, { input: message("a") }, { headers: { prefer } }), 202);
    hold.open();
    await ended(target.client, run);
  });
});

describe("read", () => {
  test("runs are listed newest first, in pages, by state, agent and thread", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(({ lastUser }) =>
      lastUser === "stay" ? { steps: [{ until: hold.opened }] } : say("done"),
    );
    const made: string[] = [];
    for (let i = 0; i < 3; i++) {
      const run = ok(await client.post(`${own.path}/runs`, { input: message(`${i}`) }, wait(60)));
      made.unshift(run.id);
    }
    const busy = await open(client, own, "stay");
    const list = async (query: Record<string, string | number>) => ok(await client.get("/runs", { query }));
    const ids = async (query: Record<string, string | number>) =>
      (await list(query)).data.map(({ id }: { id: string }) => id);
    expect(await ids({ agent_id: own.id })).toEqual([busy.run.id, ...made]);
    expect(await ids({ agent_id: own.slug, state: "completed" })).toEqual(made);
    expect(await ids({ agent_id: own.id, state: "running" })).toEqual([busy.run.id]);
    expect(await ids({ thread_id: busy.thread.id })).toEqual([busy.run.id]);
    expect(await ids({ thread_id: "nonsense" })).toEqual([]);
    expect(await ids({ agent_id: "nonsense" })).toEqual([]);
    const first = await list({ agent_id: own.id, limit: 2 });
    expect(await ids({ agent_id: own.id, limit: 2, cursor: first.next_cursor })).toEqual(made.slice(1));
    expect(first.data).toHaveLength(2);
    hold.open();
    await ended(client, busy.run);
    expect(await ids({ agent_id: own.id, state: "running" })).toEqual([]);
  });

  test("the transcript tells what the model was told and what it said", async () => {
    const { client } = target;
    const own = await target.agent(
      ({ index, toolResults }) =>
        index === 0
          ? { steps: [{ thinking: "files?" }, { tool: "list_files", input: {} }] }
          : say(`Found ${toolResults}`),
      {
        tools: [{ name: "list_files" }],
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the server's placeholder
        instructions: "You work for ${TENANT}. Mode ${MODE:-calm}. Write $${TENANT}.",
        variables: { TENANT: { schema: { type: "string" } }, MODE: { schema: { type: "string" } } },
      },
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a value that looks like a placeholder stays as it is
    const variables = { TENANT: "${MODE}" };
    const run = ok(await client.post(`${own.path}/runs`, { input: message("go"), variables }, wait(60)));
    const transcript = ok(await client.get(`/runs/${run.id}/transcript`));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: printed as it is
    const prompt = "You work for ${MODE}. Mode calm. Write ${TENANT}.";
    expect(transcript).toMatchObject({ run_id: run.id, prompt, variables });
    expect(own.calls()[0]?.messages[0]).toEqual({ role: "system", content: prompt });
    expect(transcript.input).toEqual([{ content: [{ type: "text", text: "go" }] }]);
    expect(transcript.steps).toMatchObject([
      {
        step: 0,
        thinking: "files?",
        finish_reason: "tool_calls",
        tool_calls: [{ tool: "list_files", state: "completed", output: [] }],
      },
      { step: 1, text: "Found []", finish_reason: "stop", tool_calls: [] },
    ]);
    expect(run.usage).toMatchObject({ input_tokens: 14, output_tokens: 6 });
  });

  test("the public log shows no tool input or output that the tool does not make public", async () => {
    const { client } = target;
    const own = await target.agent(
      ({ index }) => (index === 0 ? callTool("write_file", { name: "secret.txt", content: "hush" }) : say("done")),
      { tools: [{ name: "write_file" }] },
    );
    const { run, path } = await open(client, own, "go");
    await ended(client, run);
    const calls = (await logOf(client, path)).filter(({ type }) => type.startsWith("tool.call"));
    expect(JSON.stringify(calls)).not.toContain("hush");
    expect(calls.map(({ data }) => Object.keys(data))).toEqual([
      ["call_id", "tool"],
      ["call_id", "tool", "outcome", "duration_ms"],
    ]);
  });
});

describe("cancel", () => {
  test("a running run ends as canceled, its model call is given up, and nothing follows", async () => {
    const { client } = target;
    const own = await target.agent(() => ({ steps: [{ text: "on and on" }, "hang"] }));
    const { run, path } = await open(client, own, "go");
    await seen(client, path, "agent.message.delta");
    const canceled = ok(await client.post(`/runs/${run.id}/cancel`), 202);
    expect(canceled).toMatchObject({ state: "canceled", error: { code: "canceled" } });
    expect(canceled.result).toBeUndefined();
    await own.calls()[0]?.left;
    expect((await logOf(client, path)).at(-1)?.type).toBe("run.canceled");
    expect(ok(await client.get(path)).thread).toMatchObject({ state: "idle", active_run_id: null });
    expect(refusal(await client.post(`/runs/${run.id}/cancel`))).toBe("409 run_not_active");
  });

  test("a queued run ends without having begun, and the one before it goes on", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }, { text: "first" }] }));
    const { run, path } = await open(client, own, "one");
    const queued = ok(await client.post(`${path}/events`, message("two"))).events[0].run;
    expect(queued.state).toBe("queued");
    expect(ok(await client.post(`/runs/${queued.id}/cancel`), 202)).toMatchObject({
      state: "canceled",
      started_at: null,
    });
    hold.open();
    expect((await ended(client, run)).state).toBe("completed");
    expect(own.calls()).toHaveLength(1);
  });

  test("a client that waits and leaves does not cancel", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ text: "still " }, { until: hold.opened }, { text: "here" }] }));
    const ref = unique("ref");
    const { run, path } = await open(client, own, "go", { client_external_ref: ref });
    await seen(client, path, "agent.message.delta");
    const abort = new AbortController();
    const waiting = client.get(`/runs/${run.id}`, { ...wait(60), signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toThrow();
    hold.open();
    expect((await ended(client, run)).result.text).toBe("still here");
  });
});

describe("failure", () => {
  test.each([
    ["refuses", { status: 400 }, "model_rejected", false],
    ["refuses the key", { status: 401 }, "model_unauthorized", false],
    ["sends what is no chunk", { steps: [{ raw: "data: {{{\n\n" }] }, "model_bad_response", true],
    ["withholds the answer", { steps: [], finish: "content_filter" }, "model_content_filtered", false],
  ] as Array<[string, ModelAnswer, string, boolean]>)(
    "a model that %s fails the run",
    async (_what, answer, code, retryable) => {
      const own = await target.agent(() => answer);
      const { client } = target;
      const { run, path } = await open(client, own, "go");
      const failed = await ended(client, run);
      expect(failed).toMatchObject({ state: "failed", error: { code, retryable } });
      expect(failed.result).toBeUndefined();
      const log = await logOf(client, path);
      expect(log.at(-1)).toMatchObject({ type: "run.failed", data: { error: { code } } });
      expect(ok(await client.get(path)).thread.state).toBe("idle");
      own.script(() => say("recovered"));
      const next = ok(await client.post(`${path}/events`, message("again"))).events[0].run;
      expect(await ended(client, next)).toMatchObject({ state: "completed", result: { text: "recovered" } });
    },
  );

  test("a model that breaks off is asked again, and what it had said is superseded", async () => {
    const { client } = target;
    const own = await target.agent(({ index }) =>
      index === 0 ? { steps: [{ text: "half a" }, "cut"] } : say("the whole answer"),
    );
    const { run, path } = await open(client, own, "go");
    expect((await ended(client, run)).result.text).toBe("the whole answer");
    const log = await logOf(client, path);
    const dropped = log.find(({ type }) => type === "agent.message.delta")?.data as { message_id: string };
    expect(log.find(({ type }) => type === "run.resumed")?.data).toMatchObject({
      reason: "model_retry",
      superseded_message_ids: [dropped.message_id],
    });
    expect(log.filter(({ type }) => type === "agent.message")).toHaveLength(1);
  });

  test("a model that is busy is asked again when it said so", async () => {
    const own = await target.agent(({ index }) =>
      index === 0 ? { status: 429, headers: { "retry-after": "0" } } : say("now"),
    );
    const { run } = await open(target.client, own, "go");
    expect((await ended(target.client, run)).result.text).toBe("now");
    expect(own.calls()).toHaveLength(2);
  });

  test("limits end a run: steps, tokens, time", async () => {
    const { client } = target;
    const cases: Array<[Record<string, number>, string]> = [
      [{ max_steps: 2 }, "step_limit"],
      [{ max_tokens: 15 }, "token_limit"],
    ];
    for (const [limits, code] of cases) {
      const own = await target.agent(() => callTool("list_files"), { tools: [{ name: "list_files" }], limits });
      const { run } = await open(client, own, "go");
      expect(await ended(client, run)).toMatchObject({ state: "failed", error: { code } });
      expect(own.calls()).toHaveLength(2);
    }
    const slow = await target.agent(() => ({ steps: ["hang"] }), { limits: { timeout_ms: 1000 } });
    const { run } = await open(client, slow, "go");
    expect(await ended(client, run)).toMatchObject({ state: "failed", error: { code: "timeout" } });
    await slow.calls()[0]?.left;
  });

  test("a model that calls tools it does not have is told, and stopped when it does not learn", async () => {
    const { client } = target;
    const learns = await target.agent(({ index, toolResults }) =>
      index === 0 ? callTool("rm_rf", {}) : say(`It said: ${toolResults[0]}`),
    );
    const { run, path } = await open(client, learns, "go");
    expect((await ended(client, run)).result.text).toMatch(/no tool rm_rf/);
    expect(typesOf(withoutDeltas(await logOf(client, path)))).toContain("tool.call.completed");
    const never = await target.agent(() => callTool("rm_rf", {}));
    const second = await open(client, never, "go");
    expect((await ended(client, second.run)).error.code).toBe("tool_loop");
  });

  test("arguments that are no JSON or do not fit reach no tool", async () => {
    const own = await target.agent(
      ({ index, toolResults }) => {
        if (index === 0) return callTool("write_file", '{"name": "a');
        if (index === 1) return callTool("write_file", { name: 7 });
        return say(String(toolResults[0]));
      },
      { tools: [{ name: "write_file" }] },
    );
    const { run, path } = await open(target.client, own, "go");
    expect((await ended(target.client, run)).result.text).toMatch(/invalid arguments/);
    expect(ok(await target.client.get(`${path}/files`)).data).toEqual([]);
  });
});

describe("output schema", () => {
  const output_schema = {
    type: "object",
    properties: { city: { type: "string" }, degrees: { type: "number" } },
    required: ["city", "degrees"],
    additionalProperties: false,
  };

  test("on completed the output conforms; a malformed answer is sent back with the error", async () => {
    const own = await target.agent(
      ({ index }) =>
        say(index === 0 ? "It is warm." : index === 1 ? '{"city":"Bern"}' : '{"city":"Bern","degrees":21}'),
      { output_schema },
    );
    const { run } = await open(target.client, own, "go");
    expect((await ended(target.client, run)).result.output).toEqual({ city: "Bern", degrees: 21 });
    expect(own.calls()[2]?.lastUser).toContain("degrees");
  });

  test("after two corrections the run fails", async () => {
    const own = await target.agent(() => say("no"), { output_schema });
    const { run } = await open(target.client, own, "go");
    const failed = await ended(target.client, run);
    expect(failed).toMatchObject({ state: "failed", error: { code: "output_invalid" } });
    expect(failed.result).toBeUndefined();
    expect(own.calls()).toHaveLength(3);
  });
});

describe("raw runs", () => {
  test("are off until the organization allows them, and asks for their scope", async () => {
    const { client } = target;
    const body = {
      input: message("hello"),
      config: { instructions: "Be brief.", model: { connection: target.connection, id: unique("raw") } },
    };
    const { raw_runs: before } = ok(await client.get("/organization"));
    ok(await client.patch("/organization", { raw_runs: false }));
    expect(refusal(await client.post("/runs", body))).toBe("403 forbidden");
    ok(await client.patch("/organization", { raw_runs: true }));
    const run = ok(await client.post("/runs", body, wait(60)));
    expect(run).toMatchObject({ agent_id: null, agent_version: null, trigger: "raw", state: "completed" });
    expect(run.result.text).toBe("You said: hello");
    expect(ok(await client.get(`/threads/${run.thread_id}`)).thread.agent_id).toBeNull();
    const next = ok(await client.post(`/threads/${run.thread_id}/events`, message("and again"))).events[0].run;
    expect((await ended(client, next)).result.text).toBe("You said: and again");
    const bad = { ...body, config: { ...body.config, tools: [{ name: "no_such_tool" }] } };
    expect(refusal(await client.post("/runs", bad))).toBe("422 draft_invalid");
    const scoped = ok(
      await client.post("/tokens", { label: "no raw", scopes: ["threads:write", "threads:read"] }),
      201,
    );
    expect(refusal(await client.as(scoped.secret).post("/runs", body))).toBe("403 insufficient_scope");
    ok(await client.patch("/organization", { raw_runs: before }));
  });
});
