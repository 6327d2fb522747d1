/** The agents room: drafts, versions, variables, and the directory that calls go through. */
export { type AgentSettings, Agents, type AgentsOptions } from "./agents.ts";
export { approverGroups, groupProblems } from "./approvers.ts";
export { AgentDirectory, type CallableAgent } from "./callable.ts";
export { meets } from "./condition.ts";
export { type Change, diff } from "./diff.ts";
export { draftProblems, refuseProblems } from "./draft.ts";
export { type OutputSchema, outputProblems } from "./output-schema.ts";
export { agentsOwnedBy, readFacts } from "./store.ts";
export { agentToolName, agentToolSchema, describeAgent, MAX_DEPTH } from "./sub-agents.ts";
export { renderInstructions } from "./template.ts";
export { type Declarations, resolveVariables, type Variables } from "./variables.ts";
