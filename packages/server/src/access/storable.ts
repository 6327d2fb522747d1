/** What PostgreSQL cannot keep as text: the character NUL, and halves of surrogate pairs. */
import { CallboardError, type FieldProblem } from "@callboard/protocol";

const storable = (text: string): boolean => !text.includes("\u0000") && text.isWellFormed();

const UNSTORABLE = "expected text without NUL characters and without unpaired surrogates";

function find(value: unknown, path: string): FieldProblem | undefined {
  if (typeof value === "string") return storable(value) ? undefined : { path, message: UNSTORABLE };
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    if (!storable(key)) return { path, message: UNSTORABLE };
    const at = Array.isArray(value) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
    // Schemas drop it without a word, and code that copies objects would take it for their prototype.
    if (key === "__proto__") return { path: at, message: "no field has this name" };
    const found = find(item, at);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Refuses a value with text that cannot be stored, or a field that would pass for a prototype, anywhere inside.
 *
 * @throws invalid_request with the path of the first one
 */
export function requireStorable(value: unknown): void {
  const problem = find(value, "");
  if (problem !== undefined) throw invalidRequest([problem]);
}

/** The refusal of a request with these wrong fields. */
export function invalidRequest(fields: FieldProblem[]): CallboardError {
  const [first] = fields;
  const more = fields.length > 1 ? ` (and ${fields.length - 1} more)` : "";
  const message = first && `${first.path || "body"}: ${first.message}${more}`;
  return new CallboardError("invalid_request", message, { fields });
}
