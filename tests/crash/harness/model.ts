/**
 * A model server that follows a script: OpenAI chat completions, streamed.
 *
 * The request's model names the script. A script sees how many tool rounds the model has had since the last
 * message of a person and answers through `Reply`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

type WireCall = { id: string; function: { name: string; arguments: string } };
type WireMessage = { role: string; content?: unknown; tool_calls?: WireCall[]; tool_call_id?: string };
type WireRequest = { model: string; messages: WireMessage[] };

export type Ask = {
  readonly messages: readonly WireMessage[];
  /** Tool rounds since the last message of a person. */
  readonly round: number;
  /** Tool results since then. */
  readonly results: number;
};

export type Script = (ask: Ask, reply: Reply) => Promise<void> | void;

export class Reply {
  readonly response: ServerResponse;
  readonly #id: string;

  constructor(response: ServerResponse, id: string) {
    this.response = response;
    this.#id = id;
  }

  /** The client is gone. */
  get isCut(): boolean {
    return this.response.destroyed;
  }

  head(): void {
    this.response.writeHead(200, { "content-type": "text/event-stream" });
  }

  raw(text: string): boolean {
    return this.response.write(text);
  }

  chunk(delta: object, finish: string | null = null): void {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    this.raw(`data: ${JSON.stringify({ id: this.#id, object: "chat.completion.chunk", choices })}\n\n`);
  }

  end(finish: "stop" | "tool_calls"): void {
    this.chunk({}, finish);
    this.response.end("data: [DONE]\n\n");
  }

  /** A whole answer of words, one by one. */
  async text(words: readonly string[], everyMs = 0, hold?: () => Promise<unknown>): Promise<void> {
    this.head();
    for (const [i, word] of words.entries()) {
      if (i === words.length >> 1) await hold?.();
      if (this.isCut) return;
      this.chunk({ content: word });
      if (everyMs > 0) await sleep(everyMs);
    }
    this.end("stop");
  }

  /** A whole answer that calls tools. */
  calls(calls: ReadonlyArray<{ tool: string; input: unknown }>): void {
    this.head();
    calls.forEach(({ tool, input }, index) => {
      const call = { name: tool, arguments: typeof input === "string" ? input : JSON.stringify(input) };
      this.chunk({ tool_calls: [{ index, id: `${this.#id}_${index}`, type: "function", function: call }] });
    });
    this.end("tool_calls");
  }
}

export class ModelServer {
  readonly #server: Server;
  readonly #scripts: Record<string, Script>;
  #count = 0;
  /** Conversations that no model would accept: results without calls, calls without results. */
  readonly problems: string[] = [];

  constructor(scripts: Record<string, Script>) {
    this.#scripts = scripts;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(0, "127.0.0.1", 4096, resolve));
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {}); // the client is gone: what the tests do all the time
    try {
      let body = "";
      for await (const chunk of request) body += chunk;
      const { model, messages } = JSON.parse(body) as WireRequest;
      const script = this.#scripts[model];
      const problem = script === undefined ? `there is no script ${model}` : wrongIn(messages);
      if (problem !== undefined) this.problems.push(problem);
      const last = messages.findLastIndex((message) => message.role === "user");
      const since = messages.slice(last + 1);
      const ask: Ask = {
        messages,
        round: since.filter((message) => message.tool_calls !== undefined).length,
        results: since.filter((message) => message.role === "tool").length,
      };
      await script?.(ask, new Reply(response, `answer_${this.#count++}`));
    } catch (error) {
      if (!response.destroyed && !request.destroyed) this.problems.push(String(error));
    }
  }
}

/** Every call is followed by one result, every result follows its call. */
function wrongIn(messages: readonly WireMessage[]): string | undefined {
  let open: string[] = [];
  for (const { role, tool_calls: calls, tool_call_id: id } of messages) {
    if (role === "tool") {
      if (!open.includes(id as string)) return `a result for ${id}, which was not called`;
      open = open.filter((other) => other !== id);
    } else {
      if (open.length > 0) return `no result for ${open.join(", ")}`;
      open = (calls ?? []).map((call) => call.id);
    }
  }
  return open.length > 0 ? `no result for ${open.join(", ")}` : undefined;
}

/** The answer of `work` after three rounds of the three tools. */
export const WORK_ANSWER = "All done after 9 results. ";

/** Three rounds, each with a call of every tool, then some words. Every answer takes a moment. */
export const work: Script = async (ask, reply) => {
  await sleep(10 + Math.random() * 60);
  if (ask.round < 3) reply.calls(["look", "put", "send"].map((tool) => ({ tool, input: { key: `${ask.round}` } })));
  else await reply.text(["All ", "done ", "after ", `${ask.results} `, "results. "], 10);
};

/** Says `count` words, one each `everyMs`; with `hold`, the second half of them not before that has happened. */
export const drip =
  (count: number, everyMs: number, hold?: () => Promise<unknown>): Script =>
  (_, reply) =>
    reply.text(dripWords(count), everyMs, hold);

export const dripWords = (count: number): string[] => Array.from({ length: count }, (_, i) => `word${i} `);
