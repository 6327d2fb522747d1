/**
 * What the engine knows of a model: a request in the server's own words, parts handed over as they
 * arrive, and one end. Providers translate their wire format to this and nothing else leaves them.
 */
import type { Json, RunErrorCode } from "@callboard/protocol";

export type UserPart =
  | { type: "text"; text: string }
  | { type: "file"; name: string; mediaType: string; bytes: Uint8Array };

/** `providerData` is opaque to everyone but the provider that sent it (signatures, item ids). */
export type AssistantPart =
  | { type: "text"; text: string; providerData?: Json }
  | { type: "thinking"; text: string; providerData?: Json }
  | { type: "tool_call"; id: string; tool: string; input: Json; providerData?: Json };

/** `text` is what the model reads. */
export type ToolResult = { callId: string; tool: string; isError: boolean; text: string };

/** `provider` names who may read the `providerData` in the parts. */
export type ModelMessage =
  | { role: "user"; content: UserPart[] }
  | { role: "assistant"; content: AssistantPart[]; provider?: string }
  | { role: "tool"; results: ToolResult[] };

export type ModelTool = { name: string; description: string; inputSchema: { [key: string]: unknown } };

export type ModelRequest = {
  /** The provider's name for the model. */
  modelId: string;
  system: string;
  messages: readonly ModelMessage[];
  tools: readonly ModelTool[];
  maxOutputTokens?: number;
  /** JSON Schema the final answer must fit, as a hint to providers that can enforce one. */
  outputSchema?: { [key: string]: unknown };
};

/**
 * What arrives while the model speaks. Text and thinking come in pieces, a tool call whole; its
 * `inputText` is JSON as the model wrote it, perhaps invalid.
 */
export type ModelPart =
  | { type: "text"; text: string }
  | { type: "thinking"; text: string }
  | { type: "tool_call"; id: string; tool: string; inputText: string; providerData?: Json };

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "other";

export type ModelUsage = { inputTokens: number; outputTokens: number; cachedInputTokens?: number };

export type ModelEnd = {
  finishReason: FinishReason;
  usage: ModelUsage;
  /** Opaque data to send back with this message's thinking and text, by provider. */
  providerData?: { text?: Json; thinking?: Json };
};

export type StreamOptions = {
  signal: AbortSignal;
  /** Called synchronously for each part, in order; must not throw. */
  onPart: (part: ModelPart) => void;
};

/** One connection to one provider. */
export interface Model {
  /** The kind of provider, for `providerData` and the price table. */
  readonly provider: string;
  /**
   * Makes one streamed call.
   *
   * @throws ModelError for everything that goes wrong, or the signal's reason when it is aborted
   */
  stream(request: ModelRequest, options: StreamOptions): Promise<ModelEnd>;
}

/** A model call that failed. The message never holds the provider's body or a key. */
export class ModelError extends Error {
  readonly code: RunErrorCode;
  /** Trying again, or another connection, may help. */
  readonly retryable: boolean;
  /** What the provider asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: RunErrorCode,
    message: string,
    more: { retryable?: boolean; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.name = "ModelError";
    this.code = code;
    this.retryable = more.retryable ?? false;
    this.retryAfterMs = more.retryAfterMs;
  }
}
