/**
 * The answer of a chat completions server, chunk by chunk, into parts and one end.
 *
 * Source: "chat completion chunk object" in OpenAI's API reference, and what other servers make of it:
 * vLLM, llama.cpp, Ollama, DeepSeek, Mistral, OpenRouter and Google's compatible address differ in the
 * places that carry a comment.
 *
 * C1  Text and thinking are handed over once for each network chunk and kind, however many tokens it holds.
 * C2  A tool call is handed over whole, when the message is finished.
 */
import { randomUUID } from "node:crypto";
import type { Json } from "@callboard/protocol";
import { isDeepJson } from "../storage/index.ts";
import type { ChatCallData, ChatThinkingData } from "./chat-request.ts";
import { badResponse, statusError } from "./errors.ts";
import { type FinishReason, type ModelEnd, ModelError, type ModelPart, type ModelUsage } from "./model.ts";

// The wire is read leniently: every field may be absent or null.
type WireCall = {
  index?: number | null;
  id?: string | null;
  function?: { name?: string | null; arguments?: unknown } | null;
  extra_content?: Json;
};
type WireDelta = {
  content?: string | WireContent[] | null;
  refusal?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: WireCall[] | null;
};
type WireContent = { type?: string; text?: string; thinking?: WireContent[] };
type WireUsage = {
  prompt_tokens?: number | null;
  completion_tokens?: number | null;
  prompt_tokens_details?: { cached_tokens?: number | null } | null;
  prompt_cache_hit_tokens?: number | null;
};
type WireChunk = {
  error?: { code?: unknown } | string | null;
  choices?: ({ delta?: WireDelta | null; message?: WireDelta | null; finish_reason?: string | null } | null)[] | null;
  usage?: WireUsage | null;
};

type Call = { id: string; name: string; text: string; extra: Json | undefined };

export class ChatStream {
  readonly #onPart: (part: ModelPart) => void;
  readonly #calls: Call[] = [];
  #byIndex: Map<number, Call> | undefined;
  #text = "";
  #thinking = "";
  #thinkingField: ChatThinkingData["reasoning_field"] | undefined;
  #answered = false;
  #finish: string | undefined;
  #usage: WireUsage | undefined;
  #outputLength = 0;

  constructor(onPart: (part: ModelPart) => void) {
    this.#onPart = onPart;
  }

  /** Whether a finish reason has come; only usage may follow. */
  get finished(): boolean {
    return this.#finish !== undefined;
  }

  /** Whether anything of a message has come. */
  get answered(): boolean {
    return this.#answered;
  }

  /**
   * Takes one chunk, or the whole answer of a server that does not stream.
   *
   * @throws ModelError
   */
  take(json: string): void {
    if (isDeepJson(json)) throw badResponse("the model's provider sent JSON that is nested too deep");
    let chunk: WireChunk;
    try {
      chunk = JSON.parse(json) as WireChunk;
    } catch (cause) {
      throw badResponse("the model's provider sent something that is not JSON", cause);
    }
    if (typeof chunk !== "object" || chunk === null) {
      throw badResponse("the model's provider sent something that is not a JSON object");
    }
    if (chunk.error != null) throw streamError(chunk.error);
    if (chunk.usage != null) this.#usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (choice == null) return;
    this.#answered = true;
    const delta = choice.delta ?? choice.message;
    if (delta != null) this.#delta(delta);
    if (choice.finish_reason != null) this.#finish = choice.finish_reason;
  }

