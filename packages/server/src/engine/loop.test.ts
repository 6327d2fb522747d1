import { setTimeout as sleep } from "node:timers/promises";
import type { Event, EventData, EventType } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Amount } from "../budgets/index.ts";
import { ModelError } from "../models/index.ts";
import type { Claim } from "../runs/index.ts";
import { callsOf, readTranscript } from "../runs/index.ts";
import {
  calls,
  createEngineWorld,
  type EngineWorld,
  fails,
  hangs,
  ScriptedModel,
  says,
  seat,
  testTool,
} from "./fixture.ts";
import { Loop } from "./loop.ts";
import { RunFailure } from "./stop.ts";

let world: EngineWorld;
beforeAll(async () => {
  world = await createEngineWorld();
});
afterAll(() => world.end());

const typesOf = (events: readonly Event[]) => events.map(({ type }) => type);
function dataOf<T extends EventType>(events: readonly Event[], type: T): Array<EventData<T>> {
  return events.filter((event) => event.type === type).map(({ data }) => data as EventData<T>);
}
const without = (events: readonly Event[], ...types: EventType[]) =>
  typesOf(events).filter((type) => !types.includes(type));
/** A promise and how to keep it. */
function gate() {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe("an answer", () => {
  test("is told as it comes, and whole at the end", async () => {
    const model = new ScriptedModel(says(["Hel", "lo, ", "you."], { thinking: "Who is it?" }));
    const claim = await world.begin("Hi");
    expect(await world.work(claim, world.services(model))).toEqual({ kind: "ended", next: false });
    const events = await world.eventsOf(claim);
    expect(without(events, "agent.message.delta", "agent.thinking.delta")).toEqual([
      "user.message",
      "run.queued",
      "run.started",
      "agent.thinking",
      "agent.message",
      "usage.updated",
      "run.completed",
    ]);
    const message_id = dataOf(events, "agent.message")[0]?.message_id;
    expect(dataOf(events, "agent.message")).toEqual([{ message_id, text: "Hello, you.", finish_reason: "stop" }]);
    expect(dataOf(events, "agent.thinking")).toEqual([{ message_id, text: "Who is it?" }]);
    const usage = { input_tokens: 10, output_tokens: 5, cost_micros: 20 };
    expect(dataOf(events, "usage.updated")).toEqual([{ step: 0, model: "test-model", usage }]);
    expect(dataOf(events, "run.completed")).toEqual([{ result: { text: "Hello, you." }, usage }]);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({
      state: "completed",
      result: { text: "Hello, you." },
      input_tokens: 10,
    });
    expect(model.requests).toMatchObject([
      { system: "Be brief.", messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }], tools: [] },
    ]);
  });

  test("that holds what cannot be stored is stored without it", async () => {
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(says("a\u0000b\ud800c and \\u0000"))));
    expect(dataOf(await world.eventsOf(claim), "agent.message")[0]?.text).toBe("a\ufffdb\ufffdc and \\u0000");
  });

  test("reads the runs before it, and the next one reads it", async () => {
    const model = new ScriptedModel(says("One."), says("Two."));
    const claim = await world.begin("first");
    await world.runs.send(claim.key.threadId, world.runs.message("second"));
    expect(await world.work(claim, world.services(model))).toEqual({ kind: "ended", next: true });
    const [next] = await world.runs.claimOf(claim.key.threadId);
    expect(await world.work(next as Claim, world.services(model))).toEqual({ kind: "ended", next: false });
    expect(model.requests[1]?.messages).toMatchObject([
      { role: "user", content: [{ text: "first" }] },
      { role: "assistant", content: [{ type: "text", text: "One." }], provider: "scripted" },
      { role: "user", content: [{ text: "second" }] },
    ]);
  });
});

