/** Agents in files. */
import type { AccessMode, AgentConfigInput } from "@callboard/protocol";

export type AgentDefinition = Omit<AgentConfigInput, "tools"> & {
  /** Names of tools, or a tool with its approval policy. */
  tools?: Array<string | { name: string; approval: "never" | "always" }>;
  access_mode?: AccessMode;
  api_access?: boolean;
};

export type AgentFile = { readonly kind: "agent"; readonly definition: AgentDefinition };

/** An agent; the default export of `agents/<slug>.ts`. The file's name is the agent's slug. */
export function defineAgent(definition: AgentDefinition): AgentFile {
  return { kind: "agent", definition };
}
