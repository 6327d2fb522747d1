/** What a model call may use at most, reckoned before it is made; and what one used that broke off. */
import { type Amount, type Estimate, NOTHING } from "../budgets/index.ts";
import {
  type ModelMessage,
  type ModelPart,
  type ModelRequest,
  type ModelTarget,
  type ModelUsage,
  maxOutputOf,
} from "../models/index.ts";

/**
 * Tokens for each character, and for each byte of UTF-8 beyond one a character. `most`: two characters of JSON a token,
 * in nearly every text and tokenizer; outside of ASCII a token for each byte, which no tokenizer exceeds. `usual`: four
 * characters of English a token, one of Chinese; for what was used where the provider does not say.
 */
const weights = { most: { char: 1 / 2, further: 3 / 2 }, usual: { char: 1 / 4, further: 3 / 8 } };
type Weights = (typeof weights)[keyof typeof weights];
/** Output tokens of a call whose agent sets no limit, where those of its model are not known or there is no room. */
const MAX_OUTPUT_TOKENS = 8_192;
/** Tokens a file counts for at least: providers reckon images and pages of documents at 250 to 3,000 each. */
const FILE_TOKENS = 3_000;
/** Bytes that another file than an image has for each token at least. */
const FILE_BYTES_PER_TOKEN = 8;
/** What a provider puts around each message. */
const MESSAGE_TOKENS = 16;
/** What Anthropic puts before a list of tools, at most. */
const ANTHROPIC_TOOLS_TOKENS = 600;

type Request = Omit<ModelRequest, "modelId">;
type Cost = (provider: string, model: string, usage: ModelUsage) => number;

/** What a provider counted for the call before: all its messages, and the answer that is the next one. */
export type Counted = { readonly target: ModelTarget; readonly messages: number; readonly tokens: number };

/** A way to make the call. */
export type Way = Estimate & {
  /** To be asked of the provider; absent where the agent's limit, or the model's own, is the bound. */
  readonly maxOutputTokens?: number;
};

/**
 * The ways to make a call, the best first: with all that its agent and its models allow; and where that is the models'
 * word alone and much, with less. Each is reckoned for the dearest of the models that may answer.
 *
 * @param counted makes the bound of the input tight: only what came since is reckoned from its length
 */
export function atMost(
  targets: readonly ModelTarget[],
  request: Request,
  cost: Cost,
  counted?: Counted,
): [Way, ...Way[]] {
  const { maxOutputTokens: limit } = request;
  const inputs = inputsOf(targets, request, counted);
  const ceilings = targets.map(({ model, modelId }) => maxOutputOf(model.provider, modelId));
  const way = (outputOf: (ceiling: number | undefined) => number): Way => {
    const usages = inputs.map((inputTokens, i) => ({ inputTokens, outputTokens: outputOf(ceilings[i]) }));
    const inputOnly = inputs.map((inputTokens) => ({ inputTokens, outputTokens: 0 }));
    return { atMost: dearest(targets, cost, usages), input: dearest(targets, cost, inputOnly) };
  };
  const best = way((ceiling) => Math.min(limit ?? ceiling ?? MAX_OUTPUT_TOKENS, ceiling ?? Infinity));
  // Only what a model is known to be able to say can be asked of it: others refuse a bound that is above their own.
  const canBeAsked = ceilings.every((ceiling) => ceiling !== undefined && ceiling >= MAX_OUTPUT_TOKENS);
  if (limit !== undefined || !canBeAsked || ceilings.every((ceiling) => ceiling === MAX_OUTPUT_TOKENS)) return [best];
  return [best, { ...way(() => MAX_OUTPUT_TOKENS), maxOutputTokens: MAX_OUTPUT_TOKENS }];
}

/** Input tokens at most, for each target. */
function inputsOf(targets: readonly ModelTarget[], request: Request, counted: Counted | undefined): number[] {
  const whole = tokensIn(request, weights.most);
  const since = counted === undefined ? [] : request.messages.slice(counted.messages);
  if (since[0]?.role === "assistant") since.shift();
  const added = counted === undefined ? 0 : counted.tokens + tokensIn({ messages: since }, weights.most);
  return targets.map(({ model, modelId }) => {
    const around = model.provider === "anthropic" && request.tools.length > 0 ? ANTHROPIC_TOOLS_TOKENS : 0;
    const isCounted = counted?.target.model.provider === model.provider && counted.target.modelId === modelId;
    return isCounted ? Math.min(whole + around, added) : whole + around;
  });
}

/**
 * What the tries of one model call used that came to no end: nobody counts it but the provider, who is paid for it. A
 * try counts once its answer has begun, or once this side gave it up.
 */
export class Broken {
  readonly #ofOne: (outputTokens: number) => Amount;
  #total: Amount = NOTHING;
  #tokens = 0;

  constructor(targets: readonly ModelTarget[], request: Request, cost: Cost) {
    this.#ofOne = (outputTokens) => {
      const inputTokens = tokensIn(request, weights.usual);
      return dearest(
        targets,
        cost,
        targets.map(() => ({ inputTokens, outputTokens })),
      );
    };
  }

  /** A piece of the answer has come. */
  came(part: ModelPart): void {
    this.#tokens += tokensOf(part.type === "tool_call" ? part.tool + part.inputText : part.text, weights.usual);
  }

  /** The try is over, and was in vain. @param wasGivenUp by this side */
  ended(wasGivenUp: boolean): void {
    if (this.#tokens > 0 || wasGivenUp) this.#total = plus(this.#total, this.#ofOne(Math.ceil(this.#tokens)));
    this.#tokens = 0;
  }

  /** Beside what a try used that came to its end. */
  with(used: Amount): Amount {
    return plus(this.#total, used);
  }
}

const plus = (a: Amount, b: Amount): Amount => ({ micros: a.micros + b.micros, tokens: a.tokens + b.tokens });

/** @param usages one for each target */
function dearest(targets: readonly ModelTarget[], cost: Cost, usages: readonly ModelUsage[]): Amount {
  const costs = targets.map(({ model, modelId }, i) => cost(model.provider, modelId, usages[i] as ModelUsage));
  const tokens = usages.map(({ inputTokens, outputTokens }) => inputTokens + outputTokens);
  return { micros: Math.max(0, ...costs), tokens: Math.max(0, ...tokens) };
}

const tokensOf = (text: string, { char, further }: Weights): number =>
  text.length * char + (Buffer.byteLength(text) - text.length) * further;

function tokensIn(request: Partial<Request> & Pick<Request, "messages">, by: Weights): number {
  let files = 0;
  const withoutBytes = (message: ModelMessage) => {
    if (message.role !== "user") return message;
    return message.content.filter((part) => {
      if (part.type !== "file") return true;
      const isImage = part.mediaType.startsWith("image/");
      files += isImage ? FILE_TOKENS : Math.max(FILE_TOKENS, part.bytes.byteLength / FILE_BYTES_PER_TOKEN);
      return false;
    });
  };
  const text = JSON.stringify([
    request.system,
    request.messages.map(withoutBytes),
    request.tools,
    request.outputSchema,
  ]);
  return Math.ceil(tokensOf(text, by) + files + request.messages.length * MESSAGE_TOKENS * by.char);
}
