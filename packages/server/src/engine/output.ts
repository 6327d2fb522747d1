/** Answers that must fit a schema: found in the model's text, checked, and said back when they do not fit. */
import type { Json } from "@callboard/protocol";
import { type OutputSchema, outputProblems } from "../agents/index.ts";
import { isDeepJson, MAX_JSON_DEPTH } from "../storage/index.ts";

/** How often a wrong answer is sent back. */
export const MAX_REPAIRS = 2;

/** What is said back to an answer that does not fit. */
export const objectionTo = (problem: string): string =>
  `Your answer does not fit the required JSON schema: ${problem}. Answer again with JSON that fits, and nothing else.`;

export type OutputCheck = { ok: true; output: Json } | { ok: false; problem: string };

/** Reads the answer as JSON, with or without a code fence around it, and checks it. */
export function checkOutput(schema: OutputSchema, text: string): OutputCheck {
  const fenced = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/.exec(text);
  const json = fenced?.[1] ?? text;
  if (isDeepJson(json)) return { ok: false, problem: `it is nested deeper than ${MAX_JSON_DEPTH} levels` };
  let output: Json;
  try {
    output = JSON.parse(json) as Json;
  } catch (error) {
    return { ok: false, problem: `the answer is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  const problems = outputProblems(schema, output);
  return problems.length === 0 ? { ok: true, output } : { ok: false, problem: problems.slice(0, 8).join("; ") };
}
