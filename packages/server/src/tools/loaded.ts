/** A tool that is ready for use, wherever it comes from. */
import type { JsonSchema, Tool, ToolDefinition } from "@callboard/kit";

export type LoadedTool = {
  readonly name: string;
  readonly definition: ToolDefinition;
  /** What the model is shown as the input's shape. */
  readonly inputSchema: JsonSchema;
};

/** @throws when its input cannot be shown as JSON Schema */
export function loadedTool(name: string, { definition }: Tool): LoadedTool {
  const made =
    definition.inputJsonSchema ?? definition.input["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
  if (made === undefined) {
    throw new Error("the input schema cannot be shown as JSON Schema; set inputJsonSchema beside it");
  }
  const { $schema: _, ...inputSchema } = made;
  return { name, definition, inputSchema };
}
