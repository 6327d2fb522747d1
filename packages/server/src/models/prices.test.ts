import { describe, expect, test } from "vitest";
import { costMicros, withPrices } from "./prices.ts";

const million = { inputTokens: 1_000_000, outputTokens: 1_000_000 };

describe("costMicros", () => {
  test("charges input and output by the million tokens", () => {
    expect(costMicros("openai", "gpt-4o-mini", million)).toBe(750_000);
  });

  test("charges cached input at its own price", () => {
    const usage = { inputTokens: 1_000_000, cachedInputTokens: 1_000_000, outputTokens: 0 };
    expect(costMicros("openai", "gpt-4o-mini", usage)).toBe(75_000);
    expect(costMicros("own", "m", usage, withPrices({ own: { m: { input: 5, output: 5 } } }))).toBe(5);
  });

  test("rounds up, so that a call is never free by its smallness", () => {
    expect(costMicros("openai", "gpt-4o-mini", { inputTokens: 1, outputTokens: 0 })).toBe(1);
    expect(costMicros("openai", "gpt-4o-mini", { inputTokens: 0, outputTokens: 0 })).toBe(0);
  });

  test("knows dated and latest forms, and tells a model from its sisters", () => {
    const plain = costMicros("openai", "gpt-4o", million);
    expect(costMicros("openai", "gpt-4o-2024-11-20", million)).toBe(plain);
    expect(costMicros("openai", "gpt-4o-mini-2024-07-18", million)).toBe(750_000);
    expect(costMicros("anthropic", "claude-3-5-haiku-latest", million)).toBe(4_800_000);
    expect(costMicros("anthropic", "claude-opus-4-5-20251101", million)).toBe(30_000_000);
    expect(costMicros("google", "gemini-2.5-flash-lite", million)).toBe(500_000);
  });

  test("is 0 for what it does not know", () => {
    expect(costMicros("openai", "gpt-5-pro", million)).toBe(0);
    expect(costMicros("openai", "constructor", million)).toBe(0);
    expect(costMicros("openai-compatible", "llama", million)).toBe(0);
    expect(costMicros("demo", "demo", million)).toBe(0);
  });

  test("an operator's price goes before the list price and leaves the others alone", () => {
    const table = withPrices({ openai: { "gpt-4o": { input: 1_000_000, output: 0 } } });
    expect(costMicros("openai", "gpt-4o", million, table)).toBe(1_000_000);
    expect(costMicros("openai", "gpt-4o-mini", million, table)).toBe(750_000);
  });
});
