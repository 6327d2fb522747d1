/** The room's door: model calls, whoever the provider is. */
export { maxOutputOf } from "./ceilings.ts";
export {
  Connections,
  type ConnectionsOptions,
  connectionSecrets,
  type ModelTarget as ConnectionTarget,
} from "./connections.ts";
export {
  type AssistantPart,
  type FinishReason,
  type Model,
  type ModelEnd,
  ModelError,
  type ModelMessage,
  type ModelPart,
  type ModelRequest,
  type ModelTool,
  type ModelUsage,
  type StreamOptions,
  type ToolResult,
  type UserPart,
} from "./model.ts";
export { costMicros, type Price, type PriceTable, priceFor, toWirePrice, withPrices } from "./prices.ts";
export { type ConnectionSettings, createModel, type ModelSettings } from "./provider.ts";
export { type CallOptions, type CallResult, callModel, type ModelTarget } from "./retry.ts";
