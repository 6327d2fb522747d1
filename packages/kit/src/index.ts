/** What authors of agents, tools and endpoints import. */
export {
  type AgentDefinition,
  type AgentFile,
  type AgentRef,
  defineAgent,
  type VariableDeclarations,
  type VariablesOf,
} from "./agent.ts";
export {
  type ConfigDefinition,
  type ConfigFile,
  defineConfig,
  type HttpAllowance,
  type McpServerConfig,
  type McpToolPolicy,
  type WorkspaceConfig,
} from "./config.ts";
export type { Documents } from "./documents.ts";
export {
  type AdHocMessage,
  type CompletedRun,
  defineEndpoint,
  type Endpoint,
  type EndpointAccess,
  type EndpointCaller,
  type EndpointContext,
  type EndpointDefinition,
  type EndpointInput,
  type EndpointMethod,
  type EndpointOutput,
  EndpointProblem,
  type FinishedRun,
  type RunAdHoc,
  type RunAgent,
  type RunAgentOptions,
  RunNotCompleted,
  type UnfinishedRun,
} from "./endpoint.ts";
export {
  answerSchema,
  type InputOf,
  issuePath,
  type JsonSchema,
  type OutputOf,
  type SchemaIssue,
  type SchemaResult,
  type StandardSchema,
} from "./schema.ts";
export {
  type ApprovalAnswer,
  type ApprovalContext,
  defineTool,
  type InvokeAgent,
  type InvokeAgentOptions,
  type Tool,
  type ToolApproval,
  type ToolCaller,
  type ToolContext,
  type ToolDefinition,
  type ToolEffect,
  type ToolFiles,
  type ToolLog,
} from "./tool.ts";
