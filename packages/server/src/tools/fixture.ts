/** For tests: tools of a project, and calls of them outside a run. */
import type { ToolContext, ToolFiles } from "@callboard/kit";
import { type File, type FileId, newId } from "@callboard/protocol";
import { noProjectFile, type ProjectFile } from "../config/index.ts";
import type { Logger } from "../log/index.ts";
import { type CallResult, callTool, checkInput } from "./call.ts";
import { loadTools, type ToolRegistry, type ToolSettings } from "./registry.ts";

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** The tools that a project has, of files in `folder` and by its configuration; private addresses may be reached. */
export function toolsOf(
  project: string | null = null,
  file: Partial<ProjectFile> = {},
  more: Partial<ToolSettings> = {},
): Promise<ToolRegistry> {
  return loadTools({ project, file: { ...noProjectFile, ...file }, allowPrivateNetwork: true, log: silent, ...more });
}

/** One call, as the engine makes it. Input that is refused is an error too. */
export async function use(
  tools: ToolRegistry,
  name: string,
  input: unknown,
  context: Partial<ToolContext> = {},
): Promise<CallResult> {
  const tool = tools.get(name);
  if (tool === undefined) throw new Error(`there is no tool ${name}`);
  const checked = await checkInput(tool, input);
  if (!checked.ok) return { outcome: "error", reason: checked.reason, text: checked.reason };
  const given = { signal: new AbortController().signal, callId: "call_test", ...context };
  return callTool(tool, checked.value, given as ToolContext);
}

/** The files of one thread, in memory: what the engine gives is tested there. */
export class MemoryFiles implements ToolFiles {
  readonly all = new Map<FileId, { file: File; bytes: Uint8Array }>();
  list = async () => [...this.all.values()].map(({ file }) => file);
  async read(id: FileId) {
    const found = this.all.get(id);
    if (found === undefined) throw new Error(`there is no file ${id} in this thread`);
    return found;
  }
  async write({ name, mediaType, bytes }: { name: string; mediaType: string; bytes: Uint8Array | string }) {
    const content = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    const file: File = {
      id: newId("file"),
      thread_id: newId("thread"),
      kind: "artifact",
      name,
      media_type: mediaType,
      size_bytes: content.length,
      sha256: "",
      run_id: null,
      created_at: "2026-01-31T09:30:00.000Z",
    };
    this.all.set(file.id, { file, bytes: content });
    return file;
  }
}
