/** What files of a project have in common: fields are checked when they are loaded, since nobody compiled them. */
import { z } from "zod";

type Standard = { "~standard"?: { validate?: unknown } } | null | undefined;

export const aFunction = z.custom((value) => typeof value === "function", "expected a function");
export const standardSchema = z.custom(
  (value) => typeof (value as Standard)?.["~standard"]?.validate === "function",
  "expected a Standard Schema",
);
export const jsonSchema = z.record(z.string(), z.unknown());

/** @throws an error that names each field with a mistake */
export function requireDefinition(schema: z.ZodType, given: unknown): void {
  const { error } = schema.safeParse(given);
  if (error === undefined) return;
  throw new Error(error.issues.map(({ path, message }) => [...path, message].join(": ")).join("; "));
}
