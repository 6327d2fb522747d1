/** What an MCP server answered to a call, as JSON that a model reads. */
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/client";

/** Characters of one text; a whole result has the limit of all tools. */
const MAX_TEXT_CHARS = 100_000;
const MAX_BLOCKS = 100;

/**
 * Structured content as it is; one text as that text; anything else as a list of what came. Images, sound and
 * resources are described: a model cannot read them here, and their bytes would fill its window.
 *
 * @throws an error with the server's words when it says that the call failed
 */
export function toOutput(result: CallToolResult): unknown {
  const blocks = result.content.slice(0, MAX_BLOCKS);
  if (result.isError === true) {
    const said = blocks.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n");
    throw new Error(said === "" ? "the MCP server says that the call failed" : said);
  }
  if (result.structuredContent !== undefined) return result.structuredContent;
  const content = blocks.map(described);
  if (result.content.length > MAX_BLOCKS) content.push({ type: "cut", left_out: result.content.length - MAX_BLOCKS });
  const [first] = content;
  return content.length === 1 && first?.type === "text" ? first.text : { content };
}

type Described = { type: string; text?: string; [fact: string]: unknown };

function described(block: ContentBlock): Described {
  switch (block.type) {
    case "text":
      return { type: "text", text: cut(block.text) };
    case "image":
    case "audio":
      return { type: block.type, media_type: block.mimeType, size_bytes: decodedBytes(block.data) };
    case "resource_link":
      return { type: "resource_link", uri: block.uri, name: block.name, media_type: block.mimeType };
    case "resource": {
      const { uri, mimeType } = block.resource;
      const size = "text" in block.resource ? block.resource.text.length : decodedBytes(block.resource.blob);
      return { type: "resource", uri, media_type: mimeType, size_bytes: size };
    }
    default:
      return { type: "unknown" };
  }
}

const decodedBytes = (base64: string): number => Math.floor((base64.length * 3) / 4);

function cut(text: string): string {
  if (text.length <= MAX_TEXT_CHARS) return text;
  return `${text.slice(0, MAX_TEXT_CHARS)}\n[cut after ${MAX_TEXT_CHARS} of ${text.length} characters]`;
}
