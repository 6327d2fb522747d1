/**
 * Variables: what a caller gives, checked against what the agent declares.
 *
 * V1: nothing undeclared passes, so no value reaches a prompt that its author did not name.
 * V2: a value is text for the model and nothing more: it is never expanded again (`template.ts`).
 * V3: names come from outside; they are looked up as own properties only.
 */
import {
  type AgentConfig,
  CallboardError,
  type FieldProblem,
  type VariableSchema,
  type VariableValue,
} from "@callboard/protocol";
import { patternProblem, testPattern } from "./pattern.ts";

/** Characters of one value. */
const MAX_LENGTH = 32_768;

export type Declarations = AgentConfig["variables"];
export type Variables = Record<string, VariableValue>;

/**
 * Checks what a caller gives.
 *
 * @returns the given values; one that is left out or is the empty string is absent and takes a default
 * @throws invalid_variables with every problem in `details.fields`, paths like `variables.PRODUCT`
 */
export function resolveVariables(
  declarations: Declarations,
  given: Readonly<Record<string, unknown>> | undefined,
): { values: Variables } {
  const values: Variables = {};
  const fields: FieldProblem[] = [];
  for (const [name, value] of Object.entries(given ?? {})) {
    const declaration = Object.hasOwn(declarations, name) ? declarations[name] : undefined;
    const problem =
      declaration === undefined ? "the agent declares no such variable" : valueProblem(declaration.schema, value);
    if (problem !== undefined) fields.push({ path: `variables.${shorten(name)}`, message: problem });
    else if (value !== "") values[name] = value as VariableValue; // its schema has just accepted it
  }
  if (fields.length === 0) return { values };
  const [first] = fields as [FieldProblem];
  throw new CallboardError("invalid_variables", `${first.path}: ${first.message}`, { fields });
}

/** What is wrong with a value, or undefined. The empty string stands for no value where text is expected. */
function valueProblem(schema: VariableSchema, value: unknown): string | undefined {
  switch (schema.type) {
    case "string":
      return typeof value === "string" ? textProblem(schema, value) : `expected text, found ${nameOf(value)}`;
    case "boolean":
      return typeof value === "boolean" ? undefined : `expected true or false, found ${nameOf(value)}`;
    case "number":
    case "integer":
      return numberProblem(schema, value);
    default:
      return schema satisfies never;
  }
}

type TextSchema = Extract<VariableSchema, { type: "string" }>;
type NumberSchema = Extract<VariableSchema, { type: "number" | "integer" }>;

function textProblem(schema: TextSchema, value: string): string | undefined {
  if (value === "") return undefined;
  if (value.length > MAX_LENGTH) return `expected at most ${MAX_LENGTH} characters, found ${value.length}`;
  // Line feeds and tabs are text; other control characters can hide text from who reads the prompt.
  if (!value.isWellFormed() || /[^\P{Cc}\n\t]/u.test(value)) return "expected text without control characters";
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return `expected one of ${shorten(schema.enum.join(", "))}`;
  }
  const length = [...value].length; // JSON Schema counts characters, not UTF-16 units
  if (schema.minLength !== undefined && length < schema.minLength) {
    return `expected at least ${schema.minLength} characters, found ${length}`;
  }
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    return `expected at most ${schema.maxLength} characters, found ${length}`;
  }
  if (schema.format === "locale" && !isLocale(value)) return "expected a language tag like en or de-CH";
  if (schema.pattern === undefined) return undefined;
  const tested = testPattern(schema.pattern, value);
  if (tested === "too_slow") return `the value takes too long to check against the pattern ${schema.pattern}`;
  return tested === "match" ? undefined : `expected text that matches ${schema.pattern}`;
}

function numberProblem(schema: NumberSchema, value: unknown): string | undefined {
  if (typeof value !== "number" || !Number.isFinite(value)) return `expected a number, found ${nameOf(value)}`;
  if (schema.type === "integer" && !Number.isInteger(value)) return `expected a whole number, found ${value}`;
  if (schema.minimum !== undefined && value < schema.minimum) return `expected at least ${schema.minimum}`;
  if (schema.maximum !== undefined && value > schema.maximum) return `expected at most ${schema.maximum}`;
  return undefined;
}

/** Source: ECMA-402 `Intl.getCanonicalLocales`, which knows the grammar of BCP 47. */
function isLocale(value: string): boolean {
  try {
    return Intl.getCanonicalLocales(value).length === 1;
  } catch {
    return false;
  }
}

/** What is wrong with the declarations themselves; paths like `variables.PRODUCT.schema.pattern`. */
export function declarationProblems(declarations: Declarations): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [name, { schema, default: preset }] of Object.entries(declarations)) {
    const at = (field: string, message: string) => problems.push({ path: `variables.${name}.${field}`, message });
    const before = problems.length;
    if (schema.type === "string") {
      const problem = schema.pattern === undefined ? undefined : patternProblem(schema.pattern);
      if (problem !== undefined) at("schema.pattern", problem);
      if ((schema.minLength ?? 0) > (schema.maxLength ?? MAX_LENGTH)) at("schema.minLength", "exceeds maxLength");
    } else if (schema.type !== "boolean") {
      if ((schema.minimum ?? -Infinity) > (schema.maximum ?? Infinity)) at("schema.minimum", "exceeds maximum");
    }
    if (preset === undefined || problems.length > before) continue;
    const problem = valueProblem(schema, preset);
    if (problem !== undefined) at("default", problem);
  }
  return problems;
}

function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  const kind = typeof value;
  return kind === "object"
    ? "an object"
    : kind === "string"
      ? "text"
      : kind === "boolean"
        ? String(value)
        : `a ${kind}`;
}

const shorten = (text: string): string => (text.length <= 200 ? text : `${text.slice(0, 200)}…`);
