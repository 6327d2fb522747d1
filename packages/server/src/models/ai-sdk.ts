/**
 * A Model over one of the provider packages, through the `LanguageModelV4` interface alone.
 *
 * A1  Every connection is made by the guarded fetch, with its limits on silence and size.
 * A2  Key and address come from the connection, never from the environment of the process.
 */
import type { LanguageModelV4 } from "@ai-sdk/provider";
import { guardedFetch } from "../net/index.ts";
import { toModelError } from "./ai-sdk-errors.ts";
import { type RequestTraits, toCallOptions } from "./ai-sdk-request.ts";
import { SdkStream } from "./ai-sdk-stream.ts";
import type { PostLimits } from "./http.ts";
import { type Model, type ModelEnd, ModelError, type ModelRequest, type StreamOptions } from "./model.ts";

export type SdkOptions = PostLimits & {
  /** Absent means the provider's own address. */
  baseUrl?: string | undefined;
  apiKey?: string | undefined;
};

/** What a package needs to make a language model. */
export type SdkConnection = { baseURL: string; apiKey: string; fetch: typeof fetch };

export type SdkProvider = RequestTraits & {
  defaultBaseUrl: string;
  /** Loads the package; called once. */
  load(connection: SdkConnection): Promise<(modelId: string) => LanguageModelV4>;
};

export function createSdkModel(provider: SdkProvider, options: SdkOptions): Model {
  return new SdkModel(provider, options);
}

class SdkModel implements Model {
  readonly provider: string;
  readonly #traits: SdkProvider;
  readonly #options: SdkOptions;
  #languageModel: Promise<(modelId: string) => LanguageModelV4> | undefined;

  constructor(provider: SdkProvider, options: SdkOptions) {
    this.provider = provider.provider;
    this.#traits = provider;
    this.#options = options;
  }

  async stream(request: ModelRequest, { signal, onPart }: StreamOptions): Promise<ModelEnd> {
    signal.throwIfAborted();
    const stream = new SdkStream(onPart);
    // Ends the connection when we give up on the answer; canceling a package's stream does not always reach it.
    const giveUp = new AbortController();
    try {
      const languageModel = await this.#load();
      const both = AbortSignal.any([signal, giveUp.signal]);
      const answer = await languageModel(request.modelId).doStream(toCallOptions(request, this.#traits, both));
      const reader = answer.stream.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        signal.throwIfAborted();
        stream.take(value);
      }
      return stream.end();
    } catch (error) {
      giveUp.abort();
      signal.throwIfAborted();
      throw toModelError(error);
    }
  }

  #load(): Promise<(modelId: string) => LanguageModelV4> {
    this.#languageModel ??= this.#create();
    return this.#languageModel;
  }

  async #create(): Promise<(modelId: string) => LanguageModelV4> {
    const { baseUrl, apiKey, allowPrivateNetwork, idleTimeoutMs, maxResponseBytes } = this.#options;
    if (apiKey === undefined && baseUrl === undefined) {
      throw new ModelError("model_unauthorized", `the model connection of kind ${this.provider} has no key`);
    }
    return this.#traits.load({
      baseURL: (baseUrl ?? this.#traits.defaultBaseUrl).replace(/\/+$/, ""),
      // A key of its own keeps the packages from looking for one in the environment.
      apiKey: apiKey ?? "none",
      fetch: guardedFetch({
        allowPrivate: allowPrivateNetwork,
        maxResponseBytes,
        idleTimeoutMs,
        timeoutMs: 0,
        maxRedirects: 0,
      }),
    });
  }
}
