/** The runs room: accepting work, claiming it under a fence, everything a run writes, and its end. */

export { RunsAtOnce, type RunsAtOnceOptions } from "./at-once.ts";
export type {
  CallRow,
  CallState,
  CallUpdate,
  Change,
  PermissionRow as NewPermission,
  RunEnd,
  StepRow,
} from "./change.ts";
export { childIds } from "./child-id.ts";
export { agentsAbove, type Below, callIdOf, nest, readTree, usedByChildren } from "./children.ts";
export { type Claim, claimRuns, isSuspect } from "./claim.ts";
export { type CommitResult, RunCommits } from "./commits.ts";
export { decideById, expire } from "./decide.ts";
export { settleFamilies } from "./families.ts";
export { AlreadyAnswered, type IdempotencyKey, type RunHost } from "./host.ts";
export {
  cancelRun,
  lockLog,
  type ManageDeps,
  removeThread,
  setArchived,
  updateThread,
} from "./manage.ts";
export { noteOnRun } from "./note.ts";
export { permissionFacts, toPermission, toPermissionFacts } from "./permission.ts";
export {
  type Allowance,
  allowancesOf,
  expiredPermissions,
  findPermission,
  type PermissionFilter,
  type PermissionRow,
  permissionRows,
  permissionsOf,
} from "./permission-store.ts";
export { sweepDeltas } from "./retention.ts";
export {
  keyOf,
  type Principal,
  type RunInput,
  type RunKey,
  type RunLimits,
  type RunRow,
  runError,
  runScope,
  toRun,
} from "./run.ts";
export { openCall, openStep, sealCall, sealParts, sealUpdate, transcriptSecrets } from "./sealed.ts";
export { type SendDeps, type SendRequest, sendEvents } from "./send.ts";
export { Attempts, holdRights, StaleAccess } from "./stale.ts";
export { principalOf, type StartDeps, type StartRequest, startThread } from "./start.ts";
export { StartBatch } from "./start-batch.ts";
export { startChild } from "./start-child.ts";
export {
  addUsage,
  callsOf,
  findRun,
  findRunByUuid,
  listRuns,
  type PastRun,
  pastRuns,
  type RunFilter,
  type StoredCall,
  type StoredStep,
  steeringAfter,
  stepsOf,
} from "./store.ts";
export { ThreadLog } from "./thread-log.ts";
export { readTranscript } from "./transcript.ts";
export { listModelCalls, stepUsage, usageTotals } from "./usage.ts";
export {
  disownRuns,
  heartbeat,
  LEASE_MS,
  lostRuns,
  otherWorkers,
  ownedRuns,
  reapWorkers,
  registerWorker,
  removeWorker,
} from "./workers.ts";
