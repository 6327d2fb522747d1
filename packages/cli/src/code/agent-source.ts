/** An agent as the file that would make it. */
import type { CreateAgent } from "@callboard/protocol";
import { withoutDefaults } from "../project/defaults.ts";
import { literal } from "./literal.ts";

/** Settings that `defineAgent` takes for granted. */
const usual: Pick<CreateAgent, "access_mode" | "api_access"> = { access_mode: "organization", api_access: true };

/**
 * The text of `agents/<slug>.ts`; the file's name carries the slug. Fields whose value is the default are left
 * out, and the same agent gives the same text.
 */
export function agentSource({ slug: _, draft, ...settings }: CreateAgent): string {
  const config = Object.entries(withoutDefaults(draft)).map(([name, value]) => [
    name,
    name === "tools" && Array.isArray(value) ? value.map(shortTool) : value,
  ]);
  const unusual = Object.entries(settings).filter(([name, value]) => usual[name as keyof typeof usual] !== value);
  const definition = literal(Object.fromEntries([...config, ...unusual]));
  return `import { defineAgent } from "@callboard/kit";\n\nexport default defineAgent(${definition});\n`;
}

/** A tool by its name alone, where that says everything. */
function shortTool(tool: unknown): unknown {
  const { name, approval = "never", ...rest } = tool as { name: string; approval?: string };
  return approval === "never" && Object.keys(rest).length === 0 ? name : tool;
}
