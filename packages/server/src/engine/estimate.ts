/** What a model call may use at most, reckoned before it is made. */
import type { Amount } from "../budgets/index.ts";
import type { ModelMessage, ModelRequest, ModelTarget, ModelUsage } from "../models/index.ts";

/** Characters of JSON a token has at least, in nearly every text and tokenizer. */
const CHARS_PER_TOKEN = 2;
/** Output tokens of a call whose agent sets no limit. */
const MAX_OUTPUT_TOKENS = 8_192;
/** Tokens a file counts for: providers reckon images and pages of documents at 250 to 3,000 each. */
const FILE_TOKENS = 3_000;

/** The dearest of the models that may answer. */
export function atMost(
  targets: readonly ModelTarget[],
  request: Omit<ModelRequest, "modelId">,
  cost: (provider: string, model: string, usage: ModelUsage) => number,
): Amount {
  let files = 0;
  const withoutBytes = (message: ModelMessage) => {
    if (message.role !== "user") return message;
    const shown = message.content.filter(({ type }) => type !== "file");
    files += message.content.length - shown.length;
    return shown;
  };
  const text = JSON.stringify([
    request.system,
    request.messages.map(withoutBytes),
    request.tools,
    request.outputSchema,
  ]);
  const inputTokens = Math.ceil(text.length / CHARS_PER_TOKEN) + files * FILE_TOKENS;
  const outputTokens = request.maxOutputTokens ?? MAX_OUTPUT_TOKENS;
  const costs = targets.map(({ model, modelId }) => cost(model.provider, modelId, { inputTokens, outputTokens }));
  return { micros: Math.max(0, ...costs), tokens: inputTokens + outputTokens };
}
