/**
 * Any server that speaks OpenAI's chat completions API. It is the path with the most traffic, so it goes
 * straight from bytes to parts; `docs/decisions` has the figures.
 */
import { toChatBody } from "./chat-request.ts";
import { ChatStream } from "./chat-stream.ts";
import { badResponse, streamCut } from "./errors.ts";
import { type PostLimits, type PostReader, type PostTarget, post, postTarget } from "./http.ts";
import { type Model, type ModelEnd, ModelError, type ModelRequest, type StreamOptions } from "./model.ts";
import { SseParser } from "./sse.ts";

export type OpenAiCompatibleOptions = PostLimits & {
  /** Up to and without `/chat/completions`. */
  baseUrl: string;
  /** Absent for servers that ask for none. */
  apiKey?: string | undefined;
};

class OpenAiCompatible implements Model {
  readonly provider = "openai-compatible";
  readonly #target: PostTarget;

  constructor(options: OpenAiCompatibleOptions) {
    const url = new URL(options.baseUrl);
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
    const headers: Record<string, string> = { "content-type": "application/json", accept: "text/event-stream" };
    if (options.apiKey !== undefined) headers.authorization = bearer(options.apiKey);
    this.#target = postTarget(url, headers, options);
  }

  stream(request: ModelRequest, { signal, onPart }: StreamOptions): Promise<ModelEnd> {
    const body = toChatBody(request, this.provider);
    const reader = new ChatReader(onPart);
    const requestLength = body.length;
    return post(this.#target, body, reader, signal).then(
      () => reader.end(requestLength),
      (error) => {
        if (reader.isWhole(error)) return reader.end(requestLength);
        throw error;
      },
    );
  }
}

/** @throws ModelError when the key cannot be sent */
export function createOpenAiCompatible(options: OpenAiCompatibleOptions): Model {
  return new OpenAiCompatible(options);
}

/** A key with a line break in it would write headers of its own. */
function bearer(apiKey: string): string {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new ModelError("model_unauthorized", "the model connection's key holds characters that no key has");
  }
  return `Bearer ${apiKey}`;
}

/** Reads events, or the one JSON document of a server that does not stream. */
class ChatReader implements PostReader {
  readonly #chat: ChatStream;
  #events: SseParser | undefined;
  #document: Buffer[] | undefined;
  #done = false;

  constructor(onPart: StreamOptions["onPart"]) {
    this.#chat = new ChatStream(onPart);
  }

  onHead(mediaType: string): void {
    if (mediaType === "text/event-stream" || mediaType === "") {
      this.#events = new SseParser((data) => this.#onEvent(data));
    } else if (mediaType === "application/json") {
      this.#document = [];
    } else {
      throw badResponse("the model's provider answered with neither events nor JSON");
    }
  }

  onData(slice: Buffer): void {
    if (this.#events === undefined) this.#document?.push(slice);
    else this.#events.push(slice);
  }

  onPause(): boolean {
    this.#chat.flush();
    return this.#done;
  }

  #onEvent(data: string): void {
    if (this.#done) return;
    if (data === "[DONE]") this.#done = true;
    else this.#chat.take(data);
  }

  /** Whether the message was finished before the connection broke. */
  isWhole(error: unknown): boolean {
    return this.#chat.finished && (error as { code?: unknown } | undefined)?.code === "model_stream_cut";
  }

  end(requestLength: number): ModelEnd {
    if (this.#document !== undefined) this.#chat.take(Buffer.concat(this.#document).toString("utf8"));
    if (!this.#done) this.#events?.end();
    // Either sign of an end will do: some servers send no finish reason, others no [DONE].
    const whole = this.#chat.finished || this.#done || this.#document !== undefined;
    if (!whole) throw streamCut();
    if (!this.#chat.answered) throw badResponse("the model's provider sent no choice");
    return this.#chat.end(requestLength);
  }
}
