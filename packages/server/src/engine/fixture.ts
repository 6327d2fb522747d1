/** For tests: the engine's loop on a real database, with a model that follows a script. */
import { setTimeout as sleep } from "node:timers/promises";
import type { StandardSchema, ToolDefinition } from "@callboard/kit";
import {
  type AgentConfigInput,
  agentConfig,
  CallboardError,
  type Event,
  type Json,
  terminalEventTypes,
} from "@callboard/protocol";
import { expect } from "vitest";
import { z } from "zod";
import type { Logger } from "../log/index.ts";
import type { Model, ModelEnd, ModelRequest, ModelUsage, StreamOptions } from "../models/index.ts";
import { createRunsWorld } from "../runs/fixture.ts";
import type { Claim } from "../runs/index.ts";
import { statement } from "../storage/index.ts";
import { ToolRegistry } from "../tools/index.ts";
import { ChildRuns, type ChildServices } from "./child-runs.ts";
import { Loop, type LoopServices, type WorkResult } from "./loop.ts";
import { Seats } from "./seat.ts";
import { Wheel } from "./wheel.ts";

const disown = statement("engine_fixture.disown", "update runs set lease_owner = null where id = $1");

/** What the model does when it is called. */
export type Reply = (request: ModelRequest, options: StreamOptions) => Promise<ModelEnd>;

const USAGE: ModelUsage = { inputTokens: 10, outputTokens: 5 };

/** The model speaks, in pieces that arrive one after another. */
export function says(pieces: string | readonly string[], more: { thinking?: string } & Partial<ModelEnd> = {}): Reply {
  const { thinking, ...end } = more;
  return async (_, { onPart, signal }) => {
    if (thinking !== undefined) onPart({ type: "thinking", text: thinking });
    for (const text of typeof pieces === "string" ? [pieces] : pieces) {
      onPart({ type: "text", text });
      await new Promise(setImmediate);
      signal.throwIfAborted();
    }
    return { finishReason: "stop", usage: USAGE, ...end };
  };
}

/** The model calls tools, after some words perhaps. Text instead of an input is what the model wrote as JSON. */
export function calls(...asked: Array<[tool: string, input: Json | { text: string }]>): Reply {
  return async (_, { onPart }) => {
    for (const [i, [tool, input]] of asked.entries()) {
      const written = input as { text?: unknown } | null;
      const inputText = typeof written?.text === "string" ? written.text : JSON.stringify(input);
      onPart({ type: "tool_call", id: `model_call_${i}`, tool, inputText });
    }
    return { finishReason: "tool_calls", usage: USAGE };
  };
}

/** The model says something and breaks off. */
export function fails(error: Error, said = ""): Reply {
  return async (_, { onPart }) => {
    if (said !== "") onPart({ type: "text", text: said });
    await sleep(1);
    throw error;
  };
}

