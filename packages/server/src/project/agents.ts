/** Agents in files: `agents/<slug>.ts` of a project. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AgentFile } from "@callboard/kit";
import { type AccessMode, type AgentConfig, agentConfig } from "@callboard/protocol";

export type AgentInFile = { slug: string; config: AgentConfig; accessMode: AccessMode; apiAccess: boolean };

/** @throws an error that names every file that could not be loaded, and why */
export async function loadAgents(folder: string): Promise<AgentInFile[]> {
  const agents: AgentInFile[] = [];
  const problems: string[] = [];
  for (const file of await agentFiles(join(folder, "agents"))) {
    const path = join(folder, "agents", file);
    try {
      const module = (await import(pathToFileURL(path).href)) as { default?: AgentFile };
      agents.push(toAgent(file.replace(/\.(ts|js|mjs)$/, ""), module.default));
    } catch (error) {
      problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(`agents could not be loaded:\n  ${problems.join("\n  ")}`);
  return agents;
}

function toAgent(slug: string, file: AgentFile | undefined): AgentInFile {
  if (file?.kind !== "agent") throw new Error("the default export must be defineAgent({…})");
  const { access_mode: accessMode = "organization", api_access: apiAccess = true, tools, ...rest } = file.definition;
  const named = tools?.map((tool) => (typeof tool === "string" ? { name: tool } : tool));
  const parsed = agentConfig.safeParse(named === undefined ? rest : { ...rest, tools: named });
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
  }
  return { slug, config: parsed.data, accessMode, apiAccess };
}

async function agentFiles(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder))
      .filter((name) => /^[^.].*\.(ts|js|mjs)$/.test(name) && !/\.(test|d)\./.test(name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