describe("tools", () => {
  test("are called side by side, and their results told to the model in the order it asked", async () => {
    const first = gate();
    const second = gate();
    const slow = testTool(async () => {
      first.open();
      await second.opened;
      return { which: "slow" };
    });
    const quick = testTool(async () => {
      await first.opened;
      second.open();
      return "quick";
    });
    const model = new ScriptedModel(calls(["slow", { n: 1 }], ["quick", { n: 2 }]), says("Done."));
    const claim = await world.begin();
    await world.work(claim, world.services(model, {}, { slow, quick }));
    expect(model.requests[1]?.messages.slice(1)).toMatchObject([
      { role: "assistant", content: [{ type: "tool_call", tool: "slow", input: { n: 1 } }, { tool: "quick" }] },
      {
        role: "tool",
        results: [
          { callId: "model_call_0", tool: "slow", isError: false, text: '{"which":"slow"}' },
          { callId: "model_call_1", tool: "quick", isError: false, text: "quick" },
        ],
      },
    ]);
    const events = await world.eventsOf(claim);
    expect(typesOf(events).filter((type) => type.startsWith("tool."))).toEqual([
      "tool.call.started",
      "tool.call.started",
      "tool.call.completed",
      "tool.call.completed",
    ]);
    expect(dataOf(events, "tool.call.completed").map(({ outcome }) => outcome)).toEqual(["ok", "ok"]);
    const transcript = await readTranscript(
      world.runs.database,
      world.runs.keys,
      await world.runs.runOf(claim.key.runId),
    );
    expect(transcript.steps.map((step) => step.tool_calls.map(({ state, output }) => [state, output]))).toEqual([
      [
        ["completed", { which: "slow" }],
        ["completed", "quick"],
      ],
      [],
    ]);
  });

  test("show the log only what they make public", async () => {
    const shown = testTool(() => ({ out: 1 }), { public: { input: true, output: true } });
    const hidden = testTool(() => ({ out: 1 }));
    const claim = await world.begin();
    const model = new ScriptedModel(calls(["shown", { in: 1 }], ["hidden", { in: 1 }]), says("Done."));
    await world.work(claim, world.services(model, {}, { shown, hidden }));
    const events = await world.eventsOf(claim);
    expect(dataOf(events, "tool.call.started").map(({ tool, input }) => [tool, input])).toEqual([
      ["shown", { in: 1 }],
      ["hidden", undefined],
    ]);
    const outputs = new Map(dataOf(events, "tool.call.completed").map(({ tool, output }) => [tool, output]));
    expect(outputs.get("shown")).toEqual({ out: 1 });
    expect(outputs.get("hidden")).toBeUndefined();
  });

  test("are given who asks, where, and a way to show progress", async () => {
    const seen: unknown[] = [];
    const look = testTool((_, { caller, thread, run, callId, relayStatus }) => {
      relayStatus("half way", { progress: 0.5 });
      seen.push(caller, thread.id, run.id, callId);
      return null;
    });
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(calls(["look", {}]), says("Done.")), {}, { look }));
    const events = await world.eventsOf(claim);
    const { organizationId, userId } = world.runs.caller;
    const caller = { organizationId, kind: "user", userId, serviceId: null, email: "olga@example.com", groups: [] };
    const callId = dataOf(events, "tool.call.started")[0]?.call_id;
    expect(seen).toEqual([caller, claim.key.threadId, claim.key.runId, callId]);
    expect(dataOf(events, "status.relayed")).toEqual([{ text: "half way", progress: 0.5 }]);
    expect(typesOf(events).indexOf("status.relayed")).toBeLessThan(typesOf(events).indexOf("tool.call.completed"));
  });

  test("write artifacts into the thread, once for a call and a name", async () => {
    const save = testTool(async (_, { files }) => {
      const one = await files.write({ name: "a.txt", mediaType: "text/plain", bytes: "one" });
      const again = await files.write({ name: "a.txt", mediaType: "text/plain", bytes: "two" });
      const { bytes } = await files.read(one.id);
      return { same: one.id === again.id, text: new TextDecoder().decode(bytes), all: (await files.list()).length };
    });
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(calls(["save", {}]), says("Done.")), {}, { save }));
    const [call] = await callsOf(world.runs.database, claim.key.organization, [claim.key.run]);
    expect(call?.output).toEqual({ same: true, text: "one", all: 1 });
    expect(dataOf(await world.eventsOf(claim), "file.added")).toMatchObject([
      { file: { name: "a.txt", kind: "artifact", size_bytes: 3, run_id: claim.key.runId } },
    ]);
  });

  test("that throw, and answers that do not fit, are told to the model", async () => {
    const broken = testTool(() => {
      throw new Error("no such ticket");
    });
    const model = new ScriptedModel(calls(["broken", {}]), says("Sorry."));
    const claim = await world.begin();
    await world.work(claim, world.services(model, {}, { broken }));
    expect(model.requests[1]?.messages.at(-1)).toMatchObject({
      results: [{ isError: true, text: "The tool failed: no such ticket" }],
    });
    expect(dataOf(await world.eventsOf(claim), "tool.call.completed")).toMatchObject([
      { outcome: "error", reason: "no such ticket" },
    ]);
  });

  test("that do not exist or get wrong arguments are refused, and the model may try again", async () => {
    const add = testTool(() => 3, { input: z.object({ a: z.number() }) });
    const model = new ScriptedModel(
      calls(["nothing", {}], ["add", { a: "x" }], ["add", { text: "{not json" }]),
      calls(["add", { a: 1 }]),
      says("3"),
    );
    const claim = await world.begin();
    await world.work(claim, world.services(model, {}, { add }));
    const results = model.requests[1]?.messages.at(-1);
    expect(results).toMatchObject({
      results: [
        { isError: true, text: "The call was refused: there is no tool nothing" },
        { isError: true, text: expect.stringMatching(/^The call was refused: invalid arguments: a: /) },
        { isError: true, text: expect.stringMatching(/^The call was refused: invalid arguments: /) },
      ],
    });
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "completed", result: { text: "3" } });
    await world.eventsOf(claim);
  });

  test("a model that calls nothing useful three times in a row ends the run", async () => {
    const useless = calls(["nothing", {}]);
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(useless, useless, useless)));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "failed", error: { code: "tool_loop" } });
    await world.eventsOf(claim);
  });

  test("at most 32 are called in one step", async () => {
    let called = 0;
    const count = testTool(() => ++called);
    const many = Array.from({ length: 34 }, (): ["count", object] => ["count", {}]);
    const claim = await world.begin();
    await world.work(
      claim,
      world.services(new ScriptedModel(calls(...(many as never[])), says("Done.")), {}, { count }),
    );
    expect(called).toBe(32);
    const outcomes = dataOf(await world.eventsOf(claim), "tool.call.completed").map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === "error")).toHaveLength(2);
  });

  test("of the agent's version that are not on this server end the run", async () => {
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(), { tools: [{ name: "gone", approval: "never" }] }));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "failed", error: { code: "tool_missing" } });
  });

  test("with deeply nested answers do not hurt the server", async () => {
    let deep: unknown = 1;
    for (let i = 0; i < 6000; i++) deep = [deep];
    const claim = await world.begin();
    const model = new ScriptedModel(calls(["nest", {}]), says("Done."));
    await world.work(claim, world.services(model, {}, { nest: testTool(() => deep) }));
    expect(["completed", "failed"]).toContain((await world.runs.runOf(claim.key.runId)).state);
    world.logged.length = 0;
  });
});

