/** The project room: what is in files, and a first start. */
export { loadAgents } from "./agents.ts";
export { applyDocuments, type DocumentRooms, loadDocuments } from "./documents.ts";
export {
  applyAgents,
  applyModels,
  type Credentials,
  createOwner,
  localCredentials,
  type OwnerPlan,
  type ProjectRooms,
  readCredentials,
  writeCredentials,
} from "./first-start.ts";
export {
  type AgentInFile,
  type AgentPlan,
  type AgentUpdate,
  type FoundAgent,
  planAgents,
  publishAll,
  withoutFile,
} from "./plan.ts";
export {
  accessFor,
  type CollectionInFiles,
  type CollectionPlan,
  type DocumentInFile,
  type DocumentPlan,
  type FoundCollection,
  type KnownGroups,
  planCollections,
  writes,
} from "./plan-documents.ts";
