/** What a model call may use at most, reckoned before it is made; and what one used that broke off. */
import { type Amount, NOTHING } from "../budgets/index.ts";
import type { ModelMessage, ModelPart, ModelRequest, ModelTarget, ModelUsage } from "../models/index.ts";

/** Characters of JSON a token has at least, in nearly every text and tokenizer. */
const CHARS_PER_TOKEN = 2;
/** And on average: for what was used, where the provider does not say. */
const USUAL_CHARS_PER_TOKEN = 4;
/** Output tokens of a call whose agent sets no limit. */
const MAX_OUTPUT_TOKENS = 8_192;
/** Tokens a file counts for: providers reckon images and pages of documents at 250 to 3,000 each. */
const FILE_TOKENS = 3_000;

type Request = Omit<ModelRequest, "modelId">;
type Cost = (provider: string, model: string, usage: ModelUsage) => number;

/** The dearest of the models that may answer. */
export function atMost(targets: readonly ModelTarget[], request: Request, cost: Cost): Amount {
  const { chars, files } = lengthOf(request);
  return dearest(targets, cost, {
    inputTokens: Math.ceil(chars / CHARS_PER_TOKEN) + files * FILE_TOKENS,
    outputTokens: request.maxOutputTokens ?? MAX_OUTPUT_TOKENS,
  });
}

/**
 * What the tries of one model call used that came to no end: nobody counts it but the provider, who is paid for it. A
 * try counts once its answer has begun, or once this side gave it up.
 */
export class Broken {
  readonly #ofOne: (outputTokens: number) => Amount;
  #total: Amount = NOTHING;
  #chars = 0;

  constructor(targets: readonly ModelTarget[], request: Request, cost: Cost) {
    this.#ofOne = (outputTokens) => {
      const { chars, files } = lengthOf(request);
      const inputTokens = Math.ceil(chars / USUAL_CHARS_PER_TOKEN) + files * FILE_TOKENS;
      return dearest(targets, cost, { inputTokens, outputTokens });
    };
  }

  /** A piece of the answer has come. */
  came(part: ModelPart): void {
    this.#chars += part.type === "tool_call" ? part.inputText.length + part.tool.length : part.text.length;
  }

  /** The try is over, and was in vain. @param wasGivenUp by this side */
  ended(wasGivenUp: boolean): void {
    if (this.#chars > 0 || wasGivenUp) {
      this.#total = plus(this.#total, this.#ofOne(Math.ceil(this.#chars / USUAL_CHARS_PER_TOKEN)));
    }
    this.#chars = 0;
  }

  /** Beside what a try used that came to its end. */
  with(used: Amount): Amount {
    return plus(this.#total, used);
  }
}

const plus = (a: Amount, b: Amount): Amount => ({ micros: a.micros + b.micros, tokens: a.tokens + b.tokens });

function dearest(targets: readonly ModelTarget[], cost: Cost, usage: ModelUsage): Amount {
  const costs = targets.map(({ model, modelId }) => cost(model.provider, modelId, usage));
  return { micros: Math.max(0, ...costs), tokens: usage.inputTokens + usage.outputTokens };
}

function lengthOf(request: Request): { chars: number; files: number } {
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
  return { chars: text.length, files };
}
