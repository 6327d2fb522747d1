/** What an MCP server answered to a call, as JSON that a model reads. */
import { issuePath, type StandardSchema } from "@callboard/kit";
import type { CallToolResult, ContentBlock } from "@modelcontextprotocol/client";
import { readable } from "./schema.ts";

/** Characters of one text; a whole result has the limit of all tools. */
const MAX_TEXT_CHARS = 100_000;
const MAX_BLOCKS = 100;

/**
 * Structured content as it is; one text as that text; anything else as a list of what came. Images, sound and
 * resources are described: a model cannot read them here, and their bytes would fill its window.
 *
 * @param schema what the structured content must fit, where the tool declared it
 * @throws an error with the server's words when it says that the call failed; one without them when its answer is not
 *   what the tool declared
 */
export async function toOutput(result: CallToolResult, schema?: StandardSchema): Promise<unknown> {
  const blocks = result.content.slice(0, MAX_BLOCKS);
  if (result.isError === true) {
    const said = blocks.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n");
    throw new Error(said === "" ? "the MCP server says that the call failed" : said);
  }
  if (schema !== undefined) await requireDeclared(result.structuredContent, schema);
  if (result.structuredContent !== undefined) return result.structuredContent;
  const content = blocks.map(described);
  if (result.content.length > MAX_BLOCKS) content.push({ type: "cut", left_out: result.content.length - MAX_BLOCKS });
  const [first] = content;
  return content.length === 1 && first?.type === "text" ? first.text : { content };
}

const MAX_PROBLEM_CHARS = 200;

async function requireDeclared(content: unknown, schema: StandardSchema): Promise<void> {
  // The work may be done: who reads this should not take it for a call that can simply be made again.
  const broken = "the MCP server took the call, and its answer is not what the tool declares";
  if (content === undefined) throw new Error(`${broken}: it has no structured content`);
  const { issues } = await schema["~standard"].validate(content);
  if (issues === undefined) return;
  const problems = issues.map((issue) =>
    `${issuePath(issue) || "the answer"} ${issue.message}`.slice(0, MAX_PROBLEM_CHARS),
  );
  throw new Error(`${broken}: ${readable(problems.join("; "))}`);
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
