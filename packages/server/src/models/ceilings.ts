/**
 * Output tokens that a model can say in one call at most, thinking included.
 *
 * As the providers publish them on their model pages up to the end of 2025; an id also stands for its dated forms,
 * as in `prices.ts`.
 */
import { byModel } from "./prices.ts";

const ceilings: { readonly [provider: string]: { readonly [modelId: string]: number } } = {
  openai: {
    "gpt-5.2": 128_000,
    "gpt-5.1": 128_000,
    "gpt-5": 128_000,
    "gpt-5-mini": 128_000,
    "gpt-5-nano": 128_000,
    "gpt-4.1": 32_768,
    "gpt-4.1-mini": 32_768,
    "gpt-4.1-nano": 32_768,
    "gpt-4o": 16_384,
    "gpt-4o-mini": 16_384,
    o3: 100_000,
    "o4-mini": 100_000,
  },
  anthropic: {
    "claude-opus-4-5": 64_000,
    "claude-opus-4-1": 32_000,
    "claude-opus-4": 32_000,
    "claude-sonnet-4-5": 64_000,
    "claude-sonnet-4": 64_000,
    "claude-haiku-4-5": 64_000,
    "claude-3-5-haiku": 8_192,
  },
  google: {
    "gemini-2.5-pro": 65_536,
    "gemini-2.5-flash": 65_536,
    "gemini-2.5-flash-lite": 65_536,
    "gemini-2.0-flash": 8_192,
  },
};

/** Undefined for a model that the table does not know. */
export const maxOutputOf = (provider: string, modelId: string): number | undefined =>
  byModel(ceilings[provider] ?? {}, modelId);