describe("a tool that needs a person's word", () => {
  let asked = 0;
  const refund = testTool(() => `refunded ${++asked}`, { effect: "once", approval: "always" });

  async function wait(more: Parameters<EngineWorld["services"]>[1] = {}, also = false) {
    asked = 0;
    const look = testTool(() => "looked");
    const model = new ScriptedModel(
      calls(["refund", { n: 1 }], ...(also ? [["look", {}] as never] : [])),
      says("Done."),
    );
    model.byConversation = true;
    const services = world.services(model, more, { refund, look });
    const claim = await world.begin();
    expect(await world.work(claim, services)).toEqual({ kind: "ended", next: false });
    const events = await world.eventsOf(claim);
    const [request] = dataOf(events, "permission.requested");
    if (request === undefined) throw new Error("nobody was asked");
    return { model, services, claim, events, request };
  }
  async function decide(
    { claim, services, request }: Awaited<ReturnType<typeof wait>>,
    decision: "allow_once" | "allow_for_thread" | "deny",
    message?: string,
  ) {
    const { threadId } = claim.key;
    const said = message === undefined ? {} : { message };
    const { permission_id } = request;
    await world.runs.send(threadId, { type: "permission.decision", permission_id, decision, ...said });
    const [next] = await world.runs.claimOf(threadId);
    await world.work(next as Claim, services);
    return world.eventsOf(claim);
  }

  test("is not called before, and the run waits without a lease", async () => {
    const { claim, events, request } = await wait();
    expect(asked).toBe(0);
    expect(typesOf(events).slice(-2)).toEqual(["permission.requested", "run.waiting"]);
    expect(request).toMatchObject({ tool: "refund", input: { n: 1 } });
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({
      state: "waiting",
      lease_owner: null,
      waiting_for: [{ kind: "permission", id: request.permission_id }],
    });
  });

  test("is called once after a yes", async () => {
    const waiting = await wait();
    const events = await decide(waiting, "allow_once");
    expect(asked).toBe(1);
    expect(
      typesOf(events)
        .slice(-9)
        .filter((type) => type !== "agent.message.delta"),
    ).toEqual(
      expect.arrayContaining([
        "permission.decided",
        "run.resumed",
        "tool.call.started",
        "tool.call.completed",
        "run.completed",
      ]),
    );
    expect(dataOf(events, "tool.call.completed")).toMatchObject([{ call_id: waiting.request.call_id, outcome: "ok" }]);
    expect(waiting.model.requests.at(-1)?.messages.at(-1)).toMatchObject({ results: [{ text: "refunded 1" }] });
  });

  test("is not called after a no, and the model reads why", async () => {
    const waiting = await wait();
    const events = await decide(waiting, "deny", "ask finance first");
    expect(asked).toBe(0);
    expect(dataOf(events, "tool.call.completed")).toMatchObject([{ outcome: "denied" }]);
    expect(waiting.model.requests.at(-1)?.messages.at(-1)).toMatchObject({
      results: [{ isError: true, text: "The person did not allow this call. They said: ask finance first" }],
    });
  });

  test("is not asked about again in a thread that allowed it", async () => {
    const waiting = await wait();
    await decide(waiting, "allow_for_thread");
    const { threadId } = waiting.claim.key;
    await world.runs.send(threadId, world.runs.message("again"));
    const model = new ScriptedModel(calls(["refund", { n: 2 }]), says("Done."));
    await world.work(world.runs.host.last(), { ...waiting.services, targets: world.services(model).targets });
    expect(asked).toBe(2);
    expect(dataOf(await world.runs.logOf(threadId), "permission.requested")).toHaveLength(1);
  });

  test("is asked about when the other calls of the step have ended", async () => {
    const waiting = await wait({}, true);
    const types = typesOf(waiting.events);
    expect(types.indexOf("permission.requested")).toBeGreaterThan(types.indexOf("tool.call.completed"));
    const events = await decide(waiting, "allow_once");
    expect(asked).toBe(1);
    expect(dataOf(events, "tool.call.started").map(({ tool }) => tool)).toEqual(["look", "refund"]);
    expect(waiting.model.requests.at(-1)?.messages.at(-1)).toMatchObject({
      results: [{ text: "refunded 1" }, { text: "looked" }],
    });
  });

  test("may be one whose agent asks for more than the tool does", async () => {
    const tools = [{ name: "look", approval: "always" as const }];
    const model = new ScriptedModel(calls(["look", {}]));
    const claim = await world.begin();
    await world.work(claim, world.services(model, { tools }, { look: testTool(() => "looked") }));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "waiting" });
  });
});

