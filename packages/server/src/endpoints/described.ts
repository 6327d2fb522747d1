/** Schemas of endpoints as the API's description shows them. */
import type { JsonSchema, StandardSchema } from "@callboard/kit";

type Made = { zodSchema: { _zod: { def: { type: string } } }; jsonSchema: JsonSchema };

/** What has no JSON Schema in zod is shown as what JSON prints it as, else as anything; the rest stays exact. */
const zodOptions = {
  unrepresentable: "any",
  override({ zodSchema, jsonSchema }: Made) {
    const { type } = zodSchema._zod.def;
    if (type === "date") Object.assign(jsonSchema, { type: "string", format: "date-time" });
    else if (type === "void" || type === "undefined") jsonSchema.type = "null";
  },
};

/** @returns undefined when the schema's library cannot make one; the endpoint works without it */
export function describedSchema(schema: StandardSchema, side: "input" | "output"): JsonSchema | undefined {
  const { vendor, jsonSchema } = schema["~standard"];
  const libraryOptions = vendor === "zod" ? zodOptions : undefined;
  try {
    const made = jsonSchema?.[side]({ target: "draft-2020-12", libraryOptions });
    if (made === undefined) return undefined;
    const { $schema: _, ...own } = made;
    return own;
  } catch {
    return undefined;
  }
}

/** Names of the fields that are lists. */
export function listsIn(schema: JsonSchema | undefined): ReadonlySet<string> {
  const fields = Object.entries((schema?.properties ?? {}) as Record<string, JsonSchema | boolean>);
  return new Set(fields.flatMap(([name, field]) => (typeof field === "object" && field.type === "array" ? name : [])));
}
