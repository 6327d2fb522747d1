import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { costMicros, type ModelMessage, type ModelRequest, type ModelTarget } from "../models/index.ts";
import { atMost, Broken } from "./estimate.ts";

const target = (provider: string, modelId: string): ModelTarget => ({
  model: { provider, stream: () => Promise.reject(new Error("not called")) },
  modelId,
  label: modelId,
});
const [known, small, unknown] = [
  target("openai", "gpt-5"),
  target("anthropic", "claude-3-5-haiku"),
  target("openai-compatible", "mine"),
];
const user = (text: string): ModelMessage => ({ role: "user", content: [{ type: "text", text }] });
const request = (more: Partial<ModelRequest> = {}): Omit<ModelRequest, "modelId"> => ({
  system: "Be brief.",
  messages: [user("Hello")],
  tools: [],
  ...more,
});
const tokens = (...asked: Parameters<typeof atMost>) => atMost(...asked).map((way) => way.atMost.tokens);
const inputTokens = (messages: ModelMessage[]) => atMost([unknown], request({ messages }), costMicros)[0].input.tokens;

describe("the output of a call is bounded", () => {
  const input = inputTokens([user("Hello")]);
  test("by the agent's limit, and no further than its model can speak", () => {
    expect(tokens([known], request({ maxOutputTokens: 500 }), costMicros)).toEqual([input + 500]);
    expect(tokens([small], request({ maxOutputTokens: 500_000 }), costMicros)).toEqual([input + 8_192]);
  });

  test("by what its model can say, and, where there is no room for that, by what is asked of it", () => {
    const [best, less] = atMost([known], request(), costMicros);
    expect([best.atMost.tokens, best.maxOutputTokens]).toEqual([input + 128_000, undefined]);
    expect([less?.atMost.tokens, less?.maxOutputTokens]).toEqual([input + 8_192, 8_192]);
    expect(best.atMost.micros).toBe(costMicros("openai", "gpt-5", { inputTokens: input, outputTokens: 128_000 }));
    expect(best.input.micros).toBe(costMicros("openai", "gpt-5", { inputTokens: input, outputTokens: 0 }));
  });

  test("by nothing that a model might refuse: of one that is not known nothing is asked", () => {
    expect(tokens([unknown], request(), costMicros)).toEqual([input + 8_192]);
    expect(tokens([known, unknown], request(), costMicros)).toEqual([input + 128_000]);
    expect(tokens([small], request(), costMicros)).toEqual([input + 8_192]);
  });
});

describe("the input of a call", () => {
  test("is never reckoned below the bytes of what is not ASCII, nor below half of the characters that are", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
        const ascii = [...text].filter((char) => char < "\u0080").length;
        const further = Buffer.byteLength(text) - ascii;
        expect(inputTokens([user(text)])).toBeGreaterThanOrEqual(ascii / 2 + further);
      }),
    );
  });

  test("is what the provider counted, and what came since, once it has counted", () => {
    const messages = [
      user("x".repeat(10_000)),
      { role: "assistant", content: [] } as ModelMessage,
      user("y".repeat(20)),
    ];
    const counted = { target: known, messages: 1, tokens: 1300 };
    const of = (targets: ModelTarget[]) => atMost(targets, request({ messages }), costMicros, counted)[0].input.tokens;
    expect(of([known])).toBeGreaterThan(1310);
    expect(of([known])).toBeLessThan(1400);
    expect(of([unknown])).toBeGreaterThan(5000); // another tokenizer
    expect(of([known, unknown])).toBe(of([unknown]));
  });

  test("has more for files that are larger", () => {
    const file = (mediaType: string, bytes: number) =>
      inputTokens([{ role: "user", content: [{ type: "file", name: "f", mediaType, bytes: new Uint8Array(bytes) }] }]);
    const none = inputTokens([{ role: "user", content: [] }]);
    expect(file("image/png", 5_000_000) - none).toBe(3_000);
    expect(file("application/pdf", 1_000) - none).toBe(3_000);
    expect(file("application/pdf", 800_000) - none).toBe(100_000);
  });
});

test("what broke off counts a Chinese character as a token, and four English ones", () => {
  const used = (text: string) => {
    const broken = new Broken([unknown], request(), costMicros);
    broken.came({ type: "text", text });
    broken.ended(false);
    return broken.with({ micros: 0, tokens: 0 }).tokens;
  };
  expect(used("字".repeat(100)) - used("x".repeat(400))).toBe(0);
});