describe("messages that join a run", () => {
  test("are read before its next step", async () => {
    const threadOf = (claim: Claim) => claim.key.threadId;
    let claim: Claim | undefined;
    const look = testTool(async () => {
      await world.runs.send(threadOf(claim as Claim), world.runs.message("in blue, please", "steer"));
      return "looked";
    });
    const model = new ScriptedModel(calls(["look", {}]), says("Blue it is."));
    claim = await world.begin();
    await world.work(claim, world.services(model, {}, { look }));
    expect(model.requests[1]?.messages.slice(-2)).toMatchObject([
      { role: "tool" },
      { role: "user", content: [{ text: "in blue, please" }] },
    ]);
    const transcript = await readTranscript(
      world.runs.database,
      world.runs.keys,
      await world.runs.runOf(claim.key.runId),
    );
    expect(transcript.steps[1]?.joined).toEqual([{ content: [{ type: "text", text: "in blue, please" }] }]);
    await world.eventsOf(claim);
  });

  test("while it gives its last answer make it go on with them", async () => {
    let claim: Claim | undefined;
    const model = new ScriptedModel(async (request, options) => {
      await world.runs.send((claim as Claim).key.threadId, world.runs.message("wait, also red", "steer"));
      return says("First answer.")(request, options);
    }, says("And red."));
    claim = await world.begin();
    await world.work(claim, world.services(model));
    expect(model.requests[1]?.messages.slice(-2)).toMatchObject([
      { role: "assistant", content: [{ text: "First answer." }] },
      { role: "user", content: [{ text: "wait, also red" }] },
    ]);
    const events = await world.eventsOf(claim);
    expect(dataOf(events, "agent.message").map(({ text }) => text)).toEqual(["First answer.", "And red."]);
    expect(dataOf(events, "run.completed")).toMatchObject([{ result: { text: "And red." } }]);
  });

  test("to the run before do not hold up the next one", async () => {
    let claim: Claim | undefined;
    const model = new ScriptedModel(
      async (request, options) => {
        const { threadId } = (claim as Claim).key;
        await world.runs.send(threadId, world.runs.message("also red", "steer"), world.runs.message("next"));
        return says("First.")(request, options);
      },
      says("Red."),
      says("Next."),
    );
    claim = await world.begin();
    await world.work(claim, world.services(model));
    const [next] = await world.runs.claimOf(claim.key.threadId);
    await world.work(next as Claim, world.services(model));
    expect(model.requests).toHaveLength(3);
    expect(await world.runs.runOf((next as Claim).key.runId)).toMatchObject({
      state: "completed",
      result: { text: "Next." },
    });
  });
});

