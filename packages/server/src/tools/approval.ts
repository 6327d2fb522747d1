/**
 * What a tool says about a call before it is made: whether a person must allow it, what an allowance for the
 * thread would cover, and which parts of its input people may see.
 *
 * Its functions may throw, hang or answer with anything. Whatever goes wrong asks a person, and lets nothing
 * be allowed for longer than one call.
 */
import { createHash } from "node:crypto";
import type { ApprovalContext } from "@callboard/kit";
import type { Json } from "@callboard/protocol";
import { replaceAt } from "./input-path.ts";
import type { LoadedTool } from "./registry.ts";

const MAX_MS = 1000;
const MAX_SCOPE = 200;
/** Levels of JSON that are looked into: deeper ones keep the order of their keys, and are hidden whole. */
const MAX_DEPTH = 100;
const HIDDEN = "[hidden]";

/** Whether the tool wants a person to allow a call with this checked input. Never throws. */
export async function toolAsks(tool: LoadedTool, value: unknown, context: ApprovalContext): Promise<boolean> {
  const { approval = "never" } = tool.definition;
  const answer = typeof approval === "function" ? await inTime(() => approval(value as never, context)) : approval;
  return answer !== false && answer !== "never";
}

/**
 * What an allowance for the thread covers beside the tool: the empty text is the tool as a whole; null means
 * that only single calls can be allowed. Never throws.
 */
export async function scopeOf(tool: LoadedTool, value: unknown, context: ApprovalContext): Promise<string | null> {
  const { definition } = tool;
  if (definition.approvalScope === undefined) return "";
  const scope = await inTime(() => definition.approvalScope?.(value as never, context));
  return typeof scope === "string" && isScope(scope) ? scope : null;
}

// Refused rather than mended: two scopes must never become one.
const isScope = (text: string): boolean =>
  text.length > 0 && text.length <= MAX_SCOPE && text.isWellFormed() && !/\p{Cc}/u.test(text);

/** The input as people who are asked may see it. */
export function shownInput({ definition: { sensitive = false } }: LoadedTool, input: Json): Json {
  if (sensitive === false) return input;
  return sensitive === true ? hideLeaves(input) : replaceAt(input, sensitive, HIDDEN);
}

function hideLeaves(value: Json, depth = 0): Json {
  if (typeof value !== "object" || value === null || depth === MAX_DEPTH) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => hideLeaves(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, hideLeaves(member, depth + 1)]));
}

/**
 * SHA-256 of the input as JSON with its keys in order, hex: the same however the keys were sent.
 * Source: RFC 8785 (JSON Canonicalization Scheme).
 */
export const argumentsHash = (input: unknown): string => createHash("sha256").update(canonical(input, 0)).digest("hex");

function canonical(value: unknown, depth: number): string {
  if (typeof value !== "object" || value === null || depth === MAX_DEPTH) return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(",")}]`;
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical((value as Record<string, unknown>)[key], depth + 1)}`);
  return `{${members.join(",")}}`;
}

/** The answer, or undefined when there is none in time. */
async function inTime(ask: () => unknown): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, MAX_MS, undefined);
  });
  try {
    return await Promise.race([(async () => ask())(), late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
