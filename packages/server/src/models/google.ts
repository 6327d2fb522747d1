/** Google's Gemini API. */
import type { LanguageModelV4 } from "@ai-sdk/provider";
import { createSdkModel, type SdkConnection, type SdkOptions } from "./ai-sdk.ts";
import type { Model } from "./model.ts";

export function createGoogle(options: SdkOptions): Model {
  return createSdkModel(
    {
      provider: "google",
      defaultBaseUrl: "https://generativelanguage.googleapis.com/v1beta",
      providerOptions: {},
      media: ["audio", "video"],
      // Only some models take a response schema and tools together.
      schemaWithTools: false,
      load,
    },
    options,
  );
}

async function load(connection: SdkConnection): Promise<(modelId: string) => LanguageModelV4> {
  const sdk = await import("@ai-sdk/google");
  return sdk.createGoogle(connection);
}
