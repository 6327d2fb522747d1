/** Tools of MCP servers that the operator lists in `callboard.config.ts`. */
import type { ProjectFile } from "../../config/index.ts";
import type { LoadedTool, ToolSource } from "../registry.ts";
import { serverOf } from "./names.ts";
import { McpServer, type McpSettings } from "./server.ts";

export type { Assert } from "./assertion.ts";

export class McpTools implements ToolSource {
  readonly #servers: ReadonlyMap<string, McpServer>;

  constructor(servers: ProjectFile["mcpServers"], settings: McpSettings) {
    this.#servers = new Map(
      Object.entries(servers).map(([name, target]) => [name, new McpServer(name, target, settings)]),
    );
  }

  get(name: string): LoadedTool | undefined {
    return this.#serverOf(name)?.tools.get(name);
  }

  *all(): Iterable<LoadedTool> {
    for (const { tools } of this.#servers.values()) yield* tools.values();
  }

  missing(name: string): string | undefined {
    return this.#serverOf(name)?.problem;
  }

  async ready(names?: readonly string[]): Promise<void> {
    const asked =
      names === undefined ? [...this.#servers.values()] : names.flatMap((name) => this.#serverOf(name) ?? []);
    await Promise.all(
      [...new Set(asked)].filter(({ problem }) => problem !== undefined).map((server) => server.list()),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.close()));
  }

  #serverOf(name: string): McpServer | undefined {
    return this.#servers.get(serverOf(name) ?? "");
  }
}
