/**
 * A model for tests: a server that speaks OpenAI's chat completions API and answers by script.
 *
 * Each test names a model of its own, and its agent uses it, so tests of one file may run side by side:
 *
 *     model.script("weather", ({ index }) => (index === 0 ? callTool("get_weather", { city: "Bern" }) : say("Sunny.")));
 *
 * A model without a script repeats the last user message.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** One piece of an answer, in the order sent. */
export type ModelStep =
  | { text: string }
  | { thinking: string }
  /** A tool call; `input` that is a string is sent as it is, to test arguments that are no JSON. */
  | { tool: string; input: unknown }
  | { delayMs: number }
  /** Goes on when that has happened. */
  | { until: Promise<unknown> }
  /** Bytes that are no chunk. */
  | { raw: string }
  /** Never goes on; the connection stays open until the client leaves. */
  | "hang"
  /** Closes the connection in the middle of the answer. */
  | "cut"
  /** Sends text until the client leaves. */
  | "endless";

export type ModelAnswer = {
  /** Default 200; with another one `steps` are not played. */
  status?: number;
  headers?: Record<string, string>;
  steps?: readonly ModelStep[];
  /** Default `tool_calls` after a tool call, else `stop`. */
  finish?: string;
  /** Default 7 and 3; null sends none. */
  usage?: { input: number; output: number } | null;
};

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

/** One request that arrived. */
export type ModelCall = {
  model: string;
  /** How many requests this model had before. */
  index: number;
  messages: Anything[];
  /** Names of the tools that were offered. */
  tools: string[];
  body: Anything;
  headers: IncomingHttpHeaders;
  /** Text of the last user message. */
  lastUser: string;
  /** What the tools answered to the last assistant message, in order; empty when the user spoke since. */
  toolResults: string[];
  /** Resolves when the client left before the answer was complete. */
  left: Promise<void>;
};

export type ModelScript = (call: ModelCall) => ModelAnswer | Promise<ModelAnswer>;

export type ScriptedModel = {
  /** What a model connection of kind `openai-compatible` takes as `base_url`. */
  baseUrl: string;
  /** Sets what a model answers from now on. */
  script(model: string, script: ModelScript): void;
  /** The requests of one model, oldest first. */
  calls(model: string): readonly ModelCall[];
  stop(): Promise<void>;
};

/** An answer of one text, in as many chunks as there are parts. */
export const say = (...texts: string[]): ModelAnswer => ({ steps: texts.map((text) => ({ text })) });

/** An answer of one tool call. */
export const callTool = (tool: string, input: unknown = {}): ModelAnswer => ({ steps: [{ tool, input }] });

export async function startScriptedModel(): Promise<ScriptedModel> {
  const scripts = new Map<string, ModelScript>();
  const seen = new Map<string, ModelCall[]>();
  const echo: ModelScript = ({ lastUser }) => say(`You said: ${lastUser}`);

  const server = createServer((request, response) => {
    response.on("error", () => {}); // the client left
    void readText(request)
      .then(async (text) => {
        const calls = seen.get(JSON.parse(text).model) ?? [];
        const call = toCall(text, calls.length, request, response);
        seen.set(call.model, [...calls, call]);
        await play(await (scripts.get(call.model) ?? echo)(call), response);
      })
      .catch(() => response.destroy()); // a script that throws is a model that breaks off
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    script: (model, script) => void scripts.set(model, script),
    calls: (model) => seen.get(model) ?? [],
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function toCall(text: string, index: number, request: IncomingMessage, response: ServerResponse): ModelCall {
  const body: Anything = JSON.parse(text);
  const messages: Anything[] = body.messages;
  const lastSpoken = messages.findLastIndex(({ role }) => role === "assistant" || role === "user");
  const left = new Promise<void>((done) => {
    response.on("close", () => {
      if (!response.writableFinished) done();
    });
  });
  return {
    model: body.model,
    index,
    messages,
    tools: (body.tools ?? []).map((tool: Anything) => tool.function.name),
    body,
    headers: request.headers,
    lastUser: textOf(messages.findLast(({ role }) => role === "user")?.content),
    toolResults: messages.slice(lastSpoken + 1).flatMap(({ role, content }) => (role === "tool" ? [content] : [])),
    left,
  };
}

const textOf = (content: Anything): string =>
  typeof content === "string" ? content : (content ?? []).map((part: Anything) => part.text ?? "").join("");

async function play(answer: ModelAnswer, response: ServerResponse): Promise<void> {
  const { status = 200, headers, steps = [] } = answer;
  if (status !== 200) {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ error: { message: "scripted", code: status } }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", ...headers });
  response.flushHeaders();
  let calls = 0;
  for (const step of steps) {
    if (response.destroyed || step === "hang") return;
    if (step === "cut") {
      await sleep(20); // what was written before goes out first
      response.destroy();
      return;
    }
    if (step === "endless") {
      while (!response.destroyed) {
        await write(response, chunk({ content: "again and again " }));
        await sleep(1);
      }
      return;
    }
    if ("text" in step) await write(response, chunk({ content: step.text }));
    else if ("thinking" in step) await write(response, chunk({ reasoning_content: step.thinking }));
    else if ("raw" in step) await write(response, step.raw);
    else if ("delayMs" in step) await sleep(step.delayMs);
    else if ("until" in step) await step.until;
    else await write(response, chunk({ tool_calls: [toolCall(step, calls++)] }));
  }
  if (response.destroyed) return;
  const finish = answer.finish ?? (calls > 0 ? "tool_calls" : "stop");
  response.end(`${chunk({}, finish)}${usageChunk(answer.usage)}data: [DONE]\n\n`);
}

function toolCall({ tool, input }: { tool: string; input: unknown }, index: number): object {
  const text = typeof input === "string" ? input : JSON.stringify(input);
  return { index, id: `call_${index}`, type: "function", function: { name: tool, arguments: text } };
}

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

function usageChunk(usage: ModelAnswer["usage"]): string {
  if (usage === null) return "";
  const { input, output } = usage ?? { input: 7, output: 3 };
  return `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: input, completion_tokens: output } })}\n\n`;
}

const write = (response: ServerResponse, text: string): Promise<void> =>
  new Promise((done) => response.write(text, () => done()));
