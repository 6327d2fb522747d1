/** Pieces that several resources share. */
import { z } from "zod";

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export const json: z.ZodType<Json> = z
  .lazy(() => z.union([z.null(), z.boolean(), z.number(), z.string(), z.array(json), z.record(z.string(), json)]))
  .meta({ id: "Json" });

/** RFC 3339 in UTC with milliseconds. */
export const timestamp = z.iso.datetime().meta({ description: "RFC 3339, UTC", example: "2026-01-31T09:30:00.000Z" });

export const slug = z
  .string()
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "expected lower-case letters, digits and single hyphens, like ticket-triage")
  .max(64);

/** Free-form facts of the caller's own: at most 32 keys, values at most 1,024 characters. */
export const metadata = z
  .record(z.string().min(1).max(64), z.string().max(1024))
  .refine((value) => Object.keys(value).length <= 32, "expected at most 32 keys");

export const jsonObject = z.record(z.string(), json);

export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), next_cursor: z.string().nullable() });
}

/** Whole numbers and booleans arrive as text in a query string. */
export const queryInteger = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, "expected a whole number")
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));

export const queryBoolean = z.enum(["true", "false"]).transform((value) => value === "true");

export const page = {
  limit: queryInteger(1, 200).default(50),
  cursor: z.string().max(512).optional(),
};
