/**
 * The built-in demo model: no key, no network, no randomness. It lets a new installation and every test
 * walk the whole path of a run, and says plainly that it is not a real model.
 *
 * ```
 * last user message ─► next tool not yet called? ──yes──► one tool call, filled from the message
 *                                              └──no───► an answer that quotes what the tools found,
 *                                                        or JSON that fits the output schema
 * ```
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fillSchema, type Source } from "./demo-fill.ts";
import { factsOf, quote } from "./demo-results.ts";
import { firstLine, mentioned, nameWords } from "./demo-words.ts";
import type { Model, ModelEnd, ModelMessage, ModelRequest, ModelTool, StreamOptions, ToolResult } from "./model.ts";

export type DemoOptions = {
  /** Milliseconds before each word; 0 for none. Default 15. */
  delayMs?: number;
};

const INTRODUCTION = "This is the built-in demo model, not a real one.";
const MAX_CALLS = 3;

/** Words in a tool's name that say it changes something. */
const changing = new Set(
  (
    "add approve archive assign book buy cancel charge close create delete deploy edit escalate grant insert invite " +
    "merge move notify order pay post publish put refund remove rename reply reset resolve revoke save schedule send " +
    "set submit transfer update upload write"
  ).split(" "),
);

class DemoModel implements Model {
  readonly provider = "demo";
  readonly #delayMs: number;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  async stream(request: ModelRequest, { signal, onPart }: StreamOptions): Promise<ModelEnd> {
    signal.throwIfAborted();
    const turn = lastTurn(request.messages);
    const source: Source = { text: turn.text, facts: factsOf(turn.results) };
    const tool = nextTool(request.tools, turn);
    let output: string;

    if (tool !== undefined) {
      await this.#pause(signal);
      output = JSON.stringify(fillSchema({ type: "object", ...tool.inputSchema }, source));
      onPart({
        type: "tool_call",
        id: callId(request.messages, tool.name, output),
        tool: tool.name,
        inputText: output,
      });
    } else if (request.outputSchema !== undefined) {
      const thought = `${INTRODUCTION} I fill the output schema from your words.`;
      const json = JSON.stringify(fillSchema(request.outputSchema, source));
      await this.#say(thought, signal, (text) => onPart({ type: "thinking", text }));
      await this.#say(json, signal, (text) => onPart({ type: "text", text }));
      output = thought + json;
    } else {
      output = answer(turn);
      await this.#say(output, signal, (text) => onPart({ type: "text", text }));
    }
    return {
      finishReason: tool === undefined ? "stop" : "tool_calls",
      usage: { inputTokens: tokens(inputLength(request)), outputTokens: tokens(output.length) },
    };
  }

  async #say(text: string, signal: AbortSignal, hand: (piece: string) => void): Promise<void> {
    for (const piece of text.match(/\s*\S+\s*$|\s*\S+/g) ?? []) {
      await this.#pause(signal);
      hand(piece);
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    if (this.#delayMs > 0) {
      // The timer's own error would hide the signal's reason.
      await sleep(this.#delayMs, undefined, { signal }).catch(() => {});
    }
    signal.throwIfAborted();
  }
}

export function createDemo(options: DemoOptions = {}): Model {
  return new DemoModel(options.delayMs ?? 15);
}

type Turn = { text: string; called: ReadonlySet<string>; results: readonly ToolResult[] };

/** The last user message and what happened since. */
function lastTurn(messages: readonly ModelMessage[]): Turn {
  const start = messages.findLastIndex((message) => message.role === "user");
  const asked = messages[start];
  const text =
    asked?.role === "user"
      ? asked.content.map((part) => (part.type === "text" ? part.text : part.name)).join("\n")
      : "";
  const called = new Set<string>();
  const results: ToolResult[] = [];
  for (const message of messages.slice(start + 1)) {
    if (message.role === "tool") results.push(...message.results);
    if (message.role !== "assistant") continue;
    for (const part of message.content) if (part.type === "tool_call") called.add(part.tool);
  }
  return { text, called, results };
}

/** A tool that reads is always tried, one that changes something only when the user names what it does. */
function nextTool(tools: readonly ModelTool[], { text, called }: Turn): ModelTool | undefined {
  if (called.size >= MAX_CALLS) return undefined;
  return tools.find(({ name }) => {
    if (called.has(name)) return false;
    return !nameWords(name).some((word) => changing.has(word)) || mentioned(name, text) === 1;
  });
}

function answer({ text, results }: Turn): string {
  const asked = firstLine(text, 200);
  const heard = asked === "" ? "You sent no text." : `You wrote: “${asked}”`;
  if (results.length === 0) {
    return `${INTRODUCTION} ${heard}\n\nI cannot think, but everything around me is real. Connect a model to get real answers.`;
  }
  return [`${INTRODUCTION} ${heard}`, ...results.map(quote)].join("\n\n");
}

/** The same conversation gives the same id, another place in it another one. */
function callId(messages: readonly ModelMessage[], tool: string, input: string): string {
  const hash = createHash("sha256").update(`${messages.length}\n${tool}\n${input}`);
  for (const message of messages)
    if (message.role === "tool") for (const { callId } of message.results) hash.update(callId);
  return `call_demo_${hash.digest("hex").slice(0, 16)}`;
}

function inputLength({ system, messages, tools }: ModelRequest): number {
  let length = system.length;
  for (const { name, description, inputSchema } of tools) {
    length += name.length + description.length + JSON.stringify(inputSchema).length;
  }
  for (const message of messages) {
    if (message.role === "tool") for (const { text } of message.results) length += text.length;
    else for (const part of message.content) length += partLength(part);
  }
  return length;
}

function partLength(part: Exclude<ModelMessage, { role: "tool" }>["content"][number]): number {
  switch (part.type) {
    case "text":
    case "thinking":
      return part.text.length;
    case "file":
      return part.bytes.byteLength;
    case "tool_call":
      return JSON.stringify(part.input).length;
  }
}

/** About four characters a token. */
function tokens(length: number): number {
  return Math.ceil(length / 4);
}