describe("an answer that must fit a schema", () => {
  const output_schema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };

  test("is the run's output", async () => {
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(says('{"n":7}')), { output_schema }));
    expect((await world.runs.runOf(claim.key.runId)).result).toEqual({ text: '{"n":7}', output: { n: 7 } });
  });

  test("is sent back with what is wrong, at most twice", async () => {
    const model = new ScriptedModel(says("seven"), says('{"n":"7"}'), says('{"n":7}'));
    const claim = await world.begin();
    await world.work(claim, world.services(model, { output_schema }));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "completed", result: { output: { n: 7 } } });
    expect(model.requests[2]?.messages.slice(-2)).toMatchObject([
      { role: "assistant", content: [{ text: '{"n":"7"}' }] },
      { role: "user", content: [{ text: expect.stringMatching(/does not fit the required JSON schema: .*n/) }] },
    ]);
  });

  test("that does not fit the third time fails the run", async () => {
    const model = new ScriptedModel(says("a"), says("b"), says("c"), says('{"n":7}'));
    const claim = await world.begin();
    await world.work(claim, world.services(model, { output_schema }));
    expect(model.requests).toHaveLength(3);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({
      state: "failed",
      error: { code: "output_invalid", retryable: true },
      result: null,
      output_tokens: 15,
    });
    expect(dataOf(await world.eventsOf(claim), "agent.message")).toHaveLength(3);
  });
});

