/** What authors of agents and tools import. */
export { type AgentDefinition, type AgentFile, defineAgent } from "./agent.ts";
export {
  type InputOf,
  issuePath,
  type JsonSchema,
  type OutputOf,
  type SchemaIssue,
  type SchemaResult,
  type StandardSchema,
} from "./schema.ts";
export {
  defineTool,
  type Tool,
  type ToolCaller,
  type ToolContext,
  type ToolDefinition,
  type ToolEffect,
  type ToolFiles,
  type ToolLog,
} from "./tool.ts";
