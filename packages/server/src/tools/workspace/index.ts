/**
 * Built-in tool: a shell on the files of the run's thread.
 *
 * Each call begins anew: `/files` holds what the thread holds, and what a command writes under `/out` becomes
 * files of the thread. Nothing else outlives a call, so a crash loses nothing; a call that is made again after
 * one writes each name once.
 */
import type { Tool, ToolFiles } from "@callboard/kit";
import type { File, FileId } from "@callboard/protocol";
import { z } from "zod";
import type { WorkspaceLimits } from "../../config/index.ts";
import { zodTool } from "../zod-tool.ts";
import { mediaTypeOf } from "./media-type.ts";
import { Shell } from "./shell.ts";

const MAX_TEXT_CHARS = 30_000;
/** A command waits for its place at most so long. */
const QUEUE_MS = 60_000;

const description = `Run a bash command on the files of this conversation, in a sandbox with cat, grep, rg, sed, awk, \
sort, uniq, cut, join, jq, yq, xan (CSV), find, diff, tar, gzip, base64 and the like. No network, no Python, no \
Node. Files of the conversation are in /files. Files that you write directly into /out are handed to the people in the \
conversation. Nothing else is kept: each call starts anew.`;

/** @param limits false takes the tool away */
export function workspaceTools(limits: WorkspaceLimits | false): Record<string, Tool> {
  if (limits === false) return {};
  const shell = new Shell(limits);
  return {
    workspace_run: zodTool({
      description,
      input: z.strictObject({ command: z.string().min(1).max(100_000).describe("The bash command, or a script.") }),
      effect: "idempotent",
      timeoutMs: limits.timeoutMs + QUEUE_MS,
      run: async ({ command }, { files, signal }) => {
        const places = placesOf(await files.list());
        const read = (path: string) => readPlace(files, places, path);
        const { exitCode, stdout, stderr, written, leftOut } = await shell.run(
          command,
          [...places.keys()],
          read,
          signal,
        );
        const handed = [];
        for (const { name, bytes } of written) {
          signal.throwIfAborted();
          const { id, size_bytes } = await files.write({ name, mediaType: mediaTypeOf(name), bytes });
          handed.push({ id, name, size_bytes });
        }
        return {
          exit_code: exitCode,
          stdout: cut(stdout),
          stderr: cut(stderr),
          files: handed,
          ...(leftOut.length === 0 ? {} : { left_out: leftOut.slice(0, 50) }),
        };
      },
    }),
  };
}

/** `/files/<name>`; of several with one name the newest has it, and the others are in a folder of their id. */
function placesOf(files: readonly File[]): Map<string, FileId> {
  const places = new Map<string, FileId>();
  for (const { id, name } of files.toSorted((a, b) => (a.id < b.id ? 1 : -1))) {
    if (name === "." || name === "..") continue;
    const place = `/files/${name}`;
    places.set(places.has(place) ? `/files/${id}/${name}` : place, id);
  }
  return places;
}

async function readPlace(files: ToolFiles, places: Map<string, FileId>, path: string): Promise<Uint8Array | null> {
  const id = places.get(path);
  return id === undefined ? null : (await files.read(id)).bytes;
}

function cut(text: string): string {
  return text.length <= MAX_TEXT_CHARS
    ? text
    : `${text.slice(0, MAX_TEXT_CHARS)}\n[cut after ${MAX_TEXT_CHARS} characters]`;
}
