/**
 * What a tool's file says, field by field: no compiler has looked at it before it runs. A field that nobody knows is
 * refused, since a misspelt `approval` would ask nobody.
 */
import type { ToolDefinition } from "@callboard/kit";
import { scope } from "@callboard/protocol";
import { z } from "zod";
import { aFunction, jsonSchema, requireDefinition, standardSchema } from "../config/index.ts";

const fields = {
  description: z.string(),
  input: standardSchema,
  output: standardSchema.optional(),
  effect: z.enum(["read", "idempotent", "once"]),
  scopes: z.array(scope).optional(),
  approval: z.union([z.enum(["never", "always"]), aFunction], "expected never, always or a function").optional(),
  approvalScope: aFunction.optional(),
  sensitive: z.union([z.boolean(), z.array(z.string())], "expected true, false or a list of paths").optional(),
  public: z.strictObject({ input: z.boolean().optional(), output: z.boolean().optional() }).optional(),
  inputJsonSchema: jsonSchema.optional(),
  timeoutMs: z.int().min(1).optional(),
  run: aFunction,
} satisfies Record<keyof ToolDefinition, z.ZodType>;
const definition = z.strictObject(fields);

/** @throws an error that names each field with a mistake */
export function requireToolDefinition(given: unknown): void {
  requireDefinition(definition, given);
}
