/** The tools of this server: files of the operator's project and the built-in ones. Trusted code, like any server code. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AgentFile, JsonSchema, Tool, ToolDefinition } from "@callboard/kit";
import type { ToolInfo } from "@callboard/protocol";
import type { ProjectFile } from "../config/index.ts";
import type { Logger } from "../log/index.ts";
import { documentTools } from "./documents.ts";
import { httpTools } from "./http.ts";
import { fileTools } from "./thread-files.ts";
import { workspaceTools } from "./workspace/index.ts";

export type LoadedTool = {
  readonly name: string;
  readonly definition: ToolDefinition;
  /** What the model is shown as the input's shape. */
  readonly inputSchema: JsonSchema;
};

/** Tools that come and go while the server runs. */
export interface ToolSource {
  get(name: string): LoadedTool | undefined;
  all(): Iterable<LoadedTool>;
  /** Why a tool that would be of this source is not known; undefined for any other name. */
  missing(name: string): string | undefined;
  /** Resolves when it is known whether these tools are there, by default all of them. Never rejects. */
  ready(names?: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export class ToolRegistry {
  readonly #tools = new Map<string, LoadedTool>();
  readonly #source: ToolSource | undefined;
  readonly #agents: ReadonlyMap<AgentFile, string>;

  /** @param agents the project's agents as its tools import them, with their slugs */
  constructor(tools: Iterable<LoadedTool>, source?: ToolSource, agents: ReadonlyMap<AgentFile, string> = new Map()) {
    for (const tool of tools) this.#tools.set(tool.name, tool);
    this.#source = source;
    this.#agents = agents;
  }

  /** The slug of an agent that is the default export of a file in `agents/`. */
  slugOf(agent: AgentFile): string | undefined {
    return this.#agents.get(agent);
  }

  get(name: string): LoadedTool | undefined {
    return this.#tools.get(name) ?? this.#source?.get(name);
  }

  names(): ReadonlySet<string> {
    return new Set(this.#all().map(({ name }) => name));
  }

  /** Why a tool that may come is not known yet; undefined for tools that are there, and for those that never will be. */
  missing(name: string): string | undefined {
    return this.get(name) === undefined ? this.#source?.missing(name) : undefined;
  }

  /** Waits for tools that are not known yet, such as those of a server that was not asked. Never rejects. */
  async ready(names?: readonly string[]): Promise<void> {
    if (this.#source === undefined) return;
    const unknown = names?.filter((name) => this.get(name) === undefined);
    if (unknown === undefined || unknown.length > 0) await this.#source.ready(unknown);
  }

  async stop(): Promise<void> {
    await this.#source?.stop();
  }

  #all(): LoadedTool[] {
    return [...this.#tools.values(), ...(this.#source?.all() ?? [])];
  }

  list(): ToolInfo[] {
    return this.#all()
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, definition, inputSchema }) => ({
        name,
        description: definition.description,
        effect: definition.effect,
        sensitive: isSensitive({ definition }),
        input_schema: inputSchema as ToolInfo["input_schema"],
      }));
  }
}

export type ToolSettings = {
  /** The project's folder; null for the built-in tools alone. */
  project: string | null;
  file: ProjectFile;
  allowPrivateNetwork: boolean;
  log: Logger;
};

/**
 * Loads `tools/*.ts` of a project beside the built-in tools.
 *
 * @throws an error that names every file that could not be loaded, and why
 */
export async function loadTools(settings: ToolSettings): Promise<ToolRegistry> {
  const { project: folder, file: config, allowPrivateNetwork: allowPrivate, log } = settings;
  const builtIn = {
    ...fileTools,
    ...documentTools,
    ...httpTools(config.http.allow, { allowPrivate }),
    ...workspaceTools(config.workspace),
  };
  const tools: LoadedTool[] = Object.entries(builtIn).map(([name, tool]) => loaded(name, tool));
  const problems: string[] = [];
  for (const file of folder === null ? [] : await filesIn(join(folder, "tools"))) {
    const path = join(folder as string, "tools", file);
    const name = file.replace(/\.(ts|js|mjs)$/, "");
    try {
      if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) throw new Error("the file's name must be like search_tickets.ts");
      const module = (await import(pathToFileURL(path).href)) as { default?: Tool };
      if (module.default?.kind !== "tool") throw new Error("the default export must be defineTool({…})");
      tools.push(loaded(name, module.default));
    } catch (error) {
      problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(`tools could not be loaded:\n  ${problems.join("\n  ")}`);
  const agents = folder === null ? new Map() : await agentSlugs(join(folder, "agents"));
  if (Object.keys(config.mcpServers).length === 0) return new ToolRegistry(tools, undefined, agents);
  const taken = new Set(tools.map(({ name }) => name));
  const { McpTools } = await import("./mcp/index.ts"); // nobody else pays for loading it
  const source = new McpTools(config.mcpServers, { allowPrivate, log, taken });
  void source.ready(); // in the background: a server that is away does not keep this one from starting
  return new ToolRegistry(tools, source, agents);
}

/** Whether what it is given, or some of it, is nobody's business but the model's. */
export const isSensitive = ({ definition: { sensitive = false } }: Pick<LoadedTool, "definition">): boolean =>
  typeof sensitive === "boolean" ? sensitive : sensitive.length > 0;

/** The same modules that the tools import; a file with an error is named where agents are loaded. */
async function agentSlugs(folder: string): Promise<ReadonlyMap<AgentFile, string>> {
  const slugs = new Map<AgentFile, string>();
  for (const file of await filesIn(folder)) {
    const module = (await import(pathToFileURL(join(folder, file)).href).catch(() => ({}))) as { default?: AgentFile };
    if (module.default?.kind === "agent") slugs.set(module.default, file.replace(/\.(ts|js|mjs)$/, ""));
  }
  return slugs;
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /^[^.].*\.(ts|js|mjs)$/.test(name) && !/\.(test|d)\./.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function loaded(name: string, tool: Tool): LoadedTool {
  const { definition } = tool;
  const made =
    definition.inputJsonSchema ?? definition.input["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
  if (made === undefined) {
    throw new Error("the input schema cannot be shown as JSON Schema; set inputJsonSchema beside it");
  }
  const { $schema: _, ...inputSchema } = made;
  return { name, definition, inputSchema };
}
