/**
 * Patterns of variables and of output schemas: an author's regular expression against a caller's or a model's text.
 *
 * A pattern can be such that some text keeps it busy for years. No cheap look at it tells, so a test
 * gets a bounded time instead: it runs in a context of its own, which Node stops from outside.
 * A stopped test costs the process up to `MAX_MS`; a usual one about 0.15 ms. The time is the processor's: a test
 * that was stopped because the machine had other things to do is made again.
 */
import { createContext, Script } from "node:vm";
import { Lru } from "../access/index.ts";

const MAX_PATTERN = 200;
const MAX_MS = 25;
/**
 * Node stops a test where the engine goes back to try something else, which a long row of optional
 * pieces hardly does: 90 of them ran for 5 s after the time was up, 30 of them were stopped at once.
 */
const MAX_OPTIONAL = 32;

const compiled = new Lru<string, RegExp>(500);
const script = new Script("pattern.test(value)");
const context = createContext(Object.create(null)) as { pattern?: RegExp; value?: string };

/** Unicode mode, unanchored. Source: JSON Schema 2020-12 core, section 6.4. */
function compile(pattern: string): RegExp {
  let regExp = compiled.get(pattern);
  if (regExp === undefined) {
    regExp = new RegExp(pattern, "u");
    compiled.set(pattern, regExp);
  }
  return regExp;
}

/** Why a pattern cannot be used, or undefined. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN) return `expected at most ${MAX_PATTERN} characters, found ${pattern.length}`;
  const problem = optionalProblem(pattern);
  if (problem !== undefined) return problem;
  try {
    compile(pattern);
    return undefined;
  } catch {
    return "expected a regular expression in Unicode mode";
  }
}

function optionalProblem(pattern: string): string | undefined {
  const optional = pattern.split("?").length - 1;
  return optional > MAX_OPTIONAL ? `expected at most ${MAX_OPTIONAL} question marks, found ${optional}` : undefined;
}

/** At most one repetition or choice and no reference back: at worst quadratic, and only in the text's length. */
function isPlain(pattern: string): boolean {
  return !/\\[1-9k]/.test(pattern) && (pattern.match(/[*+{?|]/g)?.length ?? 0) <= 1;
}
/** Quadratic in this many characters is still microseconds. */
const PLAIN_LENGTH = 1000;

/** Whether `value` matches somewhere. The pattern has passed `patternProblem`. */
export function testPattern(pattern: string, value: string): "match" | "no_match" | "too_slow" {
  return testBounded(compile(pattern), pattern, value);
}

function testBounded(regExp: RegExp, pattern: string, value: string): "match" | "no_match" | "too_slow" {
  if (isPlain(pattern) && value.length <= PLAIN_LENGTH) return regExp.test(value) ? "match" : "no_match";
  context.pattern = regExp;
  context.value = value;
  const before = process.threadCpuUsage();
  try {
    for (;;) {
      try {
        return script.runInContext(context as object, { timeout: MAX_MS }) ? "match" : "no_match";
      } catch (error) {
        if ((error as { code?: unknown }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
        const { user, system } = process.threadCpuUsage(before);
        if ((user + system) / 1000 >= MAX_MS / 2) return "too_slow";
      }
    }
  } finally {
    context.value = "";
  }
}

/**
 * A regular expression whose test ends, for schemas: a text that takes too long does not match.
 *
 * @throws for a pattern that cannot be used
 */
export function boundedPattern(pattern: string, flags: string): { test(value: string): boolean; toString(): string } {
  const problem = optionalProblem(pattern);
  if (problem !== undefined) throw new Error(`pattern: ${problem}`);
  const regExp = new RegExp(pattern, flags);
  // Ajv keeps patterns apart by what they print.
  return { test: (value) => testBounded(regExp, pattern, value) === "match", toString: () => String(regExp) };
}
