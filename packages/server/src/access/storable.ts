/** What PostgreSQL cannot keep as text: the character NUL, and halves of surrogate pairs. */
import { CallboardError, type FieldProblem } from "@callboard/protocol";

const storable = (text: string): boolean => !text.includes("\u0000") && text.isWellFormed();

function find(value: unknown, path: string): string | undefined {
  if (typeof value === "string") return storable(value) ? undefined : path;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
    const found = storable(key) ? find(item, at) : path;
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Refuses a value with text that cannot be stored, anywhere inside.
 *
 * @throws invalid_request with the path of the first such text
 */
export function requireStorable(value: unknown): void {
  const path = find(value, "");
  if (path === undefined) return;
  const message = "expected text without NUL characters and without unpaired surrogates";
  throw invalidRequest([{ path, message }]);
}

/** The refusal of a request with these wrong fields. */
export function invalidRequest(fields: FieldProblem[]): CallboardError {
  const [first] = fields;
  const more = fields.length > 1 ? ` (and ${fields.length - 1} more)` : "";
  const message = first && `${first.path || "body"}: ${first.message}${more}`;
  return new CallboardError("invalid_request", message, { fields });
}
