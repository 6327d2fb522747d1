/** What a model says in one call, on its way into the log and into the step. */
import { type MessageId, newId } from "@callboard/protocol";
import type { NewEvent } from "../events/index.ts";
import type { AssistantPart, ModelEnd, ModelPart } from "../models/index.ts";
import { isDeepJson } from "../storage/index.ts";
import { storable, storableJson } from "../tools/index.ts";
import { Deltas } from "./deltas.ts";
import type { Wheel } from "./wheel.ts";

/** A message that is complete. `rest` is what no delta has shown yet. */
export type Spoken = {
  messageId: MessageId;
  parts: AssistantPart[];
  text: string;
  rest: NewEvent[];
  end: ModelEnd;
  model: string;
  provider: string;
};

export type MessageHost = {
  wheel: Wheel;
  event: (
    type: "agent.message.delta" | "agent.thinking.delta",
    data: { message_id: MessageId; text: string },
  ) => NewEvent;
  write: (event: NewEvent) => Promise<void>;
};

export class Message {
  readonly id = newId("message");
  readonly #host: MessageHost;
  #text: Deltas | undefined;
  #thinking: Deltas | undefined;
  #spoken = "";
  #thought = "";
  readonly #calls: AssistantPart[] = [];
  /** First halves of surrogate pairs, until their second halves come with the next piece. */
  readonly #halves = { text: "", thinking: "" };

  constructor(host: MessageHost) {
    this.#host = host;
  }

  get begun(): boolean {
    return this.#text?.begun === true || this.#thinking?.begun === true;
  }

  add(part: ModelPart): void {
    if (part.type === "text") {
      const text = this.#whole("text", part.text);
      this.#spoken += text;
      this.#text ??= this.#deltas("agent.message.delta");
      this.#text.push(text);
    } else if (part.type === "thinking") {
      const text = this.#whole("thinking", part.text);
      this.#thought += text;
      this.#thinking ??= this.#deltas("agent.thinking.delta");
      this.#thinking.push(text);
    } else {
      const { id, tool, inputText, providerData } = part;
      // What cannot be read stays as text: the step records what the model wrote.
      this.#calls.push({
        type: "tool_call",
        id: storable(id),
        tool: storable(tool.slice(0, 200)),
        input: parseInput(inputText),
        ...(providerData === undefined ? {} : { providerData }),
      });
    }
  }

  close(end: ModelEnd): Pick<Spoken, "messageId" | "parts" | "text" | "rest"> {
    const rest: NewEvent[] = [];
    const thinkingRest = this.#thinking?.close() ?? "";
    if (thinkingRest !== "")
      rest.push(this.#host.event("agent.thinking.delta", { message_id: this.id, text: thinkingRest }));
    const textRest = this.#text?.close() ?? "";
    if (textRest !== "") rest.push(this.#host.event("agent.message.delta", { message_id: this.id, text: textRest }));
    const parts: AssistantPart[] = [];
    // A provider may have something to remember although nothing was said, like encrypted reasoning.
    const { thinking, text } = end.providerData ?? {};
    if (this.#thought !== "" || thinking !== undefined) {
      parts.push(withData({ type: "thinking", text: this.#thought }, thinking));
    }
    if (this.#spoken !== "" || text !== undefined) parts.push(withData({ type: "text", text: this.#spoken }, text));
    parts.push(...this.#calls);
    return { messageId: this.id, parts, text: this.#spoken, rest };
  }

  /** A piece as it may be stored; a pair that two pieces share stays whole. */
  #whole(type: "text" | "thinking", piece: string): string {
    const all = this.#halves[type] + piece;
    const last = all.charCodeAt(all.length - 1);
    const half = last >= 0xd800 && last <= 0xdbff;
    this.#halves[type] = half ? all.slice(-1) : "";
    return storable(half ? all.slice(0, -1) : all);
  }

  drop(): void {
    this.#text?.close();
    this.#thinking?.close();
  }

  #deltas(type: "agent.message.delta" | "agent.thinking.delta"): Deltas {
    return new Deltas(this.id, this.#host.wheel, (message_id, text) =>
      this.#host.write(this.#host.event(type, { message_id, text })),
    );
  }
}

function withData(part: AssistantPart, providerData: AssistantPart["providerData"]): AssistantPart {
  return providerData === undefined ? part : { ...part, providerData };
}

/** JSON as the model wrote it; a text that is not JSON, or nested too deep, stays a text, which no tool's schema accepts as an object. */
function parseInput(text: string): Extract<AssistantPart, { type: "tool_call" }>["input"] {
  if (isDeepJson(text)) return storable(text);
  try {
    return JSON.parse(storableJson(JSON.stringify(text.trim() === "" ? {} : JSON.parse(text))));
  } catch {
    return storable(text);
  }
}

export const textOf = (parts: readonly AssistantPart[], type: "text" | "thinking"): string =>
  parts.map((part) => (part.type === type ? part.text : "")).join("");
