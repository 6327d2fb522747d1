/** Our request as the call options of a `LanguageModelV4`. */
import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4TextPart,
  SharedV4ProviderOptions,
} from "@ai-sdk/provider";
import type { Json } from "@callboard/protocol";
import { type FilePart, fileAsNote, fileAsText, fileKind } from "./attachments.ts";
import type { AssistantPart, ModelRequest, UserPart } from "./model.ts";

/**
 * What a provider hung on the blocks of a message's text or thinking, in their order; `length` is in
 * characters of the part's text. Providers check signatures block by block, while we keep one text.
 */
export type BlockData = { blocks: { length: number; options?: SharedV4ProviderOptions }[] };

export type RequestTraits = {
  /** The name under which this connection's messages carry provider data. */
  provider: string;
  /** Options that go with every call. */
  providerOptions: SharedV4ProviderOptions;
  /** Kinds of files that go to the provider as they are, beside images and PDFs: "audio", "video". */
  media: readonly string[];
  /** Whether the provider enforces an output schema without taking the tools away. */
  schemaWithTools: boolean;
};

export function toCallOptions(request: ModelRequest, traits: RequestTraits, signal: AbortSignal) {
  const { outputSchema } = request;
  const enforced = outputSchema !== undefined && (traits.schemaWithTools || request.tools.length === 0);
  const told = outputSchema !== undefined && !enforced ? schemaInWords(outputSchema) : "";
  const system = [request.system, told].filter((text) => text !== "").join("\n\n");

  const options: LanguageModelV4CallOptions = {
    prompt: toPrompt(system, request, traits),
    providerOptions: traits.providerOptions,
    abortSignal: signal,
    // Compressed events would wait in the decoder.
    headers: { "accept-encoding": "identity" },
  };
  if (request.maxOutputTokens !== undefined) options.maxOutputTokens = request.maxOutputTokens;
  if (enforced) options.responseFormat = { type: "json", schema: outputSchema, name: "output" };
  if (request.tools.length > 0) {
    options.tools = request.tools.map(({ name, description, inputSchema }) => ({
      type: "function",
      name,
      description,
      inputSchema,
    }));
  }
  return options;
}

function schemaInWords(schema: ModelRequest["outputSchema"]): string {
  return `When you have what you need, answer with JSON alone, without a code fence. It must fit this JSON Schema:\n${JSON.stringify(schema)}`;
}

function toPrompt(system: string, request: ModelRequest, traits: RequestTraits): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Prompt = system === "" ? [] : [{ role: "system", content: system }];
  for (const message of request.messages) {
    switch (message.role) {
      case "user":
        prompt.push({ role: "user", content: message.content.map((part) => userPart(part, traits)) });
        break;
      case "assistant":
        prompt.push({
          role: "assistant",
          content: message.content.flatMap((part) => assistantParts(part, message.provider === traits.provider)),
        });
        break;
      case "tool":
        prompt.push({
          role: "tool",
          content: message.results.map(({ callId, tool, isError, text }) => ({
            type: "tool-result",
            toolCallId: callId,
            toolName: tool,
            output: { type: isError ? "error-text" : "text", value: text },
          })),
        });
        break;
      default:
        message satisfies never;
    }
  }
  return prompt;
}

function userPart(part: UserPart, traits: RequestTraits): LanguageModelV4TextPart | LanguageModelV4FilePart {
  return part.type === "text" ? { type: "text", text: part.text } : filePart(part, traits);
}

function filePart(file: FilePart, traits: RequestTraits): LanguageModelV4TextPart | LanguageModelV4FilePart {
  const kind = fileKind(file.mediaType);
  if (kind === "text") return { type: "text", text: fileAsText(file) };
  const known = kind === "image" || kind === "pdf" || traits.media.includes(file.mediaType.split("/", 1)[0] ?? "");
  if (!known) return { type: "text", text: fileAsNote(file) };
  return { type: "file", filename: file.name, mediaType: file.mediaType, data: { type: "data", data: file.bytes } };
}

type AssistantContent = Extract<LanguageModelV4Message, { role: "assistant" }>["content"];

/** Provider data of another provider is left out, and thinking with it: only its author can check it. */
function assistantParts(part: AssistantPart, own: boolean): AssistantContent {
  switch (part.type) {
    case "text":
      return blocks(part.text, own ? part.providerData : undefined).map((block) => ({ type: "text", ...block }));
    case "thinking":
      if (!own) return [];
      return blocks(part.text, part.providerData).map((block) => ({ type: "reasoning", ...block }));
    case "tool_call": {
      const call = { type: "tool-call", toolCallId: part.id, toolName: part.tool, input: part.input } as const;
      if (!own || part.providerData === undefined) return [call];
      return [{ ...call, providerOptions: part.providerData as SharedV4ProviderOptions }];
    }
  }
}

function blocks(text: string, data: Json | undefined): { text: string; providerOptions?: SharedV4ProviderOptions }[] {
  const found = (data as BlockData | undefined)?.blocks;
  // A text that was changed in between has no valid signatures any more.
  if (found === undefined || found.reduce((sum, block) => sum + block.length, 0) !== text.length) {
    return text === "" ? [] : [{ text }];
  }
  let at = 0;
  return found.map(({ length, options }) => {
    const piece = text.slice(at, at + length);
    at += length;
    return options === undefined ? { text: piece } : { text: piece, providerOptions: options };
  });
}
