/** Agents in files: `agents/<slug>.ts` of a project. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AgentFile } from "@callboard/kit";
import { createAgent } from "@callboard/protocol";
import { notLoaded, whyNotLoaded } from "../config/index.ts";
import type { AgentInFile } from "./plan.ts";

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
      problems.push(whyNotLoaded(path, error));
    }
  }
  if (problems.length > 0) throw notLoaded("agents", problems);
  return agents;
}

function toAgent(slug: string, file: AgentFile | undefined): AgentInFile {
  if (file?.kind !== "agent") throw new Error("the default export must be defineAgent({…})");
  const { tools, ...rest } = file.definition;
  const named = tools?.map((tool) => (typeof tool === "string" ? { name: tool } : tool));
  const fields = Object.entries(named === undefined ? rest : { ...rest, tools: named });
  const draft = Object.fromEntries(fields.filter(([name]) => !isSetting(name)));
  const settings = Object.fromEntries(fields.filter(([name]) => isSetting(name)));
  const parsed = createAgent.safeParse({ slug, ...settings, draft });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => {
    const at = path[0] === "draft" ? path.slice(1) : path[0] === "slug" ? ["the file's name"] : path;
    return at.length === 0 ? message : `${at.join(".")}: ${message}`;
  });
  throw new Error(problems.join("; "));
}

/** What belongs to the agent itself and not to a version of it. */
const isSetting = (name: string): boolean =>
  name !== "slug" && name !== "draft" && Object.hasOwn(createAgent.shape, name);

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
