/**
 * Modules of a project, loaded anew while the server runs.
 *
 * Node keeps a module for ever under its URL. A loading therefore has a version, `?v=3` behind the URL of the
 * file that is imported, and the resolver hands it on to that file's own imports: the same file imported
 * twice in one version is one module, and a new version reads all of them again. Packages keep theirs.
 */
import { stat } from "node:fs/promises";
import { registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Versions of this process, with the project they belong to and the files they came across. */
const versions = new Map<string, { root: string; files: Set<string> }>();
let hooked = false;
let last = 0;

const VERSION = /^file:[^?]*\?v=(\d+)$/;

function hook(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context);
      const tag = VERSION.exec(context.parentURL ?? "")?.[1];
      const version = tag === undefined ? undefined : versions.get(tag);
      if (version === undefined || !isOwn(resolved.url, version.root)) return resolved;
      version.files.add(resolved.url);
      return { ...resolved, url: `${resolved.url}?v=${tag}` };
    },
  });
}

const isOwn = (url: string, root: string): boolean =>
  url.startsWith(root) && !url.includes("/node_modules/") && !url.includes("?");

/** Imports files of a project. */
export type Importer = {
  import(path: string): Promise<unknown>;
  /** URLs of the files imported so far, directly or by each other; also of those that failed. */
  readonly files: ReadonlySet<string>;
};

/** An importer that shares modules with everything else that imports these files. */
export function sharedImporter(): Importer {
  return { import: (path) => import(pathToFileURL(path).href), files: new Set() };
}

/** An importer whose modules are new ones. @param root the project's real path */
export function freshImporter(root: string): Importer {
  hook();
  const tag = String(++last);
  const files = new Set<string>();
  versions.set(tag, { root: `${pathToFileURL(root).href}/`, files });
  return {
    files,
    import(path) {
      const { href } = pathToFileURL(path);
      files.add(href);
      return import(`${href}?v=${tag}`);
    },
  };
}

/**
 * When files were written: those that exist now, and all that a loading came across. Another text means that
 * something has changed.
 *
 * @param files     paths
 * @param startedMs a file written after that may have been read before it was: nothing is equal to that
 */
export async function stampOf(
  files: readonly string[],
  { files: loaded }: Pick<Importer, "files">,
  startedMs = Number.POSITIVE_INFINITY,
): Promise<string> {
  const all = [...new Set([...files, ...[...loaded].map((url) => fileURLToPath(url))])].sort();
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

/** How Node begins the stack of a file that is no TypeScript or JavaScript: with the file and the line. */
const WRONG_SYNTAX = /^(?:file:\/\/)?(\/[^\n?]+?)(?:\?v=\d+)?:(\d+)\n/;

/** Why a file could not be loaded, like `/srv/desk/tools/refund.ts:12: Expression expected`. */
export function whyNotLoaded(path: string, error: unknown): string {
  if (!(error instanceof Error)) return `${path}: ${String(error)}`;
  const [, file, line] = WRONG_SYNTAX.exec(error.stack ?? "") ?? [];
  if (file === undefined) return `${path}: ${error.message}`;
  return file === path ? `${path}:${line}: ${error.message}` : `${path}: ${file}:${line}: ${error.message}`;
}

/** Files of the project could not be loaded: for who starts the server, not for who reads its source. */
export const notLoaded = (what: string, problems: readonly string[]): Error =>
  Object.assign(new Error(`${what} could not be loaded:\n  ${problems.join("\n  ")}`), { code: "project" });
