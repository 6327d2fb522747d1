/** Typed client for the Callboard API: plain fetch, Node 20.3 or later and browsers. */

// What they answer
export type {
  Agent,
  AgentAccess,
  AgentConfig,
  AgentDiff,
  AgentVersion,
  AuditCheck,
  AuditEntry,
  AuditHead,
  Budget,
  CreatedInvitation,
  CreatedToken,
  Document,
  DocumentAccess,
  DocumentCitation,
  DocumentCollection,
  DocumentHit,
  ErrorCode,
  Event,
  EventData,
  EventList,
  EventType,
  FieldProblem,
  File,
  Group,
  Invitation,
  InvitationPreview,
  Job,
  JobEvent,
  JobState,
  Me,
  Member,
  ModelCall,
  ModelConnection,
  Organization,
  PasswordLink,
  Permission,
  PermissionDecision,
  PermissionState,
  Run,
  RunError,
  RunErrorCode,
  RunResult,
  RunState,
  RunTree,
  SendEventsAnswer,
  Session,
  SignedIn,
  SsoConnection,
  Thread,
  ThreadAnswer,
  ThreadState,
  Token,
  ToolInfo,
  Transcript,
  Usage,
  UsageTotals,
} from "@callboard/protocol";
// The client
export { type CallboardClient, createClient } from "./client.ts";
// What its verbs take
export type { EndpointCallOptions, EndpointRef } from "./endpoints.ts";
// What it throws
export { CallboardApiError, CallboardConnectionError, CallboardTimeoutError } from "./errors.ts";
export type { FollowJobOptions, FollowOptions, FollowUntil } from "./follow.ts";
// Lists, page by page
export { paginate } from "./paginate.ts";
export type { ThreadRunInput } from "./threads.ts";
export type { ClientOptions } from "./transport.ts";
export type { CreateOptions, IfRevision, Page, PreferWait, QueryInput, RequestOptions } from "./types.ts";
export type { Upload } from "./upload.ts";
export type { WaitOptions } from "./wait.ts";
