import { setTimeout as sleep } from "node:timers/promises";
import type { StandardSchema, ToolContext, ToolDefinition } from "@callboard/kit";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { callTool, checkInput, storable, storableJson } from "./call.ts";
import type { LoadedTool } from "./registry.ts";

/** Characters of JSON that a result may have. */
const MAX_OUTPUT_CHARS = 256 * 1024;

const schema = (one: z.ZodType) => one as unknown as StandardSchema;

function tool(run: ToolDefinition["run"], more: Partial<ToolDefinition> = {}): LoadedTool {
  const definition = { description: "Test.", input: schema(z.unknown()), effect: "read" as const, run, ...more };
  return { name: "test", definition, inputSchema: {} };
}
const contextWith = (signal: AbortSignal) => ({ signal, callId: "call_1" }) as unknown as ToolContext;
const call = (run: ToolDefinition["run"], more: Partial<ToolDefinition> = {}, signal = new AbortController().signal) =>
  callTool(tool(run, more), { q: 1 }, contextWith(signal));

describe("what a tool is given", () => {
  test("its input as checked, and its context with a signal of the call's own", async () => {
    const seen: unknown[] = [];
    await call((input, context) => {
      seen.push(input, context.callId, context.signal.aborted);
    });
    expect(seen).toEqual([{ q: 1 }, "call_1", false]);
  });

  test("input is checked with its schema, coerced, and refused with the paths", async () => {
    const input = schema(z.object({ n: z.coerce.number(), list: z.array(z.string()).default([]) }));
    const checked = tool(() => null, { input });
    expect(await checkInput(checked, { n: "7" })).toEqual({ ok: true, value: { n: 7, list: [] } });
    const refused = await checkInput(checked, { n: "x", list: [1] });
    expect(refused).toMatchObject({ ok: false, reason: expect.stringMatching(/^n: .*; list\[0\]: /) });
  });

  test("a schema that throws refuses the input instead of the run", async () => {
    const input: StandardSchema = {
      "~standard": {
        version: 1,
        vendor: "own",
        validate: () => {
          throw new Error("schema broken \ud800");
        },
      },
    };
    expect(
      await checkInput(
        tool(() => null, { input }),
        {},
      ),
    ).toEqual({ ok: false, reason: "schema broken \ufffd" });
  });
});

describe("what comes back", () => {
  test.each([
    [{ a: [1, null, "x"] }, { a: [1, null, "x"] }, '{"a":[1,null,"x"]}'],
    ["plain text", "plain text", "plain text"],
    [undefined, null, "null"],
    [null, null, "null"],
    [0, 0, "0"],
    [Promise.resolve(true), true, "true"],
    [new Date(0), "1970-01-01T00:00:00.000Z", '"1970-01-01T00:00:00.000Z"'],
    [{ kept: 1, left: undefined }, { kept: 1 }, '{"kept":1}'],
  ])("%j is a result", async (answer, output, text) => {
    expect(await call(() => answer)).toEqual({ outcome: "ok", output, text });
  });

  const circle: { self?: unknown } = {};
  circle.self = circle;
  test.each([
    ["a function", () => () => 1],
    ["a symbol", () => Symbol("x")],
    ["a bigint", () => ({ n: 1n })],
    ["a circle", () => circle],
  ])("%s is not JSON, and an error", async (_, run) => {
    expect(await call(run)).toMatchObject({ outcome: "error", reason: expect.stringMatching(/is not JSON/) });
  });

  test("a result at the limit passes, one above it is an error", async () => {
    expect(await call(() => "x".repeat(MAX_OUTPUT_CHARS - 2))).toMatchObject({ outcome: "ok" });
    expect(await call(() => "x".repeat(MAX_OUTPUT_CHARS - 1))).toEqual({
      outcome: "error",
      reason: `the tool's answer has ${MAX_OUTPUT_CHARS + 1} characters; at most ${MAX_OUTPUT_CHARS} are accepted`,
      text: expect.stringMatching(/^The tool failed: /),
    });
  });

  test("a result may be 200 levels deep and no deeper", async () => {
    const nested = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels));
    expect(await call(() => nested(200))).toMatchObject({ outcome: "ok" });
    for (const levels of [201, 100_000]) expect((await call(() => nested(levels))).outcome).toBe("error");
  });

  test("a result is as its output schema gives it out, or an error", async () => {
    const output = schema(z.object({ id: z.string(), at: z.string().default("now") })) as never;
    expect(await call(() => ({ id: "a" }), { output })).toMatchObject({ output: { id: "a", at: "now" } });
    expect(await call(() => ({ id: 7 }), { output })).toMatchObject({
      outcome: "error",
      reason: expect.stringMatching(/^the tool's answer does not fit its output schema: id: /),
    });
  });

  test("what a tool throws is told to the model, at most 2,000 characters of it", async () => {
    const thrown = (value: unknown) =>
      call(() => {
        throw value;
      });
    expect(await thrown(new Error("no such ticket"))).toEqual({
      outcome: "error",
      reason: "no such ticket",
      text: "The tool failed: no such ticket",
    });
    expect(await thrown("just text")).toMatchObject({ reason: "just text" });
    const long = await thrown(new Error(`${"x".repeat(1999)}😀`));
    expect(long).toMatchObject({ reason: `${"x".repeat(1999)}\ufffd` }); // half a character is not stored
    expect(await call(() => Promise.reject(new Error("later")))).toMatchObject({ reason: "later" });
  });
});

