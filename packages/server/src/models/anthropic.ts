/** Anthropic, through its Messages API. */
import type { LanguageModelV4 } from "@ai-sdk/provider";
import { createSdkModel, type SdkConnection, type SdkOptions } from "./ai-sdk.ts";
import type { Model } from "./model.ts";

export function createAnthropic(options: SdkOptions): Model {
  return createSdkModel(
    {
      provider: "anthropic",
      defaultBaseUrl: "https://api.anthropic.com/v1",
      providerOptions: {},
      media: [],
      // For models without native structured output the package makes the schema a tool that must be called.
      schemaWithTools: false,
      load,
    },
    options,
  );
}

async function load(connection: SdkConnection): Promise<(modelId: string) => LanguageModelV4> {
  const sdk = await import("@ai-sdk/anthropic");
  return sdk.createAnthropic(connection);
}
