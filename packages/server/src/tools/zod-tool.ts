/** Built-in tools, whose inputs are zod schemas. */
import { defineTool, type JsonSchema, type StandardSchema, type Tool, type ToolDefinition } from "@callboard/kit";
import { z } from "zod";

type ZodTool<T extends z.ZodType> = Omit<ToolDefinition, "input" | "inputJsonSchema" | "run"> & {
  input: T;
  run(input: z.output<T>, context: Parameters<ToolDefinition["run"]>[1]): unknown;
};

/** Zod's own types are more exact than the interface; this is the one place where they meet. */
export function zodTool<T extends z.ZodType>({ input, ...rest }: ZodTool<T>): Tool {
  return defineTool({
    ...rest,
    input: input as unknown as StandardSchema<z.input<T>, z.output<T>>,
    inputJsonSchema: z.toJSONSchema(input, { io: "input" }) as JsonSchema,
  });
}