describe("time", () => {
  test("a tool that does not answer in time is an error, and its signal says so", async () => {
    let signal: AbortSignal | undefined;
    const hangs = call(
      (_, context) => {
        signal = context.signal;
        return new Promise(() => {});
      },
      { timeoutMs: 20 },
    );
    expect(await hangs).toMatchObject({ outcome: "error", reason: "the tool did not answer within 20 ms" });
    expect(signal?.aborted).toBe(true);
  });

  test("an aborted run gets no result, whether the tool listens or not", async () => {
    const stop = new AbortController();
    const reason = new Error("the run was canceled");
    const deaf = call(() => new Promise(() => {}), {}, stop.signal);
    const listening = call((_, { signal }) => sleep(10_000, undefined, { signal }).then(() => "late"), {}, stop.signal);
    stop.abort(reason);
    await expect(deaf).rejects.toBe(reason);
    await expect(listening).rejects.toBe(reason);
    await expect(call(() => "never", {}, stop.signal)).rejects.toBe(reason);
  });

  test("a call leaves no listener behind", async () => {
    const stop = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = stop.signal;
    stop.signal.addEventListener = (...args: unknown[]) => {
      listeners++;
      return Reflect.apply(addEventListener, stop.signal, args);
    };
    stop.signal.removeEventListener = (...args: unknown[]) => {
      listeners--;
      return Reflect.apply(removeEventListener, stop.signal, args);
    };
    for (let i = 0; i < 20; i++) await call(() => "ok", {}, stop.signal);
    expect(listeners).toBe(0);
  });
});

describe("texts that PostgreSQL stores", () => {
  const nasty = fc.string({
    unit: fc.constantFrom("\u0000", "\ud800", "\udc00", "\\", "u0000", "\\u0000", "ud800", '"', "a", "é", "😀", "\n"),
    maxLength: 24,
  });

  test("hold neither U+0000 nor lone surrogates, and are otherwise as they were", () => {
    fc.assert(
      fc.property(nasty, (text) => {
        const clean = storable(text);
        expect(clean.isWellFormed()).toBe(true);
        expect(clean).not.toContain("\u0000");
        expect(clean).toBe(text.toWellFormed().replaceAll("\u0000", "\ufffd"));
        expect(storable(clean)).toBe(clean);
      }),
      { numRuns: 500 },
    );
  });

  // Node 26.10 reads the key "\\ufffd" as "\\" when an object with that key in the same place was read before.
  const key = nasty.map((text) => `k${text}`);

  test("as JSON stay JSON, and mean the same but for what cannot be stored", () => {
    fc.assert(
      fc.property(fc.array(nasty, { maxLength: 4 }), fc.dictionary(key, nasty, { maxKeys: 3 }), (list, object) => {
        const clean = storableJson(JSON.stringify({ list, object }));
        const read = JSON.parse(clean) as { list: string[]; object: Record<string, string> };
        expect(read.list).toEqual(list.map(storable));
        const expected: Record<string, string> = {};
        for (const [key, value] of Object.entries(object)) expected[storable(key)] = storable(value);
        expect(read.object).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test("that speak about escapes are left alone", () => {
    expect(storable("write \\u0000 for NUL")).toBe("write \\u0000 for NUL");
    expect(storableJson(JSON.stringify("write \\u0000 for NUL"))).toBe('"write \\\\u0000 for NUL"');
    expect(storableJson(JSON.stringify("\u0000\u0000"))).toBe('"\\ufffd\\ufffd"');
  });
});
