/** The stream parts of a `LanguageModelV4` into ours. */
import type {
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
  SharedV4ProviderOptions,
} from "@ai-sdk/provider";
import type { Json } from "@callboard/protocol";
import { toModelError } from "./ai-sdk-errors.ts";
import type { BlockData } from "./ai-sdk-request.ts";
import { badResponse, streamCut } from "./errors.ts";
import { type FinishReason, type ModelEnd, ModelError, type ModelPart, type ModelUsage } from "./model.ts";

type Finish = Extract<LanguageModelV4StreamPart, { type: "finish" }>;

export class SdkStream {
  readonly #onPart: (part: ModelPart) => void;
  readonly #text = new Blocks();
  readonly #thinking = new Blocks();
  #finish: Finish | undefined;

  constructor(onPart: (part: ModelPart) => void) {
    this.#onPart = onPart;
  }

  /** @throws ModelError for an error the provider reports */
  take(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case "text-start":
      case "text-end":
        this.#text.add(part.id, "", part.providerMetadata);
        return;
      case "text-delta":
        this.#text.add(part.id, part.delta, part.providerMetadata);
        if (part.delta !== "") this.#onPart({ type: "text", text: part.delta });
        return;
      case "reasoning-start":
      case "reasoning-end":
        this.#thinking.add(part.id, "", part.providerMetadata);
        return;
      case "reasoning-delta":
        this.#thinking.add(part.id, part.delta, part.providerMetadata);
        if (part.delta !== "") this.#onPart({ type: "thinking", text: part.delta });
        return;
      case "tool-call": {
        // A tool that the provider ran itself is not ours to run.
        if (part.providerExecuted === true) return;
        const call = { type: "tool_call", id: part.toolCallId, tool: part.toolName, inputText: part.input } as const;
        const data = part.providerMetadata;
        this.#onPart(data === undefined ? call : { ...call, providerData: data as Json });
        return;
      }
      case "finish":
        this.#finish = part;
        return;
      case "error":
        throw toModelError(part.error);
      default:
        // Pieces of tool input, sources, files, metadata and pings.
        return;
    }
  }

  /** @throws ModelError when the stream ended without a whole answer */
  end(): ModelEnd {
    if (this.#finish === undefined) throw streamCut();
    const end: ModelEnd = {
      finishReason: toFinishReason(this.#finish.finishReason),
      usage: toUsage(this.#finish.usage),
    };
    const text = this.#text.data();
    const thinking = this.#thinking.data();
    if (text !== undefined || thinking !== undefined) {
      end.providerData = { ...(text && { text: text as Json }), ...(thinking && { thinking: thinking as Json }) };
    }
    return end;
  }
}

/** The blocks of one message's text or thinking, with what the provider hung on them. */
class Blocks {
  readonly #blocks = new Map<string, { length: number; options?: SharedV4ProviderOptions }>();

  add(id: string, piece: string, metadata: SharedV4ProviderMetadata | undefined): void {
    let block = this.#blocks.get(id);
    if (block === undefined) {
      block = { length: 0 };
      this.#blocks.set(id, block);
    }
    block.length += piece.length;
    if (metadata === undefined) return;
    block.options ??= {};
    for (const [name, fields] of Object.entries(metadata)) {
      block.options[name] = { ...block.options[name], ...fields };
    }
  }

  data(): BlockData | undefined {
    const blocks = [...this.#blocks.values()];
    return blocks.some((block) => block.options !== undefined) ? { blocks } : undefined;
  }
}

function toFinishReason({ unified }: LanguageModelV4FinishReason): FinishReason {
  switch (unified) {
    case "stop":
    case "length":
      return unified;
    case "tool-calls":
      return "tool_calls";
    case "content-filter":
      return "content_filter";
    case "interrupted":
      throw streamCut();
    case "error":
      throw new ModelError("model_unavailable", "the model's provider reported an error", { retryable: true });
    case "other":
      return "other";
    default:
      throw badResponse(`the model's provider finished for an unknown reason`);
  }
}

function toUsage({ inputTokens, outputTokens }: LanguageModelV4Usage): ModelUsage {
  const usage: ModelUsage = { inputTokens: inputTokens.total ?? 0, outputTokens: outputTokens.total ?? 0 };
  if (inputTokens.cacheRead !== undefined) usage.cachedInputTokens = inputTokens.cacheRead;
  return usage;
}
