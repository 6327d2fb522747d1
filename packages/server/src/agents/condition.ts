/**
 * Conditions that an agent's configuration puts on a tool's input.
 *
 * A test that cannot be made is neither true nor false: the value is missing where a number or a text is compared,
 * has another type, or keeps a pattern busy. It stays open through `all`, `any` and `not`, and what is open in the
 * end counts as a reason to ask: leaving a value out never gets a call past a person.
 */
import type { Comparison, Condition, FieldProblem } from "@callboard/protocol";
import { type PathStep, pathSteps, valuesAt } from "../tools/index.ts";
import { patternProblem, testPattern } from "./pattern.ts";

type Truth = true | false | "open";
type JsonSchema = { readonly [key: string]: unknown };

const MAX_DEPTH = 8;
const MAX_COMPARISONS = 100;

/** Whether a call with this checked input is one to ask about. */
export const meets = (condition: Condition, input: unknown): boolean => truthOf(condition, input) !== false;

function truthOf(condition: Condition, input: unknown): Truth {
  if ("all" in condition) return every(condition.all.map((one) => truthOf(one, input)));
  if ("any" in condition) return some(condition.any.map((one) => truthOf(one, input)));
  if ("not" in condition) return not(truthOf(condition.not, input));
  return some(valuesAt(input, condition.path).map((value) => compare(condition, value)));
}

const every = (truths: readonly Truth[]): Truth =>
  truths.includes(false) ? false : truths.includes("open") ? "open" : true;
const some = (truths: readonly Truth[]): Truth =>
  truths.includes(true) ? true : truths.includes("open") ? "open" : false;
const not = (truth: Truth): Truth => (truth === "open" ? "open" : !truth);

function compare(test: Comparison, value: unknown): Truth {
  const truths: Truth[] = [];
  if (test.exists !== undefined) truths.push((value !== undefined) === test.exists);
  if (test.equals !== undefined) truths.push(value === test.equals);
  if (test.in !== undefined) truths.push(test.in.includes(value as never));
  if (test.matches !== undefined) truths.push(typeof value === "string" ? matches(test.matches, value) : "open");
  if (test.above !== undefined) truths.push(isNumber(value) ? value > test.above : "open");
  if (test.below !== undefined) truths.push(isNumber(value) ? value < test.below : "open");
  return every(truths);
}

const isNumber = (value: unknown): value is number => typeof value === "number" && !Number.isNaN(value);

function matches(pattern: string, text: string): Truth {
  const found = testPattern(pattern, text);
  return found === "too_slow" ? "open" : found === "match";
}

/**
 * What is wrong with a condition; empty when nothing is.
 *
 * @param path of the condition in the configuration
 * @param schema the tool's input schema, to find paths that lead nowhere; absent when it is not known
 */
export function conditionProblems(condition: Condition, path: string, schema?: JsonSchema): FieldProblem[] {
  const comparisons: Array<{ test: Comparison; at: string }> = [];
  const problems: FieldProblem[] = [];
  const walk = (one: Condition, at: string, depth: number): void => {
    if (depth > MAX_DEPTH) problems.push({ path: at, message: `expected at most ${MAX_DEPTH} levels` });
    else if ("all" in one) for (const [i, inner] of one.all.entries()) walk(inner, `${at}.all[${i}]`, depth + 1);
    else if ("any" in one) for (const [i, inner] of one.any.entries()) walk(inner, `${at}.any[${i}]`, depth + 1);
    else if ("not" in one) walk(one.not, `${at}.not`, depth + 1);
    else comparisons.push({ test: one, at });
  };
  walk(condition, path, 1);
  if (comparisons.length > MAX_COMPARISONS) {
    problems.push({ path, message: `expected at most ${MAX_COMPARISONS} comparisons, found ${comparisons.length}` });
  }
  for (const { test, at } of comparisons) {
    if (schema !== undefined && !leadsSomewhere(schema, pathSteps(test.path))) {
      problems.push({ path: `${at}.path`, message: `the tool's input has no ${test.path}` });
    }
    const pattern = test.matches === undefined ? undefined : patternProblem(test.matches);
    if (pattern !== undefined) problems.push({ path: `${at}.matches`, message: pattern });
  }
  return problems;
}

/** Words of a schema with which a member may be allowed by something else than `properties`. */
const ELSEWHERE = ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties"];

/** False where the schema lists the members and this is none of them. */
function leadsSomewhere(schema: unknown, [step, ...rest]: readonly PathStep[]): boolean {
  if (step === undefined || typeof schema !== "object" || schema === null) return true;
  const { type, properties, items, additionalProperties = false } = schema as JsonSchema;
  if (ELSEWHERE.some((word) => Object.hasOwn(schema, word))) return true;
  if (!("key" in step)) return type !== "object" && leadsSomewhere(items, rest);
  if (typeof properties !== "object" || properties === null) return type !== "array";
  // Without a word about others: a schema library drops them, and the tool does not get them.
  if (!Object.hasOwn(properties, step.key)) return additionalProperties !== false;
  return leadsSomewhere((properties as JsonSchema)[step.key], rest);
}
