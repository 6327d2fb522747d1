/** Where in the project something went wrong. */
import { isAbsolute, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The end of a line of a stack: file or its URL, version of a reloaded module, line, column. */
const FRAME = /(?:^|[\s(])((?:file:\/\/)?\/[^()\n]*?)(?:\?v=\d+)?:(\d+):(\d+)\)?$/;

/**
 * The innermost place of an error in the project's own files, like `endpoints/triage.ts:12:5`; that of its causes
 * when it has none itself.
 *
 * @param folder the project's real path
 * @returns undefined when no frame is the project's
 */
export function projectPlace(error: unknown, folder: string): string | undefined {
  for (let one = error, depth = 0; one instanceof Error && depth < 8; one = one.cause, depth++) {
    for (const line of (one.stack ?? "").split("\n")) {
      const [, place = "", row, column] = FRAME.exec(line.trimEnd()) ?? [];
      const path = place.startsWith("file:") ? fileURLToPath(place) : place;
      const own = path === "" ? "" : relative(folder, path);
      if (own === "" || own.startsWith("..") || isAbsolute(own) || /(^|[\\/])node_modules[\\/]/.test(own)) continue;
      return `${own}:${row}:${column}`;
    }
  }
  return undefined;
}