/** The model says something and then nothing more. */
export function hangs(said = ""): Reply {
  return (_, { onPart, signal }) => {
    if (said !== "") onPart({ type: "text", text: said });
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
}

/** A model that gives one reply after the other, or the one for how often it has spoken in this conversation. */
export class ScriptedModel implements Model {
  readonly provider = "scripted";
  readonly requests: ModelRequest[] = [];
  replies: Reply[];
  /** Replies are chosen by the conversation, so that a call that is made again gets the same one. */
  byConversation = false;

  constructor(...replies: Reply[]) {
    this.replies = replies;
  }

  stream(request: ModelRequest, options: StreamOptions): Promise<ModelEnd> {
    const spoken = request.messages.filter(({ role }) => role === "assistant").length;
    const reply = this.byConversation ? this.replies[spoken] : this.replies[this.requests.length];
    this.requests.push({ ...request, messages: structuredClone(request.messages) });
    if (reply === undefined) throw new Error("the script has ended");
    return reply(request, options);
  }
}

/** A tool for tests; `input` is any object unless given. */
export function testTool(
  run: ToolDefinition["run"],
  more: Partial<Omit<ToolDefinition, "input">> & { input?: z.ZodType } = {},
): ToolDefinition {
  const { input = z.looseObject({}), ...rest } = more;
  return { description: "Test.", effect: "read", run, ...rest, input: input as unknown as StandardSchema };
}

// What happens when agents call each other is tried on a whole server.
const absent = () => new CallboardError("not_found", "there is no such agent for this caller");
const noAgents = { live: async () => undefined, forSubCall: () => Promise.reject(absent()) };
const nobody = { callerOf: () => Promise.reject(absent()) };

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** A run's place in a process of its own. */
export const seat = () => new Seats(1, () => undefined).seat();

export type EngineWorld = Awaited<ReturnType<typeof createEngineWorld>>;

export async function createEngineWorld() {
  const runs = await createRunsWorld();
  const wheel = new Wheel(2);
  /** Messages of the log, for tests that expect one. */
  const logged: unknown[] = [];
  const log: Logger = { ...silent, error: (facts) => logged.push(facts) };

  function services(
    model: Model,
    config: Partial<AgentConfigInput> = {},
    tools: Record<string, ToolDefinition> = {},
    more: Partial<LoopServices & ChildServices> = {},
  ): LoopServices & ChildServices {
    const names = Object.keys(tools).map((name) => ({ name }));
    const parsed = agentConfig.parse({ name: "Test", tools: names, ...config });
    const registry = new ToolRegistry(
      Object.entries(tools).map(([name, definition]) => ({ name, definition, inputSchema: { type: "object" } })),
    );
    return {
      database: runs.database,
      keys: runs.keys,
      feed: runs.feed,
      commits: runs.commits,
      price: () => null,
      budgets: { hold: async () => undefined, permit: async () => {}, recover: async () => {} },
      // Rights that never change; what happens when they do is tried on a whole server.
      authority: {
        standing: async ({ principal }) => ({ epoch: 1, scopes: new Set(principal.scopes), groups: principal.groups }),
      },
      tools: registry,
      wheel,
      targets: async () => [{ model, modelId: "test-model", label: "scripted" }],
      config: async () => parsed,
      cost: (_, __, usage) => usage.inputTokens + 2 * usage.outputTokens,
      log,
      now: runs.now,
      fetch: () => Promise.reject(new Error("no network in tests")),
      maxFileBytes: 1_000_000,
      agents: noAgents,
      authenticator: nobody,
      children: new ChildRuns(
        { database: runs.database, feed: runs.feed, now: runs.now, agents: noAgents, authenticator: nobody },
        runs.host,
        runs.wakes,
      ),
      ...more,
    };
  }

  /** Opens a thread whose run is claimed here. */
  async function begin(text = "Hello"): Promise<Claim> {
    await runs.start({ text });
    return runs.host.last();
  }

  /** Another process takes a run over, as after a crash. */
  async function takeOver({ key }: Claim): Promise<Claim> {
    await runs.database.run(disown, [key.run]);
    // A write that was on its way when the process died may still hold the thread, and is passed by.
    for (;;) {
      const [claim] = await runs.claimOf(key.threadId);
      if (claim !== undefined) return claim;
      await sleep(5);
    }
  }

  async function work(claim: Claim, given: LoopServices): Promise<WorkResult> {
    const loop = new Loop(given, claim, seat());
    const leave = runs.wakes.on("steer", (keys) => {
      for (const key of keys) if (key.startsWith(claim.key.run)) loop.joined(Number(key.split("/")[1]));
    });
    return loop.work().finally(leave);
  }

  /** The events of a run's thread, checked for what holds in every log. */
  async function eventsOf({ key }: Claim): Promise<Event[]> {
    const events = await runs.logOf(key.threadId);
    checkLog(events);
    return events;
  }

  async function end(): Promise<void> {
    wheel.stop();
    await runs.end();
  }
  return { runs, logged, wheel, services, begin, takeOver, work, eventsOf, end };
}

/**
 * What holds in the log of a thread with one run, however it came about: numbers without a gap, one end and
 * nothing after it, every started call completed once before the next start or the end, and deltas that make
 * up their message or belong to one that was taken back.
 */
function checkLog(events: readonly Event[]): void {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  const ends = events.filter(({ type }) => (terminalEventTypes as readonly string[]).includes(type));
  expect(ends.length).toBeLessThanOrEqual(1);
  if (ends.length === 1) expect(events.at(-1)).toBe(ends[0]);

  const open = new Set<string>();
  const deltas = new Map<string, string>();
  const taken = new Set<string>();
  const finished = new Map<string, string>();
  for (const event of events) {
    if (event.type === "tool.call.started") {
      expect(open).not.toContain(event.data.call_id);
      open.add(event.data.call_id);
    } else if (event.type === "tool.call.completed") open.delete(event.data.call_id);
    else if (event.type === "agent.message.delta") {
      const { message_id: id, text } = event.data;
      expect(finished.has(id)).toBe(false);
      deltas.set(id, (deltas.get(id) ?? "") + text);
    } else if (event.type === "agent.message") finished.set(event.data.message_id, event.data.text);
    else if (event.type === "run.resumed") for (const id of event.data.superseded_message_ids ?? []) taken.add(id);
  }
  if (ends.length === 1) expect([...open]).toEqual([]);
  for (const [id, text] of finished) {
    expect(taken).not.toContain(id);
    expect(deltas.get(id) ?? "").toBe(text);
  }
  if (ends[0]?.type !== "run.completed") return;
  for (const id of deltas.keys()) expect(finished.has(id) || taken.has(id)).toBe(true);
}
