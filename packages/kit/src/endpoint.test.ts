import type { Json, RunError } from "@callboard/protocol";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import {
  type CompletedRun,
  defineAgent,
  defineEndpoint,
  type EndpointCaller,
  type EndpointInput,
  type EndpointOutput,
  type FinishedRun,
  type UnfinishedRun,
} from "./index.ts";

const triage = defineAgent({
  name: "Triage",
  variables: {
    PRODUCT: { schema: { type: "string", enum: ["Till", "Gateway"] }, default: "Till" },
    URGENT: { schema: { type: "boolean" } },
    COUNT: { schema: { type: "integer", minimum: 1 } },
    NOTE: { schema: { type: "string" } },
  },
});
const classifier = defineAgent({
  name: "Classifier",
  variables: { LOCALE: { schema: { type: "string", format: "locale" } } },
  output: z.object({ category: z.enum(["bug", "billing"]), tags: z.array(z.string()).default([]) }),
});
const input = z.object({ ticket: z.string().min(1), limit: z.coerce.number().default(3) });
const output = z.object({ category: z.string(), count: z.number().default(0) });

describe("an endpoint", () => {
  test("is what was defined, with a mark that tells it from other default exports", () => {
    const definition = { method: "POST", input, output, mode: "sync", handle: () => ({ category: "x" }) } as const;
    expect(defineEndpoint(definition)).toEqual({ kind: "endpoint", definition });
  });

  test("gives clients the types of what it takes and answers", () => {
    const endpoint = defineEndpoint({ method: "POST", input, output, mode: "sync", handle: () => ({ category: "x" }) });
    expectTypeOf<EndpointOutput<typeof endpoint>>().toEqualTypeOf<{ category: string; count: number }>();
    expectTypeOf<EndpointInput<typeof endpoint>["ticket"]>().toEqualTypeOf<string>();
  });

  test("gives clients a date as the text it is printed as", () => {
    const printed = z.object({ at: z.date(), seen: z.array(z.date()), note: z.string().nullable().optional() });
    const endpoint = defineEndpoint({
      method: "POST",
      input,
      output: printed,
      mode: "sync",
      handle: () => ({ at: new Date(0), seen: [] }),
    });
    expectTypeOf<EndpointOutput<typeof endpoint>>().toEqualTypeOf<{
      at: string;
      seen: string[];
      note?: string | null | undefined;
    }>();
  });

  test("gives clients null for no answer, and JSON for any", () => {
    const nothing = defineEndpoint({ method: "DELETE", input, output: z.void(), mode: "sync", handle: () => {} });
    expectTypeOf<EndpointOutput<typeof nothing>>().toEqualTypeOf<null>();
    const anything = defineEndpoint({ method: "GET", input, output: z.any(), mode: "sync", handle: () => 1 });
    expectTypeOf<EndpointOutput<typeof anything>>().toEqualTypeOf<Json>();
  });

  test("gets its input as the schema gives it out, and knows its caller from the request alone", () => {
    defineEndpoint({
      method: "POST",
      input,
      output,
      mode: "sync",
      handle(context) {
        expectTypeOf(context.input).toEqualTypeOf<{ ticket: string; limit: number }>();
        expectTypeOf(context.caller).toEqualTypeOf<EndpointCaller>();
        expectTypeOf(context.params).toEqualTypeOf<Readonly<Record<string, string>>>();
        // @ts-expect-error the caller is not for the handler to choose
        context.caller = {} as EndpointCaller;
        const change = () => {
          // @ts-expect-error nor to change
          context.caller.userId = null;
        };
        expectTypeOf(change).toBeFunction();
        return { category: "x" };
      },
    });
  });

  test("answers with what its output schema takes", () => {
    // @ts-expect-error category is a text
    defineEndpoint({ method: "POST", input, output, mode: "sync", handle: () => ({ category: 1 }) });
  });
});

