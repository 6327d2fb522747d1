/** Where in the project something went wrong. */
import { isAbsolute, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The end of a line of a stack: file or its URL, version of a reloaded module, line, column. */
const FRAME = /(?:^|[\s(])((?:file:\/\/)?\/[^()\n]*?)(?:\?v=\d+)?:(\d+):(\d+)\)?$/;

type Frame = { path: string; row: string; column: string };

/** The places of an error, the innermost first, then those of its causes; only those in files. */
function* framesOf(error: unknown): Generator<Frame> {
  for (let one = error, depth = 0; one instanceof Error && depth < 8; one = one.cause, depth++) {
    for (const line of (one.stack ?? "").split("\n")) {
      const [, place = "", row = "", column = ""] = FRAME.exec(line.trimEnd()) ?? [];
      if (place !== "") yield { path: place.startsWith("file:") ? fileURLToPath(place) : place, row, column };
    }
  }
}

/** The path below the folder; undefined for one outside. */
function below(folder: string, path: string): string | undefined {
  const own = relative(folder, path);
  return own === "" || own.startsWith("..") || isAbsolute(own) ? undefined : own;
}

/**
 * The innermost place of an error in the project's own files, like `endpoints/triage.ts:12:5`; that of its causes
 * when it has none itself.
 *
 * @param folder the project's real path
 * @returns undefined when no frame is the project's
 */
export function projectPlace(error: unknown, folder: string): string | undefined {
  for (const { path, row, column } of framesOf(error)) {
    const own = below(folder, path);
    if (own !== undefined && !/(^|[\\/])node_modules[\\/]/.test(own)) return `${own}:${row}:${column}`;
  }
  return undefined;
}

/**
 * Whether an error that nobody caught is the project's mistake: it passed through the project's files; or through
 * none of the server's, like that of a socket, a file or a timer, which has no place at all.
 *
 * @param project the project's real path; empty without one
 * @param server  the folder of the server's own files
 */
export function isProjects(error: unknown, project: string, server: string): boolean {
  if (project === "") return false;
  if (projectPlace(error, project) !== undefined) return true;
  for (const { path } of framesOf(error)) if (below(server, path) !== undefined) return false;
  return true;
}
