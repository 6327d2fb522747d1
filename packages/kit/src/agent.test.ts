import type { Json } from "@callboard/protocol";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { type AgentFile, defineAgent } from "./agent.ts";
import type { StandardSchema } from "./schema.ts";

describe("an agent in a file", () => {
  test("is what was defined, with a mark that tells it from other default exports", () => {
    const definition = { name: "Support", instructions: "Be kind.", tools: ["search_tickets"] };
    expect(defineAgent(definition)).toEqual({ kind: "agent", definition });
  });

  test("names tools alone or with their approval, and nothing it could not have", () => {
    defineAgent({ name: "Support", tools: ["search", { name: "refund", approval: "always" }], access_mode: "invited" });
    // @ts-expect-error an agent has a name
    defineAgent({ instructions: "Be kind." });
    // @ts-expect-error an approval policy is never or always
    defineAgent({ name: "Support", tools: [{ name: "refund", approval: "sometimes" }] });
    // @ts-expect-error a misspelled field does not pass
    defineAgent({ name: "Support", instruction: "Be kind." });
  });
});

describe("an agent with an output schema", () => {
  const output = z.object({ category: z.enum(["bug", "billing"]), note: z.string().optional() });

  test("shows its model the JSON Schema, and keeps the schema for who reads the answer", () => {
    const agent = defineAgent({ name: "Classifier", output });
    expect(agent.output).toBe(output);
    expect(agent.definition).toEqual({
      name: "Classifier",
      output_schema: expect.objectContaining({
        type: "object",
        properties: { category: { type: "string", enum: ["bug", "billing"] }, note: { type: "string" } },
        required: ["category"],
      }),
    });
    expect(agent.definition.output_schema).not.toHaveProperty("$schema");
  });

  test("has the type of its schema, any JSON for a JSON Schema, and text without either", () => {
    expectTypeOf(defineAgent({ name: "A", output })).toExtend<AgentFile<object, { category: "bug" | "billing" }>>();
    const json = defineAgent({ name: "A", output_schema: { type: "object" } });
    expectTypeOf(json).toExtend<AgentFile<object, Json>>();
    expectTypeOf(json).not.toExtend<AgentFile<object, string>>();
    expectTypeOf(defineAgent({ name: "A" })).toExtend<AgentFile<object, string>>();
  });

  test("needs one that can be shown as JSON Schema", () => {
    const own: StandardSchema<string, number> = {
      "~standard": { version: 1, vendor: "own", validate: (value) => ({ value: Number(value) }) },
    };
    expect(() => defineAgent({ name: "Classifier", output: own })).toThrow("give output_schema in its place");
  });
});
