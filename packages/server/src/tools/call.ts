/**
 * One call of one tool: input checked, time bounded, output checked and bounded. A tool may throw, hang or
 * answer with anything; what comes back from here is always a result.
 */
import { issuePath, type SchemaIssue, type StandardSchema, type ToolContext } from "@callboard/kit";
import type { Json, RunId } from "@callboard/protocol";
import { isDeepJson, MAX_JSON_DEPTH } from "../storage/index.ts";
import type { LoadedTool } from "./registry.ts";

/** Characters of a result that the model reads and the ledger keeps. */
const MAX_OUTPUT_CHARS = 256 * 1024;
const DEFAULT_TIMEOUT_MS = 60_000;

export type CallResult =
  | { outcome: "ok"; output: Json; text: string }
  | { outcome: "error" | "denied"; reason: string; text: string };

/** A tool throws it, mostly by way of `invokeAgent`: the run's caller may not do what the call needs. */
export class CallDenied extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CallDenied";
  }
}

/** The call was given up, to be made again when that run has ended. */
export class CallSuspended extends Error {
  readonly run: RunId;

  constructor(run: RunId) {
    super(`the call waits for run ${run}`);
    this.name = "CallSuspended";
    this.run = run;
  }
}

export type CheckedInput = { ok: true; value: unknown } | { ok: false; reason: string };

/** Validates what the model sent. Never throws. */
export async function checkInput(tool: LoadedTool, input: unknown): Promise<CheckedInput> {
  return check(tool.definition.input, input);
}

/**
 * Runs a tool on checked input.
 *
 * @param suspended rejects with CallSuspended to give the call up
 * @throws the signal's reason when it was aborted, or CallSuspended: the call has no result then
 */
export async function callTool(
  tool: LoadedTool,
  value: unknown,
  context: ToolContext,
  suspended?: Promise<never>,
): Promise<CallResult> {
  const { definition } = tool;
  const timeoutMs = definition.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  context.signal.throwIfAborted();
  // One controller for both reasons to stop: cheaper on every call than a signal made of two.
  const stop = new AbortController();
  const onAbort = () => stop.abort(context.signal.reason);
  context.signal.addEventListener("abort", onAbort, { once: true });
  const tooLate = () => stop.abort(new Error(`the tool did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(tooLate, timeoutMs);
  try {
    // Rejects also for a tool that does not honour its signal: the run goes on without it.
    const stopped = new Promise<never>((_, reject) => {
      stop.signal.addEventListener("abort", () => reject(stop.signal.reason), { once: true });
    });
    const given: ToolContext = { ...context, signal: stop.signal };
    const work = (async () => definition.run(value as never, given))();
    const answer = await Promise.race(suspended === undefined ? [work, stopped] : [work, stopped, suspended]);
    return await toResult(tool, answer);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof CallSuspended) {
      stop.abort(error);
      throw error;
    }
    if (error instanceof CallDenied) return denied(error.message);
    return failed(error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener("abort", onAbort);
  }
}

async function toResult(tool: LoadedTool, answer: unknown): Promise<CallResult> {
  let output = answer;
  if (tool.definition.output !== undefined) {
    const checked = await check(tool.definition.output, answer);
    if (!checked.ok) return failed(`the tool's answer does not fit its output schema: ${checked.reason}`);
    output = checked.value;
  }
  let json: string | undefined;
  try {
    json = JSON.stringify(output ?? null);
  } catch (error) {
    return failed(`the tool's answer is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (json === undefined) return failed("the tool's answer is not JSON");
  if (json.length > MAX_OUTPUT_CHARS) {
    return failed(`the tool's answer has ${json.length} characters; at most ${MAX_OUTPUT_CHARS} are accepted`);
  }
  if (isDeepJson(json)) {
    return failed(`the tool's answer is nested deeper than ${MAX_JSON_DEPTH} levels`);
  }
  const clean = storableJson(json);
  return {
    outcome: "ok",
    output: JSON.parse(clean) as Json,
    text: typeof output === "string" ? storable(output) : clean,
  };
}

const failed = (message: string): CallResult => {
  const reason = storable(message.slice(0, 2000));
  return { outcome: "error", reason, text: `The tool failed: ${reason}` };
};

const denied = (message: string): CallResult => {
  const reason = storable(message.slice(0, 2000));
  return { outcome: "denied", reason, text: `The call was refused: ${reason}` };
};

/** A text that PostgreSQL stores: no U+0000 and no lone surrogates, which tools and models may send. */
export function storable(text: string): string {
  const clean = text.isWellFormed() ? text : text.toWellFormed();
  return clean.includes("\u0000") ? clean.replaceAll("\u0000", "\ufffd") : clean;
}

/** The same for a text that `JSON.stringify` made, where they are escapes; an escaped backslash before `u0000` stays. */
export function storableJson(json: string): string {
  if (!json.includes("\\u")) return json;
  return json.replace(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g, "$1\\ufffd");
}

async function check(schema: StandardSchema, value: unknown): Promise<CheckedInput> {
  try {
    const result = await schema["~standard"].validate(value);
    if (result.issues === undefined) return { ok: true, value: result.value };
    return { ok: false, reason: storable(result.issues.slice(0, 8).map(describe).join("; ")) };
  } catch (error) {
    return { ok: false, reason: storable(error instanceof Error ? error.message : String(error)) };
  }
}

function describe(issue: SchemaIssue): string {
  const path = issuePath(issue);
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}
