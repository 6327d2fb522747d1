/**
 * A process dies after one of the writes of a run, and another one takes the run over. Whichever write it
 * was, the run ends as if nothing had happened, and no call that must not happen twice did.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentConfigInput, Event, EventData, EventType, Scope } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Claim, callsOf, type RunCommits, type RunRow, readTranscript } from "../runs/index.ts";
import {
  calls,
  createEngineWorld,
  type EngineWorld,
  hangs,
  type Reply,
  ScriptedModel,
  says,
  testTool,
} from "./fixture.ts";
import type { LoopServices } from "./loop.ts";

let world: EngineWorld;
beforeAll(async () => {
  world = await createEngineWorld();
});
afterAll(() => world.end());

function dataOf<T extends EventType>(events: readonly Event[], type: T): Array<EventData<T>> {
  return events.filter((event) => event.type === type).map(({ data }) => data as EventData<T>);
}

/** Writes like the process's own commits, until it dies: after `life` of them nothing is written any more. */
function mortal(commits: RunCommits, life: number) {
  let written = 0;
  const state = { dead: false };
  const commit: RunCommits["commit"] = async (key, fence, change) => {
    if (written >= life) {
      state.dead = true;
      return { kind: "fenced" };
    }
    written++;
    return commits.commit(key, fence, change);
  };
  return { state, commits: { commit } as RunCommits };
}

/** Works on a run in a process that dies after `life` writes, then in ones that live. @returns whether it died */
async function survive(claim: Claim, services: LoopServices, life: number): Promise<boolean> {
  const { state, commits } = mortal(services.commits, life);
  await world.work(claim, { ...services, commits });
  if (!state.dead) return false;
  for (;;) {
    const next = await world.takeOver(claim);
    await world.work(next, services);
    const { state: now } = await world.runs.runOf(claim.key.runId);
    if (now !== "running") return true;
  }
}

/** Speaks slowly enough for its words to be written one by one. */
const slowly =
  (...pieces: string[]): Reply =>
  async (_, { onPart, signal }) => {
    for (const text of pieces) {
      onPart({ type: "text", text });
      await sleep(6);
      signal.throwIfAborted();
    }
    return { finishReason: "stop", usage: { inputTokens: 10, outputTokens: 5 } };
  };

describe("a death after any write", () => {
  /** One run with everything in it: text, tools of all kinds, an answer that is sent back. */
  function story() {
    const effects = { read: 0, idempotent: new Set<string>(), once: 0 };
    const tools = {
      read: testTool(() => {
        effects.read++;
        return "read";
      }),
      idempotent: testTool(
        (_, { callId }) => {
          effects.idempotent.add(callId);
          return { ok: true };
        },
        { effect: "idempotent" },
      ),
      once: testTool(
        async () => {
          effects.once++;
          await sleep(2);
          return "paid";
        },
        { effect: "once" },
      ),
      broken: testTool(() => {
        throw new Error("out of order");
      }),
    };
    const model = new ScriptedModel(
      calls(["read", {}], ["idempotent", {}]),
      calls(["once", {}], ["broken", {}], ["nothing", {}]),
      slowly("not ", "JSON"),
      slowly('{"n"', ":", "7}"),
    );
    model.byConversation = true;
    const config: Partial<AgentConfigInput> = {
      output_schema: { type: "object", properties: { n: { type: "number" } }, required: ["n"] },
    };
    return { effects, model, services: world.services(model, config, tools) };
  }

  async function tell(life: number) {
    const { effects, model, services } = story();
    const claim = await world.begin();
    const died = await survive(claim, services, life);
    const events = await world.eventsOf(claim);
    const row = await world.runs.runOf(claim.key.runId);
    const transcript = await readTranscript(world.runs.database, world.runs.keys, row);
    return { died, effects, model, events, row, transcript };
  }

  test("changes nothing about how the run ends", async () => {
    const whole = await tell(Number.POSITIVE_INFINITY);
    expect(whole.row).toMatchObject({ state: "completed", result: { output: { n: 7 } }, attempt: 1 });
    expect(whole.effects).toMatchObject({ read: 1, once: 1 });

    let life = 0;
    for (; ; life++) {
      const told = await tell(life);
      if (!told.died) break;
      expect(told.row, `after write ${life}`).toMatchObject({
        state: "completed",
        result: { text: '{"n":7}', output: { n: 7 } },
        attempt: 2,
        input_tokens: whole.row.input_tokens,
        output_tokens: whole.row.output_tokens,
      });
      // What the model said and was told is the same; a once call that was cut off is told as unknown.
      const said = (one: typeof told) =>
        one.transcript.steps.map(({ step, text, tool_calls }) => ({
          step,
          text,
          tools: tool_calls.map(({ tool, state }) => [tool, tool === "once" ? "once" : state]),
        }));
      expect(said(told), `after write ${life}`).toEqual(said(whole));
      expect(told.effects.once, `after write ${life}`).toBeLessThanOrEqual(1);
      expect(told.effects.idempotent.size, `after write ${life}`).toBe(1);
      const outcomes = dataOf(told.events, "tool.call.completed").filter(({ tool }) => tool === "once");
      expect(outcomes).toHaveLength(1);
      if (outcomes[0]?.outcome === "ok") expect(told.effects.once).toBe(1);
      expect(dataOf(told.events, "agent.message").map(({ text }) => text)).toEqual(["not JSON", '{"n":7}']);
      expect(told.model.requests.at(-1)?.messages.at(-1), `after write ${life}`).toMatchObject({
        role: "user",
        content: [{ text: expect.stringMatching(/does not fit/) }],
      });
    }
    expect(life).toBeGreaterThan(6);
  });
});

