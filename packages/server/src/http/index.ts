/** The http room: the API's door to the world. */
export { type AgentRooms, agentHandlers } from "./agents.ts";
export { type ApiDeps, createApi } from "./api.ts";
export { type BudgetRooms, budgetHandlers } from "./budgets.ts";
export { type DocumentRooms, documentHandlers } from "./documents.ts";
export { type EndpointCallDeps, serveEndpoints } from "./endpoint-calls.ts";
export { fileHandlers } from "./files.ts";
export type { Handlers } from "./handler.ts";
export { type JobRooms, jobHandlers } from "./jobs.ts";
export { Metrics } from "./metrics.ts";
export { modelHandlers } from "./models.ts";
export { organizationHandlers } from "./organization.ts";
export { runHandlers } from "./runs.ts";
export { createServer, type HttpServer } from "./server.ts";
export { Streams } from "./sse.ts";
export { threadHandlers } from "./threads.ts";
export { tokenHandlers } from "./tokens.ts";
export type { World } from "./world.ts";
