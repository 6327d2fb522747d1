/** Values from outside against the schemas of the route table. */
import type { FieldProblem } from "@callboard/protocol";
import type { z } from "zod";
import { invalidRequest } from "../access/index.ts";

/** @throws invalid_request with the path of each wrong field */
export function validate<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalidRequest(toFields(result.error.issues));
}

function toFields(issues: readonly z.core.$ZodIssue[], prefix = ""): FieldProblem[] {
  return issues.slice(0, 20).flatMap((issue) => toField(issue, prefix));
}

function toField(issue: z.core.$ZodIssue, prefix: string): FieldProblem[] {
  const path = join(prefix, issue.path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: join(path, [key]), message: "unknown field" }));
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The alternative that came nearest tells most: the one whose first complaint lies deepest.
    const nearest = [...issue.errors].sort((a, b) => depth(b) - depth(a) || a.length - b.length)[0];
    if (nearest !== undefined && nearest.length > 0) return toFields(nearest, path);
  }
  return [{ path, message: issue.message }];
}

const depth = (issues: readonly z.core.$ZodIssue[]): number => Math.max(0, ...issues.map((issue) => issue.path.length));

function join(prefix: string, path: readonly PropertyKey[]): string {
  let text = prefix;
  for (const step of path) {
    text += typeof step === "number" ? `[${step}]` : text === "" ? String(step) : `.${String(step)}`;
  }
  return text;
}