describe("a call that a crash cut off and may be repeated", () => {
  test("is denied when its token has lost the scope meanwhile, and the run goes on", async () => {
    let called = 0;
    const look = testTool(() => (++called === 1 ? new Promise(() => {}) : "looked"), { scopes: ["audit:read"] });
    const model = new ScriptedModel(calls(["look", {}]), says("Done."));
    model.byConversation = true;
    const services = world.services(model, {}, { look });
    const withScopes = (...names: Scope[]) => ({
      authority: {
        standing: async ({ principal }: Pick<RunRow, "principal">) => ({
          epoch: 1,
          scopes: new Set(names),
          groups: principal.groups,
        }),
      },
    });
    const claim = await world.begin();
    const { commits } = mortal(services.commits, 1);
    const first = world.work(claim, { ...services, ...withScopes("threads:write", "audit:read"), commits });
    while (called === 0) await sleep(1);
    await world.work(await world.takeOver(claim), { ...services, ...withScopes("threads:write") });
    void first;
    expect(called).toBe(1);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "completed" });
    expect(dataOf(await world.eventsOf(claim), "tool.call.completed")).toMatchObject([
      { outcome: "denied", reason: "the caller's token lacks the scope audit:read" },
    ]);
  });
});

describe("a once call that a crash cut off", () => {
  async function cutOff(unknown_outcome: "tell_model" | "fail" | "ask", also = false) {
    let called = 0;
    const tools = {
      // The other one's first call is never heard of again either, but it may be repeated.
      pay: testTool(() => (++called === 1 ? new Promise(() => {}) : "paid"), { effect: "once" }),
      look: testTool(() => "looked"),
    };
    const asked = calls(["pay", { n: 1 }], ...(also ? [["look", {}] as never] : []));
    const model = new ScriptedModel(asked, says("Done."));
    model.byConversation = true;
    const services = world.services(model, { unknown_outcome }, tools);
    const claim = await world.begin();
    // The step is written, the tools are under way, and no result comes through.
    const { commits, state } = mortal(services.commits, 1);
    const first = world.work(claim, { ...services, commits });
    while (called === 0) await sleep(1);
    const next = await world.takeOver(claim);
    const result = await world.work(next, services);
    void first;
    return { claim, model, services, called: () => called, result, state, events: await world.eventsOf(claim) };
  }

  test("is told to the model as unknown, and not repeated", async () => {
    const { claim, model, called, events } = await cutOff("tell_model", true);
    expect(called()).toBe(1);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "completed" });
    expect(model.requests.at(-1)?.messages.at(-1)).toMatchObject({
      results: [
        { tool: "pay", isError: true, text: expect.stringMatching(/whether it took effect is not known/i) },
        { tool: "look", isError: false, text: "looked" },
      ],
    });
    expect(dataOf(events, "tool.call.completed").map(({ tool, outcome }) => [tool, outcome])).toEqual([
      ["pay", "unknown"],
      ["look", "ok"],
    ]);
  });

  test("ends the run when the agent's policy is to stop", async () => {
    const { claim, called, events } = await cutOff("fail", true);
    expect(called()).toBe(1);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({
      state: "failed",
      error: { code: "tool_outcome_unknown" },
    });
    const outcomes = dataOf(events, "tool.call.completed").map(({ tool, outcome }) => [tool, outcome]);
    expect(outcomes).toEqual([
      ["pay", "unknown"],
      ["look", "unknown"],
    ]);
    const ledger = await callsOf(world.runs.database, claim.key.organization, [claim.key.run]);
    expect(ledger.map(({ state }) => state)).toEqual(["unknown", "unknown"]);
  });

  test("is asked about when the agent's policy is to ask, and repeated only after a yes", async () => {
    const { claim, services, called, events } = await cutOff("ask");
    expect(called()).toBe(1);
    expect(events.slice(-3).map(({ type }) => type)).toEqual([
      "tool.call.completed",
      "permission.requested",
      "run.waiting",
    ]);
    const [request] = dataOf(events, "permission.requested");
    const permission_id = request?.permission_id as never;
    await world.runs.send(claim.key.threadId, { type: "permission.decision", permission_id, decision: "allow_once" });
    const [next] = await world.runs.claimOf(claim.key.threadId);
    await world.work(next as Claim, services);
    expect(called()).toBe(2);
    const after = await world.eventsOf(claim);
    expect(dataOf(after, "tool.call.completed").map(({ outcome }) => outcome)).toEqual(["unknown", "ok"]);
    expect(dataOf(after, "tool.call.started")).toHaveLength(2);
  });

  test("is still to be asked about when the process that would have asked dies too", async () => {
    let called = 0;
    const pay = testTool(() => (++called === 1 ? new Promise(() => {}) : "paid"), {
      effect: "once",
      approval: "always",
    });
    const model = new ScriptedModel(calls(["pay", {}]), says("Done."));
    model.byConversation = true;
    const services = world.services(model, { unknown_outcome: "ask" }, { pay });
    const claim = await world.begin();
    await world.work(claim, services);
    const decide = async () => {
      const request = dataOf(await world.eventsOf(claim), "permission.requested").at(-1);
      const permission_id = request?.permission_id as never;
      await world.runs.send(claim.key.threadId, { type: "permission.decision", permission_id, decision: "allow_once" });
      return (await world.runs.claimOf(claim.key.threadId))[0] as Claim;
    };
    const allowed = await decide();
    void world.work(allowed, { ...services, commits: mortal(services.commits, 1).commits });
    while (called === 0) await sleep(1);
    // It learns that the outcome is unknown, and dies before it asks: the yes from before is not for this.
    await world.work(await world.takeOver(claim), { ...services, commits: mortal(services.commits, 1).commits });
    await world.work(await world.takeOver(claim), services);
    expect(called).toBe(1);
    expect(dataOf(await world.eventsOf(claim), "permission.requested")).toHaveLength(2);
    await world.work(await decide(), services);
    expect(called).toBe(2);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "completed" });
  });
});

describe("what a run finds when it comes back", () => {
  test("a tool that is not on this server any more ends it", async () => {
    const look = testTool(() => new Promise(() => {}));
    const model = new ScriptedModel(calls(["look", {}]));
    const services = world.services(model, {}, { look });
    const claim = await world.begin();
    void world.work(claim, { ...services, commits: mortal(services.commits, 1).commits });
    while (model.requests.length === 0) await sleep(1);
    while ((await callsOf(world.runs.database, claim.key.organization, [claim.key.run])).length === 0) await sleep(1);
    const without = world.services(model, { tools: [{ name: "look" }] as never }, {});
    await world.work(await world.takeOver(claim), without);
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "failed", error: { code: "tool_missing" } });
  });

  test("running time that is used up is used up", async () => {
    const model = new ScriptedModel(hangs());
    const claim = await world.begin();
    const used = { ...claim, row: { ...claim.row, running_ms: 999_999 } };
    await world.work(used, world.services(model, { limits: { timeout_ms: 1000 } }));
    expect(await world.runs.runOf(claim.key.runId)).toMatchObject({ state: "failed", error: { code: "timeout" } });
  });
});