describe("limits", () => {
  const look = testTool(() => "looked");
  const again = () => calls(["look", {}]);

  async function failure(limits: object, model = new ScriptedModel(again(), again(), again(), says("Done."))) {
    const claim = await world.begin();
    await world.work(claim, world.services(model, { limits }, { look }));
    await world.eventsOf(claim);
    const row = await world.runs.runOf(claim.key.runId);
    return { calls: model.requests.length, code: row.error?.code ?? row.state };
  }

  test("of steps, tokens and cost are looked at before each model call", async () => {
    expect(await failure({ max_steps: 2 })).toEqual({ calls: 2, code: "step_limit" });
    expect(await failure({ max_tokens: 30 })).toEqual({ calls: 2, code: "token_limit" });
    expect(await failure({ max_cost_micros: 39 })).toEqual({ calls: 2, code: "cost_limit" });
    expect(await failure({ max_steps: 4, max_tokens: 60, max_cost_micros: 80 })).toEqual({
      calls: 4,
      code: "completed",
    });
  });

  test("of one answer go to the model", async () => {
    const model = new ScriptedModel(says("Done."));
    await failure({ max_output_tokens: 77 }, model);
    expect(model.requests[0]?.maxOutputTokens).toBe(77);
  });

  test("of time end a silent model", async () => {
    const timedOut = { code: "timeout", calls: 1 };
    expect(await failure({ timeout_ms: 3000 }, new ScriptedModel(hangs("Well")))).toEqual(timedOut);
  });

  test("of time end a tool that hangs, and say that its outcome is not known", async () => {
    const claim = await world.begin();
    const hang = testTool(() => new Promise(() => {}));
    const ask = testTool(() => "never", { approval: "always" });
    const model = new ScriptedModel(calls(["hang", {}], ["ask", {}]));
    await world.work(claim, world.services(model, { limits: { timeout_ms: 4000 } }, { hang, ask }));
    const events = await world.eventsOf(claim);
    expect(typesOf(events).slice(-2)).toEqual(["tool.call.completed", "run.failed"]);
    expect(dataOf(events, "tool.call.completed")).toMatchObject([{ tool: "hang", outcome: "unknown" }]);
    expect(dataOf(events, "run.failed")).toMatchObject([{ error: { code: "timeout", retryable: true } }]);
    const ledger = await callsOf(world.runs.database, claim.key.organization, [claim.key.run]);
    expect(ledger.map(({ state }) => state)).toEqual(["unknown", "denied"]);
  });
});

