/** The project room: what is in files, and a first start. */
export { type AgentInFile, loadAgents } from "./agents.ts";
export {
  applyAgents,
  applyModels,
  type Credentials,
  createOwner,
  localCredentials,
  type OwnerPlan,
  type ProjectRooms,
  writeCredentials,
} from "./first-start.ts";
