/**
 * Placeholders in instructions.
 *
 *   ${NAME}            the variable
 *   ${NAME:-default}   the variable, or this text when it is unset or empty
 *   $${NAME}           the characters ${NAME}
 *
 * One pass from left to right: what a value contributes is not looked at again. `${` that begins
 * neither form stays as it is.
 */
import type { VariableValue } from "@callboard/protocol";
import type { Declarations } from "./variables.ts";

export type Placeholder = { readonly name: string /** The placeholder's own default. */; readonly preset?: string };
type Part = string | Placeholder;

// Any case, so that ${product} is found undeclared rather than printed.
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

function parse(template: string): Part[] {
  const parts: Part[] = [];
  let textFrom = 0;
  const lastClose = template.lastIndexOf("}");
  const add = (until: number, next: number, part: Part) => {
    if (until > textFrom) parts.push(template.slice(textFrom, until));
    parts.push(part);
    textFrom = next;
  };
  let at = template.indexOf("${");
  while (at !== -1) {
    let next = at + 2;
    if (at > textFrom && template[at - 1] === "$") {
      add(at - 1, next, "${");
    } else if (at < lastClose) {
      const found = placeholderAt(template, at + 2);
      if (found !== undefined) {
        next = found.end;
        add(at, next, found.placeholder);
      }
    }
    at = template.indexOf("${", next);
  }
  if (textFrom < template.length) parts.push(template.slice(textFrom));
  return parts;
}

function placeholderAt(template: string, from: number): { placeholder: Placeholder; end: number } | undefined {
  NAME.lastIndex = from;
  const name = NAME.exec(template)?.[0];
  if (name === undefined) return undefined;
  const end = from + name.length;
  if (template[end] === "}") return { placeholder: { name }, end: end + 1 };
  if (!template.startsWith(":-", end)) return undefined;
  const close = template.indexOf("}", end + 2);
  if (close === -1) return undefined;
  return { placeholder: { name, preset: template.slice(end + 2, close) }, end: close + 1 };
}

/** The placeholders of a template, in order, repetitions included. */
export function placeholders(template: string): Placeholder[] {
  return parse(template).filter((part) => typeof part !== "string");
}

/**
 * Instructions with the values put in. A variable that is unset or empty takes the placeholder's
 * default, else the declared one, else nothing.
 *
 * @param values what `resolveVariables` accepted
 */
export function renderInstructions(
  template: string,
  values: Readonly<Record<string, VariableValue>>,
  declarations: Declarations = {},
): string {
  let text = "";
  for (const part of parse(template)) text += typeof part === "string" ? part : fill(part, values, declarations);
  return text;
}

function fill(
  { name, preset }: Placeholder,
  values: Readonly<Record<string, VariableValue>>,
  declarations: Declarations,
): string {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value !== undefined && value !== "") return String(value);
  if (preset !== undefined) return preset;
  const declared = Object.hasOwn(declarations, name) ? declarations[name]?.default : undefined;
  return declared === undefined ? "" : String(declared);
}
