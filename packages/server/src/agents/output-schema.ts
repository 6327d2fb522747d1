/**
 * Output schemas: JSON Schema 2020-12, written by an agent's author, checked when the agent is published
 * and used on every final answer.
 *
 * Compiling costs tens of milliseconds, so what is compiled is kept; size and depth are capped.
 */
import { createRequire } from "node:module";
import type { ErrorObject, ValidateFunction } from "ajv/dist/2020.js";
import { Lru } from "../access/index.ts";
import { boundedPattern } from "./pattern.ts";

/** Eighty files, read with the first schema: a server that starts has none to compile. */
const library = (): typeof import("ajv/dist/2020.js") => createRequire(import.meta.url)("ajv/dist/2020.js");

const MAX_BYTES = 64 * 1024;
const MAX_DEPTH = 32;
const MAX_PROBLEMS = 20;

export type OutputSchema = { readonly [key: string]: unknown };

const compiled = new Lru<string, ValidateFunction>(200);

function depthOf(value: unknown, limit: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (limit === 0) return 1;
  let deepest = 0;
  for (const item of Object.values(value)) deepest = Math.max(deepest, depthOf(item, limit - 1));
  return deepest + 1;
}

function compile(schema: OutputSchema): ValidateFunction {
  const text = JSON.stringify(schema);
  const known = compiled.get(text);
  if (known !== undefined) return known;
  // An author's pattern meets a model's text: its test has to end.
  const regExp = Object.assign(boundedPattern, { code: "boundedPattern" });
  // One instance per schema: schemas that carry the same $id must not meet.
  const { Ajv2020 } = library();
  const ajv = new Ajv2020({ strict: false, allErrors: false, logger: false, validateFormats: false, code: { regExp } });
  const validate = ajv.compile(schema);
  compiled.set(text, validate);
  return validate;
}

/** Why a schema cannot be used, or undefined. */
export function outputSchemaProblem(schema: OutputSchema): string | undefined {
  const sizeBytes = Buffer.byteLength(JSON.stringify(schema));
  if (sizeBytes > MAX_BYTES) return `expected at most ${MAX_BYTES} bytes of JSON, found ${sizeBytes}`;
  if (depthOf(schema, MAX_DEPTH) > MAX_DEPTH) return `expected at most ${MAX_DEPTH} levels`;
  if (schema.$async !== undefined) return "expected no $async";
  try {
    compile(schema);
    return undefined;
  } catch (error) {
    return `expected a JSON Schema (2020-12): ${(error as Error).message.slice(0, 500)}`;
  }
}

/**
 * What is wrong with an answer, as sentences a model can act on; empty when it fits.
 *
 * @param schema one that has passed `outputSchemaProblem`
 */
export function outputProblems(schema: OutputSchema, answer: unknown): string[] {
  const validate = compile(schema);
  if (validate(answer)) return [];
  return (validate.errors ?? []).slice(0, MAX_PROBLEMS).map(describe);
}

const describe = ({ instancePath, message, params }: ErrorObject): string => {
  const more = params.additionalProperty ?? params.allowedValues;
  return `${instancePath || "the answer"} ${message ?? "does not fit"}${more === undefined ? "" : ` (${JSON.stringify(more)})`}`;
};
