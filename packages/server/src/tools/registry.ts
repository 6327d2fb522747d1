/** The tools of this server: files of the operator's project and the built-in ones. Trusted code, like any server code. */
import type { AgentFile } from "@callboard/kit";
import type { ToolInfo } from "@callboard/protocol";
import type { ProjectFile } from "../config/index.ts";
import type { Logger } from "../log/index.ts";
import { documentTools } from "./documents.ts";
import { httpTools } from "./http.ts";
import { type LoadedTool, loadedTool } from "./loaded.ts";
import type { Assert } from "./mcp/index.ts";
import { ProjectTools } from "./project.ts";
import { fileTools } from "./thread-files.ts";
import { workspaceTools } from "./workspace/index.ts";

export type { LoadedTool } from "./loaded.ts";

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
  readonly #project: ProjectTools | undefined;

  constructor(tools: Iterable<LoadedTool>, source?: ToolSource, project?: ProjectTools) {
    for (const tool of tools) this.#tools.set(tool.name, tool);
    this.#source = source;
    this.#project = project;
  }

  /** Looks for changed files of the project, if this server reloads. */
  async refresh(): Promise<void> {
    await this.#project?.refresh();
  }

  /** The slug of an agent that is the default export of a file in `agents/`. */
  slugOf(agent: AgentFile): string | undefined {
    return this.#project?.slugOf(agent);
  }

  get(name: string): LoadedTool | undefined {
    return this.#project?.get(name) ?? this.#tools.get(name) ?? this.#source?.get(name);
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
    const own = [...(this.#project?.all() ?? [])];
    const builtIn = [...this.#tools.values()].filter(({ name }) => this.#project?.get(name) === undefined);
    return [...own, ...builtIn, ...(this.#source?.all() ?? [])];
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
  /** Edited tools of the project take effect with the next request. Default false. */
  reload?: boolean;
  allowPrivateNetwork: boolean;
  log: Logger;
  /** Says for whom a call is, to MCP servers that are told. Default: such calls fail. */
  assert?: Assert;
};

/**
 * Loads the tools of a project beside the built-in ones.
 *
 * @throws an error that names every file that could not be loaded, and why
 */
export async function loadTools(settings: ToolSettings): Promise<ToolRegistry> {
  const { project: folder, file: config, reload = false, allowPrivateNetwork: allowPrivate, log } = settings;
  const builtIn = {
    ...fileTools,
    ...documentTools,
    ...httpTools(config.http.allow, { allowPrivate }),
    ...workspaceTools(config.workspace),
  };
  const tools = Object.entries(builtIn).map(([name, tool]) => loadedTool(name, tool));
  const project = folder === null ? undefined : await ProjectTools.load(folder, reload, log);
  if (Object.keys(config.mcpServers).length === 0) return new ToolRegistry(tools, undefined, project);
  const taken = new Set([...tools, ...(project?.all() ?? [])].map(({ name }) => name));
  const { McpTools } = await import("./mcp/index.ts"); // nobody else pays for loading it
  const assert = settings.assert ?? (() => Promise.reject(new Error("nothing is signed here")));
  const source = new McpTools(config.mcpServers, { allowPrivate, log, assert, taken });
  void source.ready(); // in the background: a server that is away does not keep this one from starting
  return new ToolRegistry(tools, source, project);
}

/** Whether what it is given, or some of it, is nobody's business but the model's. */
export const isSensitive = ({ definition: { sensitive = false } }: Pick<LoadedTool, "definition">): boolean =>
  typeof sensitive === "boolean" ? sensitive : sensitive.length > 0;
