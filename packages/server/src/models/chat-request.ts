/**
 * Our request in the words of OpenAI's chat completions API, as the servers that copy it understand them.
 *
 * Source: "Create chat completion" in OpenAI's API reference. Fields that only OpenAI's own server knows
 * are left out.
 */
import type { Json } from "@callboard/protocol";
import { type FilePart, fileAsNote, fileAsText, fileKind, toBase64 } from "./attachments.ts";
import type { AssistantPart, ModelMessage, ModelRequest, UserPart } from "./model.ts";

/**
 * What this provider keeps beside the parts of a message.
 *
 * `reasoning_field` is the name under which a server sent its thinking; some want it back with the tool
 * calls that came with it. `extra_content` is what a server hung on a tool call, such as a signature.
 */
export type ChatThinkingData = { reasoning_field: string };
export type ChatCallData = { extra_content: Json };

type WirePart =
  | { type: "text"; text: string }
  | { type: "image_url"; image_url: { url: string } }
  | { type: "file"; file: { filename: string; file_data: string } };

/** The body of `POST {base_url}/chat/completions`. */
export function toChatBody(request: ModelRequest, provider: string): string {
  const messages: object[] = [];
  if (request.system !== "") messages.push({ role: "system", content: request.system });
  for (const message of request.messages) addMessage(messages, message, provider);
  return JSON.stringify({
    model: request.modelId,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: request.maxOutputTokens,
    tools:
      request.tools.length === 0
        ? undefined
        : request.tools.map(({ name, description, inputSchema }) => ({
            type: "function",
            function: { name, description, parameters: inputSchema },
          })),
    response_format:
      request.outputSchema === undefined
        ? undefined
        : { type: "json_schema", json_schema: { name: "output", schema: request.outputSchema } },
  });
}

function addMessage(messages: object[], message: ModelMessage, provider: string): void {
  switch (message.role) {
    case "user":
      messages.push({ role: "user", content: userContent(message.content) });
      return;
    case "assistant":
      messages.push(assistantMessage(message.content, message.provider === provider));
      return;
    case "tool":
      // There is no field for a failed call; its text says so.
      for (const { callId, text } of message.results)
        messages.push({ role: "tool", tool_call_id: callId, content: text });
      return;
    default:
      message satisfies never;
  }
}

/** Plain text stays a string: some servers accept nothing else. */
function userContent(content: readonly UserPart[]): string | WirePart[] {
  const parts = content.map(
    (part): WirePart => (part.type === "text" ? { type: "text", text: part.text } : filePart(part)),
  );
  const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []));
  return texts.length === parts.length ? texts.join("\n\n") : parts;
}

function filePart(file: FilePart): WirePart {
  switch (fileKind(file.mediaType)) {
    case "image":
      return { type: "image_url", image_url: { url: dataUrl(file) } };
    case "pdf":
      return { type: "file", file: { filename: file.name, file_data: dataUrl(file) } };
    case "text":
      return { type: "text", text: fileAsText(file) };
    case "other":
      return { type: "text", text: fileAsNote(file) };
  }
}

function dataUrl(file: FilePart): string {
  return `data:${file.mediaType};base64,${toBase64(file.bytes)}`;
}

function assistantMessage(content: readonly AssistantPart[], own: boolean): object {
  let text = "";
  let thinking = "";
  let field: string | undefined;
  const calls: object[] = [];
  for (const part of content) {
    switch (part.type) {
      case "text":
        text += part.text;
        break;
      case "thinking":
        thinking += part.text;
        if (own) field ??= (part.providerData as ChatThinkingData | undefined)?.reasoning_field;
        break;
      case "tool_call": {
        const call = {
          id: part.id,
          type: "function",
          function: { name: part.tool, arguments: JSON.stringify(part.input) },
        };
        calls.push(own && part.providerData !== undefined ? { ...call, ...(part.providerData as ChatCallData) } : call);
        break;
      }
      default:
        part satisfies never;
    }
  }
  if (calls.length === 0) return { role: "assistant", content: text };
  const message = { role: "assistant", content: text === "" ? null : text, tool_calls: calls };
  return field === undefined ? message : { ...message, [field]: thinking };
}