describe("running an agent", () => {
  test("is typed by the agent: its variables and its output", () => {
    defineEndpoint({
      method: "POST",
      input,
      output,
      mode: "sync",
      async handle({ runAgent }) {
        const message = "m";
        const run = await runAgent(classifier, { message, variables: { LOCALE: "de" } });
        expectTypeOf(run).toEqualTypeOf<FinishedRun<{ category: "bug" | "billing"; tags: string[] }>>();
        expectTypeOf(run.output()).toEqualTypeOf<{ category: "bug" | "billing"; tags: string[] }>();

        await runAgent(triage, { message, variables: { PRODUCT: "Gateway", URGENT: true, COUNT: 2, NOTE: "n" } });
        // @ts-expect-error no such product
        await runAgent(triage, { message, variables: { PRODUCT: "Toaster" } });
        // @ts-expect-error a number is not a text
        await runAgent(triage, { message, variables: { NOTE: 4 } });
        // @ts-expect-error the agent declares no such variable
        await runAgent(triage, { message, variables: { PRODUKT: "Till" } });
        // @ts-expect-error an agent without variables takes none
        await runAgent(defineAgent({ name: "Plain" }), { message, variables: { NOTE: "n" } });
        // @ts-expect-error a run answers a message
        await runAgent(triage, {});

        expectTypeOf((await runAgent(triage, { message })).output()).toEqualTypeOf<string>();
        expectTypeOf((await runAgent("triage", { message })).output()).toEqualTypeOf<Json>();
        return { category: run.output().category };
      },
    });
  });

  test("has no place for a user: whom it works for comes from the request", () => {
    defineEndpoint({
      method: "POST",
      input,
      output,
      mode: "sync",
      async handle({ runAgent }) {
        const message = "m";
        // @ts-expect-error no user
        await runAgent(triage, { message, user: "user_1" });
        // @ts-expect-error no caller
        await runAgent("triage", { message, caller: { userId: "user_1" } });
        // @ts-expect-error no attribution
        await runAgent("triage", { message, attributed_user_id: "user_1" });
        return { category: "x" };
      },
    });
  });

  test("without a saved agent is typed by its output, else by the agent it stands on", () => {
    defineEndpoint({
      method: "POST",
      input,
      output,
      mode: "sync",
      async handle({ runAdHoc }) {
        const messages = [
          { role: "assistant", text: "What is it?" },
          { role: "user", text: "E-17" },
        ] as const;
        const schema = z.object({ code: z.string().default("none") });
        expectTypeOf((await runAdHoc({ messages })).output()).toEqualTypeOf<string>();
        expectTypeOf((await runAdHoc({ messages, output: schema })).output()).toEqualTypeOf<{ code: string }>();
        const based = await runAdHoc({ messages, agent: classifier, variables: { LOCALE: "de" } });
        expectTypeOf(based.output()).toEqualTypeOf<{ category: "bug" | "billing"; tags: string[] }>();
        const both = await runAdHoc({
          messages,
          agent: classifier,
          output: schema,
          tools: ["lookup"],
          model: { id: "m" },
        });
        expectTypeOf(both.output()).toEqualTypeOf<{ code: string }>();
        expectTypeOf((await runAdHoc({ messages, agent: "triage" })).output()).toEqualTypeOf<Json>();
        // @ts-expect-error the agent declares no such variable
        await runAdHoc({ messages, agent: triage, variables: { PRODUKT: "Till" } });
        // @ts-expect-error no user
        await runAdHoc({ messages, user: "user_1" });
        // @ts-expect-error no attribution
        await runAdHoc({ messages, attributed_user_id: "user_1" });
        // @ts-expect-error a conversation has no other voices
        await runAdHoc({ messages: [{ role: "system", text: "Obey." }] });
        return { category: "x" };
      },
    });
  });

  test("gives back nothing of what was said on the way", () => {
    type Known = "id" | "threadId" | "agentVersion" | "usage" | "state" | "output";
    expectTypeOf<keyof CompletedRun<string>>().toEqualTypeOf<Known | "text">();
    expectTypeOf<keyof UnfinishedRun>().toEqualTypeOf<Known | "error">();
  });

  test("ends as one of the states, and only a completed one has a text", () => {
    const read = (run: FinishedRun<number>) => {
      if (run.state === "completed") {
        expectTypeOf(run.text).toEqualTypeOf<string>();
        return run.output();
      }
      expectTypeOf(run.error).toEqualTypeOf<RunError>();
      expectTypeOf(run.output).returns.toEqualTypeOf<never>();
      // @ts-expect-error there is no answer
      return run.text;
    };
    expectTypeOf(read).toBeFunction();
  });
});
