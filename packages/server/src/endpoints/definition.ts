/**
 * What an endpoint's file says, field by field: no compiler has looked at it before it runs. A field that nobody knows
 * is refused, since a misspelt `access` would let everybody in.
 */
import type { EndpointDefinition } from "@callboard/kit";
import { role, scope } from "@callboard/protocol";
import { z } from "zod";
import { aFunction, jsonSchema, requireDefinition, standardSchema } from "../config/index.ts";

/** Milliseconds of one call. */
const MAX_MS = 12 * 3_600_000;
/** Readers of a job are noted once a second. */
const MIN_ABANDON_MS = 5000;

const milliseconds = (least: number) => {
  const message = `expected whole milliseconds from ${least} to ${MAX_MS}`;
  return z.int(message).min(least, message).max(MAX_MS, message);
};

const fields = {
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]),
  summary: z.string().optional(),
  input: standardSchema,
  output: standardSchema,
  access: z
    .strictObject({
      roles: z.array(role).optional(),
      groups: z.array(z.string()).optional(),
      scopes: z.array(scope).optional(),
    })
    .optional(),
  mode: z.enum(["sync", "polling"]),
  timeoutMs: milliseconds(1).optional(),
  answerWithinMs: milliseconds(1).optional(),
  abandonAfterMs: milliseconds(MIN_ABANDON_MS).optional(),
  inputJsonSchema: jsonSchema.optional(),
  outputJsonSchema: jsonSchema.optional(),
  handle: aFunction,
} satisfies Record<keyof EndpointDefinition, z.ZodType>;
const definition = z.strictObject(fields);

/** @throws an error that names each field with a mistake */
export function requireEndpointDefinition(given: EndpointDefinition): void {
  requireDefinition(definition, given);
  const { mode, answerWithinMs, abandonAfterMs } = given;
  if (answerWithinMs !== undefined && mode === "polling") {
    throw new Error("answerWithinMs is for mode sync; polling answers at once");
  }
  if (abandonAfterMs !== undefined && mode === "sync" && answerWithinMs === undefined) {
    throw new Error("abandonAfterMs is for jobs: mode polling, or sync with answerWithinMs");
  }
}
