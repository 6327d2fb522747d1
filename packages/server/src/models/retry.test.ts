import { describe, expect, test } from "vitest";
import { type Model, ModelError, type ModelPart, type StreamOptions } from "./model.ts";
import { type CallOptions, callModel } from "./retry.ts";
import { request } from "./test-kit.ts";

type Try = ModelError | Error | string | ((options: StreamOptions) => Promise<never>);
const end = { finishReason: "stop", usage: { inputTokens: 1, outputTokens: 1 } } as const;
const unavailable = (retryAfterMs?: number) =>
  new ModelError("model_unavailable", "down", { retryable: true, retryAfterMs });
const rejected = new ModelError("model_rejected", "no");

/** A model that goes through `tries`: text to say, or how to fail. A failure after "…" says something first. */
function scripted(...tries: Try[]) {
  const seen: string[] = [];
  const model: Model = {
    provider: "scripted",
    async stream({ modelId }, options) {
      seen.push(modelId);
      const next = tries[seen.length - 1] ?? tries.at(-1);
      if (typeof next === "string") {
        options.onPart({ type: "text", text: next });
        return end;
      }
      if (typeof next === "function") return next(options);
      throw next;
    },
  };
  return { model, seen };
}

async function call(models: ReturnType<typeof scripted>[], more: Partial<CallOptions> = {}) {
  const waits: number[] = [];
  const log: string[] = [];
  const work = callModel(
    models.map(({ model }, i) => ({ model, modelId: `m${i}`, label: `c${i}` })),
    request,
    {
      signal: new AbortController().signal,
      onPart: (part: ModelPart) => log.push(part.type === "text" ? part.text : part.type),
      onRestart: () => log.push("restart"),
      sleep: async (ms) => {
        waits.push(ms);
      },
      random: () => 1,
      ...more,
    },
  );
  const result = await work.catch((error: unknown) => error);
  return { result, waits, log };
}

describe("callModel", () => {
  test("hands over the parts and the end of a call that works", async () => {
    const first = scripted("hello");
    const { result, waits, log } = await call([first]);
    expect(result).toEqual({ ...end, targetIndex: 0, attempts: 1 });
    expect(log).toEqual(["hello"]);
    expect(waits).toEqual([]);
    expect(first.seen).toEqual(["m0"]);
  });

  test("R1: waits longer each time, with a random share, and gives up after three attempts", async () => {
    const first = scripted(unavailable());
    const loud = await call([first]);
    expect(loud.waits).toEqual([500, 1000]);
    expect(loud.result).toMatchObject({ code: "model_unavailable" });
    expect(first.seen).toHaveLength(3);
    expect((await call([scripted(unavailable())], { random: () => 0 })).waits).toEqual([250, 500]);
  });

  test("R1: waits at least as long as the provider asked for", async () => {
    const { waits, result } = await call([scripted(unavailable(7000), unavailable(1), "hello")]);
    expect(waits).toEqual([7000, 1000]);
    expect(result).toMatchObject({ attempts: 3 });
  });

  test("R1: does not wait where there is nothing to wait for, but only once", async () => {
    expect((await call([scripted(unavailable(0), "hello")])).waits).toEqual([]);
    expect((await call([scripted(unavailable(0))])).waits).toEqual([1000]);
  });

  test("R2: goes to the next target when attempts are used up", async () => {
    const [first, second] = [scripted(unavailable()), scripted("hello")];
    const { result } = await call([first, second], { maxAttempts: 2 });
    expect(result).toMatchObject({ targetIndex: 1, attempts: 3 });
    expect(second.seen).toEqual(["m1"]);
  });

  test("R2: goes to the next target at once when the provider asks for more than 30 seconds", async () => {
    const { result, waits } = await call([scripted(unavailable(30_001)), scripted("hello")]);
    expect(result).toMatchObject({ targetIndex: 1, attempts: 2 });
    expect(waits).toEqual([]);
  });

  test.each([
    new ModelError("model_unauthorized", "key"),
    rejected,
    new ModelError("model_unavailable", "refused address"),
  ])("R2: goes to the next target at once after $code that no retry can mend", async (error) => {
    const first = scripted(error);
    const { result } = await call([first, scripted("hello")]);
    expect(result).toMatchObject({ targetIndex: 1, attempts: 2 });
    expect(first.seen).toHaveLength(1);
  });

  test("R2: the last target's failure is the one that is told", async () => {
    expect((await call([scripted(unavailable()), scripted(rejected)])).result).toBe(rejected);
  });

  test.each([
    new ModelError("model_content_filtered", "no"),
    new ModelError("model_output_too_large", "no"),
    new TypeError("a mistake of ours"),
  ])("R3: $message ends the call without another try", async (error) => {
    const second = scripted("hello");
    expect((await call([scripted(error), second])).result).toBe(error);
    expect(second.seen).toEqual([]);
  });

  test("R4: takes back what was shown before it tries again, and only then", async () => {
    const half = async ({ onPart }: StreamOptions): Promise<never> => {
      onPart({ type: "text", text: "hel" });
      throw new ModelError("model_stream_cut", "cut", { retryable: true });
    };
    const { log } = await call([scripted(half, unavailable(), half), scripted("hello")]);
    expect(log).toEqual(["hel", "restart", "hel", "restart", "hello"]);
  });

  test("R4: what was shown before the last failure stays for the caller to deal with", async () => {
    const half = async ({ onPart }: StreamOptions): Promise<never> => {
      onPart({ type: "text", text: "hel" });
      throw rejected;
    };
    expect((await call([scripted(half)])).log).toEqual(["hel"]);
  });

  test("R5: an abort during a call or a wait ends it with the signal's reason", async () => {
    const reason = new Error("canceled");
    for (const when of ["call", "wait"]) {
      const control = new AbortController();
      const first = scripted(async () => {
        if (when === "call") control.abort(reason);
        throw unavailable();
      });
      const sleep = async () => control.abort(reason);
      expect((await call([first, scripted("hello")], { signal: control.signal, sleep })).result).toBe(reason);
      expect(first.seen).toHaveLength(1);
    }
  });

  test("R5: the built-in wait ends with the signal", async () => {
    const control = new AbortController();
    const reason = new Error("canceled");
    const work = callModel([{ model: scripted(unavailable(20_000)).model, modelId: "m", label: "c" }], request, {
      signal: control.signal,
      onPart: () => {},
      onRestart: () => {},
      onRetry: () => setImmediate(() => control.abort(reason)),
    });
    await expect(work).rejects.toBe(reason);
  });

  test("tells of each new try", async () => {
    const told: unknown[] = [];
    await call([scripted(unavailable(9), rejected), scripted("hello")], { onRetry: (failure) => told.push(failure) });
    expect(told).toMatchObject([
      { label: "c0", waitMs: 500, error: { code: "model_unavailable" } },
      { label: "c0", waitMs: 0, error: { code: "model_rejected" } },
    ]);
  });

  test("without a target there is a clear failure", async () => {
    expect((await call([])).result).toMatchObject({ code: "model_connection_missing" });
  });
});
