import type { Json } from "@callboard/protocol";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { defineAgent, defineTool, type StandardSchema, type Tool, type ToolContext } from "./index.ts";

const input = z.object({ query: z.string(), limit: z.coerce.number().default(10) });
const output = z.object({ ids: z.array(z.string()) });

describe("a tool", () => {
  test("is what was defined, with a mark that tells it from other default exports", () => {
    const run = () => ({ ids: [] });
    const tool = defineTool({ description: "Searches.", input, output, effect: "read", run });
    expect(tool.kind).toBe("tool");
    expect(tool.definition).toEqual({ description: "Searches.", input, output, effect: "read", run });
  });

  test("gets its input as the schema gives it out, defaults and coercions applied", () => {
    defineTool({
      description: "Searches.",
      input,
      effect: "read",
      run(found, context) {
        expectTypeOf(found).toEqualTypeOf<{ query: string; limit: number }>();
        expectTypeOf(context).toEqualTypeOf<ToolContext>();
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(context.caller.userId).toExtend<string | null>();
        return null;
      },
    });
  });

  test("answers with what its output schema accepts", () => {
    defineTool({
      description: "Searches.",
      input,
      output,
      effect: "read",
      // @ts-expect-error ids are texts
      run: () => ({ ids: [1] }),
    });
  });

  test("answers with what its output schema takes, not with what that gives out", () => {
    const length = z.string().transform((text) => text.length);
    defineTool({ description: "Counts.", input, output: length, effect: "read", run: () => "four" });
    // @ts-expect-error the schema takes a text
    defineTool({ description: "Counts.", input, output: length, effect: "read", run: () => 4 });
  });

  test("keeps the types of its input and output for who tests it, and is a tool among others", () => {
    const doubling = defineTool({
      description: "Doubles.",
      input: z.object({ n: z.coerce.number() }),
      output: z.object({ twice: z.number() }),
      effect: "read",
      approval: ({ n }) => n > 100,
      run: ({ n }) => ({ twice: n * 2 }),
    });
    expectTypeOf(doubling.definition.run).parameter(0).toEqualTypeOf<{ n: number }>();
    expectTypeOf(doubling.definition.run).returns.resolves.toEqualTypeOf<{ twice: number }>();
    expectTypeOf(doubling).toExtend<Tool>();
  });

  test("says what repeating it would do", () => {
    // @ts-expect-error no such effect
    defineTool({ description: "Searches.", input, effect: "twice", run: () => null });
    // @ts-expect-error without an effect nobody knows what a crash leaves behind
    defineTool({ description: "Searches.", input, run: () => null });
  });

  test("takes a schema of any library that implements Standard Schema", () => {
    const own: StandardSchema<string, number> = {
      "~standard": { version: 1, vendor: "own", validate: (value) => ({ value: Number(value) }) },
    };
    defineTool({
      description: "Doubles.",
      input: own,
      effect: "read",
      run(found) {
        expectTypeOf(found).toEqualTypeOf<number>();
        return found * 2;
      },
    });
  });

  test("invokes agents with their variables and gets their output, and names nobody for whom", () => {
    const classifier = defineAgent({
      name: "Classifier",
      variables: { PRODUCT: { schema: { type: "string", enum: ["till", "reader"] } } },
      output: z.object({ urgent: z.boolean() }),
    });
    const use = async ({ invokeAgent }: ToolContext) => {
      const run = await invokeAgent(classifier, { message: "Sort it.", variables: { PRODUCT: "till" } });
      expectTypeOf(run.output()).toEqualTypeOf<{ urgent: boolean }>();
      // @ts-expect-error no such product
      await invokeAgent(classifier, { message: "Sort it.", variables: { PRODUCT: "toaster" } });
      // @ts-expect-error the run's caller is the one there is
      await invokeAgent(classifier, { message: "Sort it.", user: "user_1" });
      expectTypeOf((await invokeAgent("classifier", { message: "Sort it." })).output()).toEqualTypeOf<Json>();
    };
    expectTypeOf(use).toBeFunction();
  });
});