describe("what goes wrong with the model", () => {
  test.each([
    ["model_rejected", new ModelError("model_rejected", "refused"), "refused"],
    ["model_content_filtered", new ModelError("model_content_filtered", "withheld"), "withheld"],
    ["model_output_too_large", new ModelError("model_output_too_large", "too large"), "too large"],
    ["internal", new TypeError("x is not a function: sk-secret"), "The server failed; the run id finds it in the log."],
  ])("is the run's error: %s", async (code, error, message) => {
    world.logged.length = 0;
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(fails(error, "Well"))));
    expect((await world.runs.runOf(claim.key.runId)).error).toMatchObject({ code, message });
    expect(dataOf(await world.eventsOf(claim), "run.failed")).toHaveLength(1);
    expect(world.logged).toHaveLength(code === "internal" ? 1 : 0);
  });

  test("a withheld answer is not an answer", async () => {
    const claim = await world.begin();
    await world.work(claim, world.services(new ScriptedModel(says("", { finishReason: "content_filter" }))));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ error: { code: "model_content_filtered" } });
  });

  test("a missing connection is the run's error", async () => {
    const claim = await world.begin();
    const targets = () => Promise.reject(new RunFailure("model_connection_missing", "it does not exist"));
    await world.work(claim, world.services(new ScriptedModel(), {}, {}, { targets }));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ error: { code: "model_connection_missing" } });
  });

  test("an answer that breaks off is taken back and asked for again", async () => {
    const cut = new ModelError("model_stream_cut", "cut", { retryable: true, retryAfterMs: 0 });
    const started: ScriptedModel = new ScriptedModel(async (_, { onPart }) => {
      onPart({ type: "text", text: "Half an ans" });
      await sleep(20); // long enough to be shown
      throw cut;
    }, says("A whole answer."));
    const claim = await world.begin();
    await world.work(claim, world.services(started));
    const events = await world.eventsOf(claim);
    const [first] = dataOf(events, "agent.message.delta");
    expect(dataOf(events, "run.resumed")).toEqual([
      { attempt: 1, reason: "model_retry", superseded_message_ids: [first?.message_id] },
    ]);
    expect(dataOf(events, "agent.message")).toMatchObject([{ text: "A whole answer." }]);
  });

  test("the next connection is asked when the first one cannot answer", async () => {
    const bad = new ScriptedModel(fails(new ModelError("model_unauthorized", "wrong key")));
    const good = new ScriptedModel(says("Here."));
    const targets = async () => [
      { model: bad, modelId: "big", label: "first" },
      { model: good, modelId: "small", label: "second" },
    ];
    const claim = await world.begin();
    await world.work(claim, world.services(bad, {}, {}, { targets }));
    expect(dataOf(await world.eventsOf(claim), "usage.updated")).toMatchObject([{ model: "small" }]);
  });
});

describe("a model call that comes to no end is counted in budgets", () => {
  /** What was settled, for a model that costs what `createEngineWorld` says: a token in 1, out 2. */
  async function settled(model: ScriptedModel, until?: (loop: Loop) => Promise<void>) {
    const amounts: Amount[] = [];
    const settle = async (used: Amount) => void amounts.push(used);
    const budgets = { hold: async () => ({ index: 0, settle }), permit: async () => {}, recover: async () => {} };
    const claim = await world.begin();
    const loop = new Loop(world.services(model, {}, {}, { budgets }), claim, seat());
    const working = loop.work();
    await until?.(loop);
    await working;
    return amounts;
  }
  const cut = new ModelError("model_stream_cut", "cut", { retryable: true, retryAfterMs: 0 });
  const answer = "x".repeat(400);

  test("with its input and what had come, when it is canceled in the middle", async () => {
    const spoke = gate();
    const model = new ScriptedModel((request, options) => {
      spoke.open();
      return hangs(answer)(request, options);
    });
    const [used, ...others] = await settled(model, async (loop) => {
      await spoke.opened;
      loop.lose();
    });
    expect(others).toEqual([]);
    const input = (used as Amount).tokens - 100;
    expect(input).toBeGreaterThan(0);
    expect(used?.micros).toBe(input + 2 * 100);
  });

  test("beside the one that is made in its place", async () => {
    const [whole] = await settled(new ScriptedModel(says("Well.")));
    const [both] = await settled(new ScriptedModel(fails(cut, answer), says("Well.")));
    expect((both as Amount).tokens - (whole as Amount).tokens).toBeGreaterThan(100);
    expect((both as Amount).micros - (whole as Amount).micros).toBeGreaterThan(200);
  });

  test("and is bounded to the room there was, where its model can say more", async () => {
    const model = Object.assign(new ScriptedModel(says("Well.")), { provider: "openai" });
    const targets = async () => [{ model, modelId: "gpt-5", label: "scripted" }];
    const budgets = {
      hold: async () => ({ index: 1, settle: async () => {} }),
      permit: async () => {},
      recover: async () => {},
    };
    await new Loop(world.services(model, {}, {}, { budgets, targets }), await world.begin(), seat()).work();
    expect(model.requests.map(({ maxOutputTokens }) => maxOutputTokens)).toEqual([8192]);
  });

  test("and not when it was refused before it began", async () => {
    const refused = new ModelError("model_unauthorized", "wrong key");
    expect(await settled(new ScriptedModel(fails(refused)))).toEqual([{ micros: 0, tokens: 0 }]);
  });
});