  #delta(delta: WireDelta): void {
    if (typeof delta.content === "string") this.#addText(delta.content);
    // Mistral sends pieces of text and thinking.
    else if (Array.isArray(delta.content)) for (const piece of delta.content) this.#addPiece(piece);
    // DeepSeek, vLLM and llama.cpp say `reasoning_content`; OpenRouter and Ollama say `reasoning`.
    if (typeof delta.reasoning_content === "string") this.#addThinking(delta.reasoning_content, "reasoning_content");
    else if (typeof delta.reasoning === "string") this.#addThinking(delta.reasoning, "reasoning");
    if (typeof delta.refusal === "string") this.#addText(delta.refusal);
    if (Array.isArray(delta.tool_calls)) for (const call of delta.tool_calls) this.#addCall(call);
  }

  #addText(text: string): void {
    if (text === "") return;
    if (this.#thinking !== "") this.flush();
    this.#text += text;
  }

  #addThinking(text: string, field?: string): void {
    if (text === "") return;
    if (this.#text !== "") this.flush();
    this.#thinking += text;
    this.#thinkingField ??= field;
  }

  #addPiece(piece: WireContent): void {
    if (piece.type === "thinking" && Array.isArray(piece.thinking)) {
      for (const { text } of piece.thinking) if (typeof text === "string") this.#addThinking(text);
    } else if (typeof piece.text === "string") {
      this.#addText(piece.text);
    }
  }

  #addCall(wire: WireCall): void {
    const id = wire.id ?? "";
    const name = wire.function?.name ?? "";
    let call = typeof wire.index === "number" ? this.#byIndex?.get(wire.index) : this.#calls.at(-1);
    // Some servers give every call the index 0, or none: then an id or a name of its own begins a new call.
    const isNew = id === "" ? wire.index == null && name !== "" : call !== undefined && call.id !== id && name !== "";
    if (call === undefined || isNew) {
      call = { id: id === "" ? `call_${randomUUID()}` : id, name: "", text: "", extra: undefined };
      this.#calls.push(call);
      if (typeof wire.index === "number") {
        this.#byIndex ??= new Map();
        this.#byIndex.set(wire.index, call);
      }
    }
    if (call.name === "") call.name = name;
    const pieces = wire.function?.arguments;
    if (typeof pieces === "string") call.text += pieces;
    // Some servers send the arguments as JSON instead of text.
    else if (pieces != null) call.text += JSON.stringify(pieces);
    if (wire.extra_content != null) call.extra = wire.extra_content;
  }

  /** Hands over the text or the thinking that has gathered; called at the end of each network chunk. */
  flush(): void {
    if (this.#text !== "") {
      const text = this.#text;
      this.#text = "";
      this.#outputLength += text.length;
      this.#onPart({ type: "text", text });
    } else if (this.#thinking !== "") {
      const text = this.#thinking;
      this.#thinking = "";
      this.#outputLength += text.length;
      this.#onPart({ type: "thinking", text });
    }
  }

  /**
   * Hands over what is left and closes the message.
   *
   * @param requestLength characters of the request, to estimate the usage of a server that reports none
   */
  end(requestLength: number): ModelEnd {
    this.flush();
    for (const { id, name, text, extra } of this.#calls) {
      if (name === "") throw badResponse("the model's provider sent a tool call without a name");
      this.#outputLength += name.length + text.length;
      // A call without arguments comes as empty text from some servers.
      const part: ModelPart = { type: "tool_call", id, tool: name, inputText: text.trim() === "" ? "{}" : text };
      this.#onPart(
        extra === undefined ? part : { ...part, providerData: { extra_content: extra } satisfies ChatCallData },
      );
    }
    const end: ModelEnd = { finishReason: this.#finishReason(), usage: this.#modelUsage(requestLength) };
    if (this.#thinkingField !== undefined) end.providerData = { thinking: { reasoning_field: this.#thinkingField } };
    return end;
  }

  #finishReason(): FinishReason {
    switch (this.#finish) {
      case "length":
      case "content_filter":
        return this.#finish;
      case "tool_calls":
      case "function_call":
        return this.#calls.length === 0 ? "stop" : "tool_calls";
      default:
        // Some servers say "stop" after tool calls as well.
        if (this.#calls.length > 0) return "tool_calls";
        return this.#finish === undefined || stops.has(this.#finish) ? "stop" : "other";
    }
  }

  #modelUsage(requestLength: number): ModelUsage {
    const usage = this.#usage;
    const inputTokens = count(usage?.prompt_tokens) ?? Math.ceil(requestLength / 4);
    const outputTokens = count(usage?.completion_tokens) ?? Math.ceil(this.#outputLength / 4);
    // DeepSeek has a field of its own.
    const cachedInputTokens =
      count(usage?.prompt_tokens_details?.cached_tokens) ?? count(usage?.prompt_cache_hit_tokens);
    return cachedInputTokens === undefined
      ? { inputTokens, outputTokens }
      : { inputTokens, outputTokens, cachedInputTokens };
  }
}

/** How servers say that the model had nothing to add. */
const stops = new Set(["stop", "eos", "eos_token", "end_turn"]);

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.round(value) : undefined;
}

/** An error in the middle of a stream. A numeric code is an HTTP status with most servers. */
function streamError(error: NonNullable<WireChunk["error"]>): ModelError {
  const code = typeof error === "object" ? Number(error.code) : Number.NaN;
  if (Number.isInteger(code) && code >= 400 && code <= 599) return statusError(code);
  return new ModelError("model_unavailable", "the model's provider reported an error", { retryable: true });
}
