/** What a handler answered, as JSON text that fits its endpoint's schema. */
import { issuePath, type StandardSchema } from "@callboard/kit";
import { CallboardError } from "@callboard/protocol";
import { isDeepJson, MAX_JSON_DEPTH } from "../storage/index.ts";
import { storableJson } from "../tools/index.ts";
import type { LoadedEndpoint } from "./load.ts";

/** Characters of an answer. */
const MAX_ANSWER_CHARS = 4 * 1024 * 1024;

/** @throws endpoint_output_invalid; the reason is in its cause */
export async function toText(endpoint: LoadedEndpoint, answer: unknown): Promise<string> {
  const strange = nameOfStrange(answer);
  if (strange !== undefined) throw unusable(`the handler returned a ${strange}; expected the value itself, as JSON`);
  const value = await checkOutput(endpoint.definition.output, answer);
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null, plainOnly);
  } catch (error) {
    throw unusable(`the answer is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text === undefined) throw unusable(`the answer is not JSON: it is a ${typeof value}`);
  if (text.length > MAX_ANSWER_CHARS) {
    throw unusable(`the answer has ${text.length} characters; at most ${MAX_ANSWER_CHARS} are accepted`);
  }
  if (isDeepJson(text)) throw unusable(`the answer is nested deeper than ${MAX_JSON_DEPTH} levels`);
  return storableJson(text);
}

async function checkOutput(schema: StandardSchema, answer: unknown): Promise<unknown> {
  const result = await schema["~standard"].validate(answer);
  if (result.issues === undefined) return result.value;
  const problems = result.issues.slice(0, 8).map((issue) => `${issuePath(issue) || "answer"}: ${issue.message}`);
  throw unusable(problems.join("; "));
}

/** What JSON would print as nothing, or as something else than it is. */
function plainOnly(this: unknown, key: string, value: unknown): unknown {
  const strange = nameOfStrange((this as Record<string, unknown>)[key]);
  if (strange !== undefined) throw new TypeError(`${key === "" ? "it" : key} is a ${strange}`);
  return value;
}

/** Streams, responses, functions and collections, by name; undefined for what may be JSON. */
function nameOfStrange(value: unknown): string | undefined {
  if (typeof value === "function" || typeof value === "symbol") return typeof value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const isStrange =
    value instanceof Promise || // an await was forgotten
    value instanceof Response ||
    value instanceof Blob ||
    value instanceof RegExp ||
    value instanceof Error ||
    value instanceof Map ||
    value instanceof Set ||
    value instanceof ReadableStream ||
    value instanceof ArrayBuffer ||
    value instanceof SharedArrayBuffer ||
    ArrayBuffer.isView(value) ||
    Symbol.asyncIterator in value ||
    Symbol.iterator in value;
  return isStrange ? value.constructor?.name || "stream" : undefined; // generators have no class
}

/** What is wrong with the answer is for the log: the message may quote what nobody else may see. */
const unusable = (reason: string): CallboardError =>
  new CallboardError("endpoint_output_invalid", undefined, {}, { cause: new Error(reason) });
