/**
 * The endpoints this process serves now. With `reload`, whoever asks gets them as the files are at that moment:
 * a file that cannot be loaded keeps what it was before, and the log says why.
 */
import { realpath, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { AgentFile } from "@callboard/kit";
import { errorFacts, type Logger } from "../log/index.ts";
import { endpointFiles, type LoadedEndpoint, loadFiles } from "./load.ts";
import { compare, matchPath } from "./paths.ts";
import { freshImporter, sharedImporter } from "./versions.ts";

export type RegistryOptions = { folder: string | null; reload: boolean; log: Logger };
export type Match = { endpoint: LoadedEndpoint; params: Record<string, string> };

export class EndpointRegistry {
  readonly #options: RegistryOptions;
  #endpoints: readonly LoadedEndpoint[] = [];
  #slugs = new WeakMap<AgentFile, string>();
  #files: readonly string[] = [];
  #stamp = "";
  #loading: Promise<void> | undefined;
  /** Goes up when the endpoints change. */
  version = 0;

  private constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** @throws an error that names every file that could not be loaded, and why; not with `reload` */
  static async load(options: RegistryOptions): Promise<EndpointRegistry> {
    const folder = options.folder === null ? null : await realpath(options.folder).catch(() => options.folder);
    const registry = new EndpointRegistry({ ...options, folder });
    await registry.#load();
    return registry;
  }

  /** Looks for changed files, if this server reloads. */
  async refresh(): Promise<void> {
    if (!this.#options.reload || this.#options.folder === null) return;
    this.#loading ??= this.#loadChanged().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  /** The project's real path; empty without a project. */
  get folder(): string {
    return this.#options.folder ?? "";
  }

  list(): readonly LoadedEndpoint[] {
    return this.#endpoints;
  }

  get(name: string): LoadedEndpoint | undefined {
    return this.#endpoints.find((endpoint) => endpoint.name === name);
  }

  /** @param path of a URL, still encoded */
  match(path: string): Match | undefined {
    for (const endpoint of this.#endpoints) {
      const params = matchPath(endpoint.pattern, path);
      if (params !== undefined) return { endpoint, params };
    }
    return undefined;
  }

  /** The slug of an agent that is the default export of a file in `agents/`. */
  slugOf(agent: AgentFile): string | undefined {
    return this.#slugs.get(agent);
  }

  async #loadChanged(): Promise<void> {
    const stamp = await this.#look();
    if (stamp !== this.#stamp) await this.#load();
  }

  async #load(): Promise<void> {
    const { folder, reload, log } = this.#options;
    if (folder === null) return;
    const startedMs = Date.now();
    const importer = reload ? freshImporter(folder) : sharedImporter();
    const { endpoints, slugs, problems } = await loadFiles(folder, importer);
    if (!reload && problems.length > 0) {
      const lines = problems.map(({ file, error }) => `${file}: ${error instanceof Error ? error.message : error}`);
      throw new Error(`endpoints could not be loaded:\n  ${lines.join("\n  ")}`);
    }
    for (const { name, file, error } of problems) {
      const before = this.get(name);
      log.error({ file, error: errorFacts(error), still_serving: before !== undefined }, "an endpoint has an error");
      if (before !== undefined) endpoints.push(before);
    }
    this.#endpoints = endpoints.sort((a, b) => compare(a.pattern, b.pattern));
    for (const [agent, slug] of slugs) this.#slugs.set(agent, slug);
    this.#files = [...importer.files].map((url) => fileURLToPath(url));
    this.version++;
    if (reload) this.#stamp = await this.#look(startedMs);
  }

  /**
   * When the files were written: those that exist now, and all that the last loading came across.
   *
   * @param startedMs a file written after that may have been read before it was: nothing is equal to that
   */
  async #look(startedMs = Number.POSITIVE_INFINITY): Promise<string> {
    const now = (await endpointFiles(this.#options.folder as string)).map(({ file }) => file);
    const all = [...new Set([...now, ...this.#files])].sort();
    const times = await Promise.all(
      all.map((file) =>
        stat(file).then(
          ({ mtimeMs }) => mtimeMs,
          () => -1,
        ),
      ),
    );
    if (times.some((ms) => ms >= startedMs)) return "";
    return all.map((file, i) => `${file} ${times[i]}`).join("\n");
  }
}