describe("a run that is taken away", () => {
  test("stops at once when it is canceled, and writes nothing more", async () => {
    const spoke = gate();
    const model = new ScriptedModel((request, options) => {
      spoke.open();
      return hangs("Well")(request, options);
    });
    const claim = await world.begin();
    const loop = new Loop(world.services(model), claim, seat());
    const working = loop.work();
    await spoke.opened;
    await world.runs.cancel(claim.key.threadId, claim.key.runId);
    loop.lose();
    expect(await working).toEqual({ kind: "left" });
    const events = await world.eventsOf(claim);
    expect(events.at(-1)?.type).toBe("run.canceled");
  });

  test("notices by itself when it wants to write", async () => {
    let claim: Claim | undefined;
    const model = new ScriptedModel(async (request, options) => {
      await world.runs.cancel((claim as Claim).key.threadId, (claim as Claim).key.runId);
      return says("too late")(request, options);
    });
    claim = await world.begin();
    expect(await world.work(claim, world.services(model))).toEqual({ kind: "left" });
    expect((await world.eventsOf(claim)).at(-1)?.type).toBe("run.canceled");
  });
});

describe("a process that ends", () => {
  test("gives its run back, and another one goes on", async () => {
    const spoke = gate();
    const model = new ScriptedModel((request, options) => {
      spoke.open();
      return hangs("Well, ")(request, options);
    }, says("Done."));
    const claim = await world.begin();
    const loop = new Loop(world.services(model), claim, seat());
    const working = loop.work();
    await spoke.opened;
    await sleep(10);
    loop.handOver();
    expect(await working).toMatchObject({ kind: "ended" });
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "queued", crashes: 0 });
    const [next] = await world.runs.claimOf(claim.key.threadId);
    await world.work(next as Claim, world.services(model));
    const events = await world.eventsOf(claim);
    expect(dataOf(events, "run.resumed")).toMatchObject([{ reason: "handed_over" }]);
    expect(events.at(-1)?.type).toBe("run.completed");
  });

  test("lets a call finish that nobody could repeat", async () => {
    const started = gate();
    const finish = gate();
    let called = 0;
    const once = testTool(
      async () => {
        called++;
        started.open();
        await finish.opened;
        return "paid";
      },
      { effect: "once" },
    );
    const model = new ScriptedModel(calls(["once", {}]), says("Paid."));
    const claim = await world.begin();
    const services = world.services(model, {}, { once });
    const loop = new Loop(services, claim, seat());
    const working = loop.work();
    await started.opened;
    loop.handOver();
    finish.open();
    expect(await working).toMatchObject({ kind: "ended" });
    const [next] = await world.runs.claimOf(claim.key.threadId);
    await world.work(next as Claim, services);
    expect(called).toBe(1);
    expect(dataOf(await world.eventsOf(claim), "tool.call.completed")).toMatchObject([{ outcome: "ok" }]);
  });

  test("cuts a call that can be repeated, and it is repeated with the same id", async () => {
    const started = gate();
    const ids: string[] = [];
    const read = testTool(async (_, { callId }) => {
      ids.push(callId);
      started.open();
      return ids.length === 1 ? new Promise(() => {}) : "read";
    });
    const model = new ScriptedModel(calls(["read", {}]), says("Done."));
    const claim = await world.begin();
    const services = world.services(model, {}, { read });
    const loop = new Loop(services, claim, seat());
    const working = loop.work();
    await started.opened;
    loop.handOver();
    await working;
    const [next] = await world.runs.claimOf(claim.key.threadId);
    await world.work(next as Claim, services);
    expect(ids).toEqual([ids[0], ids[0]]);
    const events = await world.eventsOf(claim);
    expect(dataOf(events, "tool.call.started")).toHaveLength(1);
    expect(dataOf(events, "tool.call.completed")).toMatchObject([{ outcome: "ok", call_id: ids[0] }]);
  });
});
