/** Model connections of every kind, as Models. */
import type { ModelKind } from "@callboard/protocol";
import { createAnthropic } from "./anthropic.ts";
import { createDemo } from "./demo.ts";
import { createGoogle } from "./google.ts";
import { type Model, ModelError } from "./model.ts";
import { createOpenAi } from "./openai.ts";
import { createOpenAiCompatible } from "./openai-compatible.ts";

/** What a stored connection says, with its key in the clear. */
export type ConnectionSettings = {
  kind: ModelKind;
  /** Absent or null: the provider's own address; required for `openai-compatible`. */
  baseUrl?: string | null | undefined;
  apiKey?: string | null | undefined;
};

export type ModelSettings = {
  /** Allows addresses that are not on the public internet. Default false. */
  allowPrivateNetwork?: boolean;
  /** Milliseconds in which a model may say nothing. Default 120,000. */
  idleTimeoutMs?: number;
  /** Bytes of one answer on the wire. Default 8 MiB. */
  maxResponseBytes?: number;
  /** Milliseconds before each word of the demo model. Default 15. */
  demoDelayMs?: number;
};

/**
 * A Model for a connection. It is cheap and holds no connection of its own: keep-alive sockets belong to
 * the process, so a new Model for each run is fine. The kinds that use a provider's package load it with
 * their first call.
 *
 * @throws ModelError `model_rejected` when an address is missing or is not one
 */
export function createModel(connection: ConnectionSettings, settings: ModelSettings = {}): Model {
  const { kind } = connection;
  const baseUrl = connection.baseUrl ?? undefined;
  if (baseUrl !== undefined && !(URL.canParse(baseUrl) && /^https?:$/.test(new URL(baseUrl).protocol))) {
    throw new ModelError("model_rejected", "the model connection's address is not an http or https URL");
  }
  const options = {
    apiKey: connection.apiKey ?? undefined,
    allowPrivateNetwork: settings.allowPrivateNetwork ?? false,
    idleTimeoutMs: settings.idleTimeoutMs ?? 120_000,
    maxResponseBytes: settings.maxResponseBytes ?? 8 * 1024 * 1024,
  };
  switch (kind) {
    case "openai":
      return createOpenAi({ ...options, baseUrl });
    case "anthropic":
      return createAnthropic({ ...options, baseUrl });
    case "google":
      return createGoogle({ ...options, baseUrl });
    case "openai-compatible":
      if (baseUrl === undefined)
        throw new ModelError("model_rejected", `a connection of kind ${kind} needs an address`);
      return createOpenAiCompatible({ ...options, baseUrl });
    case "demo":
      return createDemo(settings.demoDelayMs === undefined ? {} : { delayMs: settings.demoDelayMs });
  }
}
