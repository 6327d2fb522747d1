/**
 * What model calls cost.
 *
 * List prices in US dollars for text, standard tier, short context, as the providers published them on
 * their pricing pages up to the end of 2025. They change; an operator's own table goes before this one.
 */
import type { ModelUsage } from "./model.ts";

/** Micro-dollars per million tokens: 2_500_000 is 2.50 dollars. */
export type Price = {
  input: number;
  /** Input that the provider had cached; absent means the price of other input. */
  cachedInput?: number;
  output: number;
};

/**
 * Provider → model id → price. An id also stands for its dated and `latest` forms: `gpt-5` is the price of
 * `gpt-5-2025-08-07` but not of `gpt-5-pro`.
 */
export type PriceTable = { readonly [provider: string]: { readonly [modelId: string]: Price } };

const dollars = (input: number, cachedInput: number, output: number): Price => ({
  input: Math.round(input * 1e6),
  cachedInput: Math.round(cachedInput * 1e6),
  output: Math.round(output * 1e6),
});

const listPrices: PriceTable = {
  openai: {
    "gpt-5.2": dollars(1.75, 0.175, 14),
    "gpt-5.1": dollars(1.25, 0.125, 10),
    "gpt-5": dollars(1.25, 0.125, 10),
    "gpt-5-mini": dollars(0.25, 0.025, 2),
    "gpt-5-nano": dollars(0.05, 0.005, 0.4),
    "gpt-4.1": dollars(2, 0.5, 8),
    "gpt-4.1-mini": dollars(0.4, 0.1, 1.6),
    "gpt-4.1-nano": dollars(0.1, 0.025, 0.4),
    "gpt-4o": dollars(2.5, 1.25, 10),
    "gpt-4o-mini": dollars(0.15, 0.075, 0.6),
    o3: dollars(2, 0.5, 8),
    "o4-mini": dollars(1.1, 0.275, 4.4),
  },
  anthropic: {
    "claude-opus-4-5": dollars(5, 0.5, 25),
    "claude-opus-4-1": dollars(15, 1.5, 75),
    "claude-opus-4": dollars(15, 1.5, 75),
    "claude-sonnet-4-5": dollars(3, 0.3, 15),
    "claude-sonnet-4": dollars(3, 0.3, 15),
    "claude-haiku-4-5": dollars(1, 0.1, 5),
    "claude-3-5-haiku": dollars(0.8, 0.08, 4),
  },
  google: {
    "gemini-2.5-pro": dollars(1.25, 0.125, 10),
    "gemini-2.5-flash": dollars(0.3, 0.03, 2.5),
    "gemini-2.5-flash-lite": dollars(0.1, 0.01, 0.4),
    "gemini-2.0-flash": dollars(0.1, 0.025, 0.4),
  },
};

/** The table with an operator's prices before the list prices; an own price for an id replaces it. */
export function withPrices(own: PriceTable, base: PriceTable = listPrices): PriceTable {
  const merged: { [provider: string]: { [modelId: string]: Price } } = {};
  for (const provider of new Set([...Object.keys(base), ...Object.keys(own)])) {
    merged[provider] = { ...base[provider], ...own[provider] };
  }
  return merged;
}

/** Micro-dollars of one call, rounded up; 0 when the table does not know the model. */
export function costMicros(
  provider: string,
  modelId: string,
  usage: ModelUsage,
  table: PriceTable = listPrices,
): number {
  const price = priceFor(provider, modelId, table);
  if (price === undefined) return 0;
  const cached = Math.min(usage.cachedInputTokens ?? 0, usage.inputTokens);
  const total =
    (usage.inputTokens - cached) * price.input +
    cached * (price.cachedInput ?? price.input) +
    usage.outputTokens * price.output;
  return Math.ceil(total / 1e6);
}

/** What a model's calls are reckoned with; undefined when the table does not know the model. */
export function priceFor(provider: string, modelId: string, table: PriceTable = listPrices): Price | undefined {
  return byModel(table[provider] ?? {}, modelId);
}

/** What stands under the longest id that the model's id is, or is a dated or `latest` form of. */
export function byModel<Value>(values: { readonly [modelId: string]: Value }, modelId: string): Value | undefined {
  if (Object.hasOwn(values, modelId)) return values[modelId];
  const found = Object.keys(values)
    .filter(
      (id) =>
        modelId.startsWith(id) && /^[-@](?:\d{4,}|latest|preview|0\d\d$|\d{4}-\d\d)/.test(modelId.slice(id.length)),
    )
    .sort((a, b) => b.length - a.length)[0];
  return found === undefined ? undefined : values[found];
}

/** A price as it is kept with a model call. */
export const toWirePrice = (price: Price | undefined): object | null =>
  price === undefined
    ? null
    : {
        input: price.input,
        ...(price.cachedInput === undefined ? {} : { cached_input: price.cachedInput }),
        output: price.output,
      };
