/** OpenAI, through its Responses API. Nothing is stored there: thinking travels encrypted with the messages. */
import type { LanguageModelV4 } from "@ai-sdk/provider";
import { createSdkModel, type SdkConnection, type SdkOptions } from "./ai-sdk.ts";
import type { Model } from "./model.ts";

export function createOpenAi(options: SdkOptions): Model {
  return createSdkModel(
    {
      provider: "openai",
      defaultBaseUrl: "https://api.openai.com/v1",
      // Strict mode refuses schemas with optional properties; answers are checked here anyway.
      providerOptions: { openai: { store: false, strictJsonSchema: false } },
      media: [],
      schemaWithTools: true,
      load,
    },
    options,
  );
}

async function load(connection: SdkConnection): Promise<(modelId: string) => LanguageModelV4> {
  const { createOpenAI } = await import("@ai-sdk/openai");
  return createOpenAI(connection).responses;
}
