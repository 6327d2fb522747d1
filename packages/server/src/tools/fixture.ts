/** For tests: tools of a project, and calls of them outside a run. */
import type { ToolContext } from "@callboard/kit";
import { noProjectFile, type ProjectFile } from "../config/index.ts";
import { type CallResult, callTool, checkInput } from "./call.ts";
import { loadTools, type ToolRegistry, type ToolSettings } from "./registry.ts";

/** The tools that a project has, of files in `folder` and by its configuration; private addresses may be reached. */
export function toolsOf(
  project: string | null = null,
  file: Partial<ProjectFile> = {},
  more: Partial<ToolSettings> = {},
): Promise<ToolRegistry> {
  return loadTools({ project, file: { ...noProjectFile, ...file }, allowPrivateNetwork: true, ...more });
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
