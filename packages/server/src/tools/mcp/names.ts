/** Names of MCP tools as models and agents use them: `crm__search`. */
import { createHash } from "node:crypto";

/** What providers and `toolName` of the protocol take. */
const MAX_LENGTH = 64;

/**
 * Gives each of a server's tools a name of its own, the same in every listing that holds the same tools. A name
 * that had to be changed so much that two could meet gets a piece of its hash.
 *
 * @param own the server's own names, each once
 * @returns the new name by the own one
 */
export function toolNames(server: string, own: readonly string[]): Map<string, string> {
  const wanted = new Map(own.map((name) => [name, plainName(server, name)]));
  const takers = Map.groupBy(own, (name) => wanted.get(name) as string);
  for (const [name, found] of wanted) {
    const others = (takers.get(found) as string[]).length > 1;
    if (found.length > MAX_LENGTH || (others && found !== `${server}__${name}`)) {
      const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
      wanted.set(name, `${found.slice(0, MAX_LENGTH - 9)}_${hash}`);
    }
  }
  return wanted;
}

function plainName(server: string, name: string): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
  return `${server}__${words.replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "") || "tool"}`;
}

/** The server that a tool's name belongs to; undefined when it is no MCP tool's. */
export function serverOf(tool: string): string | undefined {
  const at = tool.indexOf("__");
  return at <= 0 ? undefined : tool.slice(0, at);
}
