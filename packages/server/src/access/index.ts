/** The access room: callers, tokens, grants, people, the audit log. */
export { type ActRequest, Acts } from "./acts.ts";
export { type Actor, audit, listAudit, type NewEntry } from "./audit.ts";
export { auditedOrganizations, auditHead, checkAudit } from "./audit-check.ts";
export { Authenticator, type AuthenticatorOptions } from "./authenticate.ts";
export { type Caller, type CallerLimits, type CredentialId, principalId, scopeOf } from "./caller.ts";
export { RefusedToken } from "./credentials.ts";
export {
  type AgentFacts,
  attributeTo,
  callAgent,
  callEndpoint,
  callSubAgent,
  cancelJob,
  createAgent,
  decidePermission,
  type EndpointRule,
  editAgent,
  isAdmin,
  type JobDecision,
  type JobFacts,
  listAgents,
  listPermissions,
  manageBudgets,
  manageDocuments,
  manageMembers,
  manageModels,
  manageOrganization,
  manageSso,
  manageTokens,
  mayDecide,
  overseeDocuments,
  type PermissionFacts,
  type Person,
  rawRun,
  reachesAgent,
  readAgent,
  readAgentAccess,
  readAudit,
  readBudgets,
  readDocuments,
  readJob,
  readMembers,
  readModels,
  readPermission,
  readThread,
  readUsage,
  requireScope,
  seeAgent,
  shareAgent,
  steerRun,
  type ThreadDecision,
  type ThreadFacts,
  writeThread,
} from "./decide.ts";
export {
  type AccessWakes,
  type AtEpoch,
  accessChanged,
  EpochCache,
  type EpochCacheOptions,
  onAccessChange,
  shareEpoch,
} from "./epoch.ts";
export type { Grant, Verb } from "./grant.ts";
export {
  createGroup,
  deleteGroup,
  findGroups,
  listGroups,
  requireGroups,
  requireMembers,
  updateGroup,
} from "./groups.ts";
export { Lru } from "./lru.ts";
export {
  addMember,
  createOrganization,
  findPerson,
  getMember,
  getOrganization,
  hasOrganization,
  listMembers,
  type NewOrganization,
  removeMember,
  updateMember,
  updateOrganization,
} from "./people.ts";
export { Refusals, type RefusalsOptions, toTarget } from "./refusals.ts";
export { outranks, requireOutranks, requireToRaise, requireWhole } from "./roles.ts";
export { isSecret, newSecret, randomDigits, secretDigest } from "./secret.ts";
export { requireSeen } from "./seen.ts";
export {
  type Client,
  currentSession,
  listSessions,
  type OpenedSession,
  openSession,
  replaceSession,
  requireSession,
  revokeOfConnection,
  revokeOfPassword,
  revokeSession,
  revokeSessions,
  type SessionRules,
  signOut,
  sweepSessions,
} from "./sessions.ts";
export { invalidRequest, requireStorable } from "./storable.ts";
export {
  createToken,
  hasToken,
  issueToken,
  listTokens,
  revokeToken,
  rotateToken,
  type TokenPlan,
  updateToken,
} from "./tokens.ts";
