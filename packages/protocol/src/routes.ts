/**
 * Every route of the public API, once: it validates requests, types server and client, and makes the
 * OpenAPI document and the docs page.
 *
 * Paths are below `/api/v1`. `{agent_id}` accepts the agent's slug as well.
 */
import { z } from "zod";
import * as agents from "./agents.ts";
import * as audit from "./audit.ts";
import { page, queryBoolean, queryInteger } from "./common.ts";
import * as documents from "./documents.ts";
import type { ErrorCode } from "./errors.ts";
import * as events from "./events.ts";
import * as files from "./files.ts";
import { idSchema } from "./ids.ts";
import * as jobs from "./jobs.ts";
import * as organization from "./organization.ts";
import { runStates } from "./run.ts";
import * as threads from "./threads.ts";
import * as usage from "./usage.ts";

export type Route = {
  method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  path: string;
  summary: string;
  tag:
    | "threads"
    | "events"
    | "runs"
    | "jobs"
    | "files"
    | "documents"
    | "agents"
    | "models"
    | "organization"
    | "usage"
    | "tokens";
  /** What the token must be allowed to; null asks for any valid token. */
  scope: organization.Scope | null;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Body for `multipart/form-data` beside the JSON one: one part named `file`. */
  multipart?: true;
  /** JSON of the answer; absent for no body, `stream` and `bytes` for the two that are not JSON. */
  answer?: z.ZodType | "stream" | "bytes";
  status: 200 | 201 | 202 | 204;
  /** Takes an `Idempotency-Key`. */
  idempotent?: true;
  /** Takes an `If-Match` with the revision that the caller has seen. */
  conditional?: true;
  /** The answer holds a secret: what is stored for repeats is sealed. */
  secret?: true;
  /** Refusals beyond those every route has. */
  errors?: readonly ErrorCode[];
};

const define = <const R extends Record<string, Route>>(routes: R) => routes;

const none = { status: 204 } as const;
const startErrors = [
  "not_found",
  "agent_not_published",
  "api_access_disabled",
  "invalid_variables",
  "file_not_attachable",
  "attribution_not_allowed",
] as const;

export const routes = define({
  // Threads
  "threads.create": {
    method: "POST",
    path: "/agents/{agent_id}/threads",
    summary: "Create a thread and, when `input` is present, its first run.",
    tag: "threads",
    scope: "threads:write",
    body: threads.createThread,
    answer: threads.threadAnswer,
    status: 201,
    idempotent: true,
    errors: startErrors,
  },
  "threads.list": {
    method: "GET",
    path: "/agents/{agent_id}/threads",
    summary: "List the agent's threads that the caller may see, newest first.",
    tag: "threads",
    scope: "threads:read",
    query: z.strictObject({
      ...page,
      state: threads.threadState.optional(),
      archived: queryBoolean.optional(),
      client_external_ref: z.string().max(300).optional(),
      attributed_user_id: z.string().max(64).optional(),
    }),
    answer: threads.threadList,
    status: 200,
    errors: ["not_found"],
  },
  "threads.get": {
    method: "GET",
    path: "/threads/{thread_id}",
    summary: "Retrieve a thread with its latest run.",
    tag: "threads",
    scope: "threads:read",
    answer: threads.threadAnswer,
    status: 200,
    errors: ["not_found"],
  },
  "threads.update": {
    method: "PATCH",
    path: "/threads/{thread_id}",
    summary: "Rename a thread or replace its metadata.",
    tag: "threads",
    scope: "threads:write",
    body: threads.updateThread,
    answer: threads.thread,
    status: 200,
    errors: ["not_found"],
  },
  "threads.archive": {
    method: "POST",
    path: "/threads/{thread_id}/archive",
    summary: "Archive a thread. Repeating it succeeds.",
    tag: "threads",
    scope: "threads:write",
    answer: threads.thread,
    status: 200,
    errors: ["not_found", "run_active"],
  },
  "threads.unarchive": {
    method: "POST",
    path: "/threads/{thread_id}/unarchive",
    summary: "Take a thread out of the archive. Repeating it succeeds.",
    tag: "threads",
    scope: "threads:write",
    answer: threads.thread,
    status: 200,
    errors: ["not_found"],
  },
  "threads.delete": {
    method: "DELETE",
    path: "/threads/{thread_id}",
    summary: "Delete a thread with its events, files, runs, transcripts and jobs.",
    tag: "threads",
    scope: "threads:write",
    ...none,
    errors: ["not_found"],
  },

  // Events
  "events.send": {
    method: "POST",
    path: "/threads/{thread_id}/events",
    summary: "Send messages, permission decisions and interrupts: all or nothing, in order.",
    tag: "events",
    scope: "threads:write",
    body: threads.sendEvents,
    answer: threads.sendEventsAnswer,
    status: 200,
    idempotent: true,
    errors: [
      ...startErrors,
      "thread_archived",
      "run_active",
      "no_active_run",
      "permission_decided",
      "permission_expired",
    ],
  },
  "events.list": {
    method: "GET",
    path: "/threads/{thread_id}/events",
    summary: "Read the permanent log, oldest first.",
    tag: "events",
    scope: "threads:read",
    query: z.strictObject({
      after_seq: queryInteger(0, Number.MAX_SAFE_INTEGER).default(0),
      limit: queryInteger(1, 1000).default(100),
      types: z
        .string()
        .max(1000)
        .transform((text) => text.split(","))
        .pipe(z.array(z.enum(events.eventTypes as [events.EventType, ...events.EventType[]])))
        .optional(),
      cursor: z.string().max(64).optional(),
    }),
    answer: events.eventList,
    status: 200,
    errors: ["not_found"],
  },
  "events.stream": {
    method: "GET",
    path: "/threads/{thread_id}/events/stream",
    summary:
      "Follow the log as server-sent events; `Last-Event-ID` or `after_seq` resumes. With `until_run` the stream ends after that run's last event.",
    tag: "events",
    scope: "threads:read",
    query: z.strictObject({
      after_seq: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
      until_run: idSchema("run").optional(),
    }),
    answer: "stream",
    status: 200,
    errors: ["not_found"],
  },

  // Runs
  "runs.create": {
    method: "POST",
    path: "/agents/{agent_id}/runs",
    summary: "Start a run on a new or an existing thread. `Prefer: wait=N` waits up to N seconds for its end.",
    tag: "runs",
    scope: "threads:write",
    body: threads.createRun,
    answer: threads.run,
    status: 202,
    idempotent: true,
    errors: [...startErrors, "thread_archived", "run_active"],
  },
  "runs.createRaw": {
    method: "POST",
    path: "/runs",
    summary:
      "Start a run without a saved agent, with a conversation so far. `Prefer: wait=N` waits up to N seconds for its end.",
    tag: "runs",
    scope: "runs:raw",
    body: threads.createRawRun,
    answer: threads.run,
    status: 202,
    idempotent: true,
    errors: [...startErrors, "forbidden", "draft_invalid", "thread_archived"],
  },
  "runs.list": {
    method: "GET",
    path: "/runs",
    summary: "List runs that the caller may see, newest first.",
    tag: "runs",
    scope: "threads:read",
    query: z.strictObject({
      ...page,
      state: z.enum(runStates).optional(),
      agent_id: z.string().max(64).optional(),
      thread_id: z.string().max(64).optional(),
    }),
    answer: threads.runList,
    status: 200,
  },
  "runs.get": {
    method: "GET",
    path: "/runs/{run_id}",
    summary: "Retrieve a run. `Prefer: wait=N` waits up to N seconds for its end.",
    tag: "runs",
    scope: "threads:read",
    answer: threads.run,
    status: 200,
    errors: ["not_found"],
  },
  "runs.cancel": {
    method: "POST",
    path: "/runs/{run_id}/cancel",
    summary: "Ask a run to stop. It ends as `canceled` within a second or two.",
    tag: "runs",
    scope: "threads:write",
    answer: threads.run,
    status: 202,
    errors: ["not_found", "run_not_active"],
  },
  "runs.transcript": {
    method: "GET",
    path: "/runs/{run_id}/transcript",
    summary: "What the model was told and what it said, with tool inputs and outputs.",
    tag: "runs",
    scope: "transcripts:read",
    answer: threads.transcript,
    status: 200,
    errors: ["not_found"],
  },

  // Jobs
  "jobs.get": {
    method: "GET",
    path: "/jobs/{job_id}",
    summary:
      "Retrieve a call of an endpoint. `wait=N` or `Prefer: wait=N` waits up to N seconds for its end; with `after_seq` also for a further event.",
    tag: "jobs",
    scope: "threads:read",
    query: z.strictObject({
      wait: queryInteger(0, 60).optional(),
      after_seq: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
    }),
    answer: jobs.job,
    status: 200,
    errors: ["not_found"],
  },
  "jobs.stream": {
    method: "GET",
    path: "/jobs/{job_id}/stream",
    summary: "Follow a job's events over SSE until its end. `Last-Event-ID` or `after_seq` resumes; the header wins.",
    tag: "jobs",
    scope: "threads:read",
    query: z.strictObject({ after_seq: queryInteger(0, Number.MAX_SAFE_INTEGER).optional() }),
    answer: "stream",
    status: 200,
    errors: ["not_found"],
  },
  "jobs.cancel": {
    method: "DELETE",
    path: "/jobs/{job_id}",
    summary: "Cancel a job with the runs it has started. A job that has ended stays as it is.",
    tag: "jobs",
    scope: "threads:write",
    answer: jobs.job,
    status: 200,
    errors: ["not_found"],
  },

  // Files
  "files.uploadToAgent": {
    method: "POST",
    path: "/agents/{agent_id}/files",
    summary: "Upload a file before a thread exists; name it in `files` when creating the thread.",
    tag: "files",
    scope: "threads:write",
    body: files.uploadFile,
    multipart: true,
    answer: files.file,
    status: 201,
    idempotent: true,
    errors: ["not_found", "file_too_large", "agent_not_published", "api_access_disabled"],
  },
  "files.uploadToThread": {
    method: "POST",
    path: "/threads/{thread_id}/files",
    summary: "Upload a file to a thread.",
    tag: "files",
    scope: "threads:write",
    body: files.uploadFile,
    multipart: true,
    answer: files.file,
    status: 201,
    idempotent: true,
    errors: ["not_found", "file_too_large", "thread_archived"],
  },
  "files.list": {
    method: "GET",
    path: "/threads/{thread_id}/files",
    summary: "List a thread's files, newest first.",
    tag: "files",
    scope: "threads:read",
    query: z.strictObject({ ...page, kind: z.enum(["attachment", "artifact"]).optional() }),
    answer: files.fileList,
    status: 200,
    errors: ["not_found"],
  },
  "files.get": {
    method: "GET",
    path: "/files/{file_id}",
    summary: "Retrieve what is known about a file.",
    tag: "files",
    scope: "threads:read",
    answer: files.file,
    status: 200,
    errors: ["not_found"],
  },
  "files.download": {
    method: "GET",
    path: "/files/{file_id}/content",
    summary: "Download a file's bytes.",
    tag: "files",
    scope: "threads:read",
    answer: "bytes",
    status: 200,
    errors: ["not_found"],
  },
  "files.delete": {
    method: "DELETE",
    path: "/files/{file_id}",
    summary: "Remove a file.",
    tag: "files",
    scope: "threads:write",
    ...none,
    errors: ["not_found"],
  },

  // Documents
  "collections.list": {
    method: "GET",
    path: "/document-collections",
    summary: "List the collections that the caller may read, or all of them for admins.",
    tag: "documents",
    scope: "documents:read",
    query: z.strictObject(page),
    answer: documents.documentCollectionList,
    status: 200,
  },
  "collections.create": {
    method: "POST",
    path: "/document-collections",
    summary: "Create a collection of documents, with who may read it.",
    tag: "documents",
    scope: "documents:write",
    body: documents.createDocumentCollection,
    answer: documents.documentCollection,
    status: 201,
    idempotent: true,
    errors: ["forbidden", "slug_taken"],
  },
  "collections.get": {
    method: "GET",
    path: "/document-collections/{collection_id}",
    summary: "Retrieve a collection.",
    tag: "documents",
    scope: "documents:read",
    answer: documents.documentCollection,
    status: 200,
    errors: ["not_found"],
  },
  "collections.update": {
    method: "PATCH",
    path: "/document-collections/{collection_id}",
    summary: "Rename or describe a collection.",
    tag: "documents",
    scope: "documents:write",
    body: documents.updateDocumentCollection,
    answer: documents.documentCollection,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "collections.delete": {
    method: "DELETE",
    path: "/document-collections/{collection_id}",
    summary: "Delete a collection with its documents.",
    tag: "documents",
    scope: "documents:write",
    ...none,
    errors: ["not_found", "forbidden"],
  },
  "collections.getAccess": {
    method: "GET",
    path: "/document-collections/{collection_id}/access",
    summary: "Read who may read a collection.",
    tag: "documents",
    scope: "documents:write",
    answer: documents.documentAccess,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "collections.setAccess": {
    method: "PUT",
    path: "/document-collections/{collection_id}/access",
    summary: "Replace who may read a collection. It holds from the next statement on, also in runs under way.",
    tag: "documents",
    scope: "documents:write",
    body: documents.documentAccess,
    answer: documents.documentAccess,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "documents.list": {
    method: "GET",
    path: "/document-collections/{collection_id}/documents",
    summary: "List a collection's documents, newest first.",
    tag: "documents",
    scope: "documents:read",
    query: z.strictObject(page),
    answer: documents.documentList,
    status: 200,
    errors: ["not_found"],
  },
  "documents.add": {
    method: "POST",
    path: "/document-collections/{collection_id}/documents",
    summary: "Add a text, a Markdown page or a PDF to a collection.",
    tag: "documents",
    scope: "documents:write",
    body: documents.addDocument,
    multipart: true,
    answer: documents.document,
    status: 201,
    idempotent: true,
    errors: [
      "not_found",
      "forbidden",
      "already_exists",
      "document_unreadable",
      "file_too_large",
      "unsupported_media_type",
    ],
  },
  "documents.get": {
    method: "GET",
    path: "/documents/{document_id}",
    summary: "Retrieve what is known about a document.",
    tag: "documents",
    scope: "documents:read",
    answer: documents.document,
    status: 200,
    errors: ["not_found"],
  },
  "documents.content": {
    method: "GET",
    path: "/documents/{document_id}/content",
    summary: "Read a document's text, whole.",
    tag: "documents",
    scope: "documents:read",
    answer: "bytes",
    status: 200,
    errors: ["not_found"],
  },
  "documents.delete": {
    method: "DELETE",
    path: "/documents/{document_id}",
    summary: "Delete a document.",
    tag: "documents",
    scope: "documents:write",
    ...none,
    errors: ["not_found", "forbidden"],
  },
  "documents.search": {
    method: "POST",
    path: "/documents/search",
    summary: "Search the documents that the caller may read, best passages first, with citations.",
    tag: "documents",
    scope: "documents:read",
    body: documents.searchDocuments,
    answer: documents.documentHits,
    status: 200,
  },

  // Agents
  "agents.list": {
    method: "GET",
    path: "/agents",
    summary: "List the agents that the caller may use or edit, by slug.",
    tag: "agents",
    scope: "agents:read",
    query: z.strictObject(page),
    answer: agents.agentList,
    status: 200,
  },
  "agents.create": {
    method: "POST",
    path: "/agents",
    summary: "Create an agent as a draft.",
    tag: "agents",
    scope: "agents:write",
    body: agents.createAgent,
    answer: agents.agent,
    status: 201,
    idempotent: true,
    errors: ["forbidden", "slug_taken"],
  },
  "agents.get": {
    method: "GET",
    path: "/agents/{agent_id}",
    summary: "Retrieve an agent with its draft.",
    tag: "agents",
    scope: "agents:read",
    answer: agents.agent,
    status: 200,
    errors: ["not_found"],
  },
  "agents.update": {
    method: "PATCH",
    path: "/agents/{agent_id}",
    summary: "Change an agent's draft or its settings.",
    tag: "agents",
    scope: "agents:write",
    body: agents.updateAgent,
    answer: agents.agent,
    status: 200,
    conditional: true,
    errors: ["not_found", "forbidden", "slug_taken"],
  },
  "agents.delete": {
    method: "DELETE",
    path: "/agents/{agent_id}",
    summary: "Delete an agent that has no threads.",
    tag: "agents",
    scope: "agents:write",
    ...none,
    conditional: true,
    errors: ["not_found", "forbidden", "already_exists"],
  },
  "agents.publish": {
    method: "POST",
    path: "/agents/{agent_id}/publish",
    summary: "Freeze the draft as a new version and make it live.",
    tag: "agents",
    scope: "agents:write",
    answer: agents.agentVersion,
    status: 201,
    conditional: true,
    errors: ["not_found", "forbidden", "draft_invalid"],
  },
  "agents.unpublish": {
    method: "POST",
    path: "/agents/{agent_id}/unpublish",
    summary: "Take the live version away; the versions stay.",
    tag: "agents",
    scope: "agents:write",
    answer: agents.agent,
    status: 200,
    conditional: true,
    errors: ["not_found", "forbidden"],
  },
  "agents.versions": {
    method: "GET",
    path: "/agents/{agent_id}/versions",
    summary: "List an agent's versions, newest first.",
    tag: "agents",
    scope: "agents:read",
    query: z.strictObject(page),
    answer: agents.agentVersionList,
    status: 200,
    errors: ["not_found"],
  },
  "agents.version": {
    method: "GET",
    path: "/agents/{agent_id}/versions/{version}",
    summary: "Retrieve one version.",
    tag: "agents",
    scope: "agents:read",
    answer: agents.agentVersion,
    status: 200,
    errors: ["not_found"],
  },
  "agents.activate": {
    method: "POST",
    path: "/agents/{agent_id}/versions/{version}/activate",
    summary: "Make an older version live again.",
    tag: "agents",
    scope: "agents:write",
    answer: agents.agentVersion,
    status: 200,
    conditional: true,
    errors: ["not_found", "forbidden", "draft_invalid"],
  },
  "agents.diff": {
    method: "GET",
    path: "/agents/{agent_id}/diff",
    summary: "Compare two versions, or a version with the draft.",
    tag: "agents",
    scope: "agents:read",
    query: z.strictObject({
      from: z.string().regex(/^(draft|\d{1,9})$/, "expected a version number or draft"),
      to: z
        .string()
        .regex(/^(draft|\d{1,9})$/, "expected a version number or draft")
        .default("draft"),
    }),
    answer: agents.agentDiff,
    status: 200,
    errors: ["not_found"],
  },
  "agents.getAccess": {
    method: "GET",
    path: "/agents/{agent_id}/access",
    summary: "Read who is invited to an agent.",
    tag: "agents",
    scope: "agents:read",
    answer: agents.agentAccess,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "agents.setAccess": {
    method: "PUT",
    path: "/agents/{agent_id}/access",
    summary: "Replace who is invited to an agent.",
    tag: "agents",
    scope: "agents:write",
    body: agents.agentAccess,
    answer: agents.agentAccess,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "tools.list": {
    method: "GET",
    path: "/tools",
    summary: "List the tools that agents on this server may be given.",
    tag: "agents",
    scope: "agents:read",
    answer: organization.toolList,
    status: 200,
  },

  // Model connections
  "models.list": {
    method: "GET",
    path: "/model-connections",
    summary: "List the organization's model connections. Keys are never returned.",
    tag: "models",
    scope: "models:read",
    query: z.strictObject(page),
    answer: organization.modelConnectionList,
    status: 200,
  },
  "models.create": {
    method: "POST",
    path: "/model-connections",
    summary: "Add a model connection.",
    tag: "models",
    scope: "models:write",
    body: organization.createModelConnection,
    answer: organization.modelConnection,
    status: 201,
    idempotent: true,
    errors: ["forbidden", "slug_taken"],
  },
  "models.get": {
    method: "GET",
    path: "/model-connections/{connection_id}",
    summary: "Retrieve a model connection.",
    tag: "models",
    scope: "models:read",
    answer: organization.modelConnection,
    status: 200,
    errors: ["not_found"],
  },
  "models.update": {
    method: "PATCH",
    path: "/model-connections/{connection_id}",
    summary: "Change a model connection, for instance its key.",
    tag: "models",
    scope: "models:write",
    body: organization.updateModelConnection,
    answer: organization.modelConnection,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "models.delete": {
    method: "DELETE",
    path: "/model-connections/{connection_id}",
    summary: "Delete a model connection that is not the default.",
    tag: "models",
    scope: "models:write",
    ...none,
    errors: ["not_found", "forbidden", "connection_in_use"],
  },

  // Organization
  "me.get": {
    method: "GET",
    path: "/me",
    summary: "Who the token says is asking.",
    tag: "organization",
    scope: null,
    answer: organization.me,
    status: 200,
  },
  "organization.get": {
    method: "GET",
    path: "/organization",
    summary: "Retrieve the caller's organization.",
    tag: "organization",
    scope: null,
    answer: organization.organization,
    status: 200,
  },
  "organization.update": {
    method: "PATCH",
    path: "/organization",
    summary: "Rename the organization or change what its members may do.",
    tag: "organization",
    scope: "organization:write",
    body: organization.updateOrganization,
    answer: organization.organization,
    status: 200,
    errors: ["forbidden"],
  },
  "members.list": {
    method: "GET",
    path: "/members",
    summary: "List the organization's members.",
    tag: "organization",
    scope: "members:read",
    query: z.strictObject(page),
    answer: organization.memberList,
    status: 200,
  },
  "members.add": {
    method: "POST",
    path: "/members",
    summary: "Add a person to the organization.",
    tag: "organization",
    scope: "members:write",
    body: organization.addMember,
    answer: organization.member,
    status: 201,
    idempotent: true,
    errors: ["forbidden", "already_exists"],
  },
  "members.update": {
    method: "PATCH",
    path: "/members/{user_id}",
    summary: "Change a member's role, or suspend the member.",
    tag: "organization",
    scope: "members:write",
    body: organization.updateMember,
    answer: organization.member,
    status: 200,
    errors: ["not_found", "forbidden", "last_owner"],
  },
  "members.remove": {
    method: "DELETE",
    path: "/members/{user_id}",
    summary: "Remove a person from the organization; the person's tokens end with it.",
    tag: "organization",
    scope: "members:write",
    ...none,
    errors: ["not_found", "forbidden", "last_owner"],
  },
  "groups.list": {
    method: "GET",
    path: "/groups",
    summary: "List the organization's groups.",
    tag: "organization",
    scope: "members:read",
    query: z.strictObject(page),
    answer: organization.groupList,
    status: 200,
  },
  "groups.create": {
    method: "POST",
    path: "/groups",
    summary: "Create a group of members.",
    tag: "organization",
    scope: "members:write",
    body: organization.createGroup,
    answer: organization.group,
    status: 201,
    idempotent: true,
    errors: ["forbidden", "slug_taken"],
  },
  "groups.update": {
    method: "PATCH",
    path: "/groups/{group_id}",
    summary: "Rename a group or replace its members.",
    tag: "organization",
    scope: "members:write",
    body: organization.updateGroup,
    answer: organization.group,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "groups.delete": {
    method: "DELETE",
    path: "/groups/{group_id}",
    summary: "Delete a group.",
    tag: "organization",
    scope: "members:write",
    ...none,
    errors: ["not_found", "forbidden"],
  },
  "audit.list": {
    method: "GET",
    path: "/audit",
    summary: "Read who did what, newest first.",
    tag: "organization",
    scope: "audit:read",
    query: audit.auditQuery,
    answer: audit.auditList,
    status: 200,
    errors: ["forbidden"],
  },
  "audit.head": {
    method: "GET",
    path: "/audit/head",
    summary: "Number and hash of the audit log's last entry, to keep elsewhere.",
    tag: "organization",
    scope: "audit:read",
    answer: audit.auditHead,
    status: 200,
    errors: ["forbidden"],
  },
  "audit.verify": {
    method: "GET",
    path: "/audit/verify",
    summary: "Check the audit log's chain from its first entry to its head, and against an `anchor` kept elsewhere.",
    tag: "organization",
    scope: "audit:read",
    query: z.strictObject({ anchor: audit.auditAnchor.optional() }),
    answer: audit.auditCheck,
    status: 200,
    errors: ["forbidden"],
  },

  // Budgets and usage
  "budgets.list": {
    method: "GET",
    path: "/budgets",
    summary: "List the organization's budgets with what the current period has used.",
    tag: "usage",
    scope: "usage:read",
    query: z.strictObject(page),
    answer: usage.budgetList,
    status: 200,
    errors: ["forbidden"],
  },
  "budgets.create": {
    method: "POST",
    path: "/budgets",
    summary: "Set a budget for a day or a month.",
    tag: "usage",
    scope: "budgets:write",
    body: usage.createBudget,
    answer: usage.budget,
    status: 201,
    idempotent: true,
    errors: ["forbidden"],
  },
  "budgets.update": {
    method: "PATCH",
    path: "/budgets/{budget_id}",
    summary: "Change a budget's limits, or what happens at them.",
    tag: "usage",
    scope: "budgets:write",
    body: usage.updateBudget,
    answer: usage.budget,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
  "budgets.delete": {
    method: "DELETE",
    path: "/budgets/{budget_id}",
    summary: "Delete a budget.",
    tag: "usage",
    scope: "budgets:write",
    ...none,
    errors: ["not_found", "forbidden"],
  },
  "usage.totals": {
    method: "GET",
    path: "/usage",
    summary: "What model calls used in a time, by agent, user, model or day. Without admin rights: one's own.",
    tag: "usage",
    scope: "usage:read",
    query: z.strictObject({
      from: z.iso.datetime().optional(),
      to: z.iso.datetime().optional(),
      group_by: z.enum(usage.usageGroups).optional(),
    }),
    answer: usage.usageTotals,
    status: 200,
  },
  "usage.calls": {
    method: "GET",
    path: "/usage/calls",
    summary: "List model calls with the price they were reckoned with, newest first. Without admin rights: one's own.",
    tag: "usage",
    scope: "usage:read",
    query: z.strictObject({ ...page, agent_id: z.string().max(64).optional(), run_id: z.string().max(64).optional() }),
    answer: usage.modelCallList,
    status: 200,
  },

  // Tokens
  "tokens.list": {
    method: "GET",
    path: "/tokens",
    summary: "List tokens: one's own, or all of the organization's for its admins.",
    tag: "tokens",
    scope: "tokens:write",
    query: z.strictObject(page),
    answer: organization.tokenList,
    status: 200,
  },
  "tokens.create": {
    method: "POST",
    path: "/tokens",
    summary: "Create a token; its secret is in this answer and nowhere else.",
    tag: "tokens",
    scope: "tokens:write",
    body: organization.createToken,
    answer: organization.createdToken,
    status: 201,
    idempotent: true,
    secret: true,
    errors: ["forbidden", "not_found"],
  },
  "tokens.revoke": {
    method: "POST",
    path: "/tokens/{token_id}/revoke",
    summary: "Revoke a token at once; its open streams close within a second.",
    tag: "tokens",
    scope: "tokens:write",
    answer: organization.token,
    status: 200,
    errors: ["not_found", "forbidden"],
  },
});

export type Routes = typeof routes;
export type RouteName = keyof Routes;

type Field<R, K extends string> = R extends { [P in K]: infer S } ? S : undefined;
type Out<S> = S extends z.ZodType ? z.output<S> : undefined;
type In<S> = S extends z.ZodType ? z.input<S> : undefined;

/** Parsed body, query and answer of a route, as the server sees them. */
export type RouteBody<N extends RouteName> = Out<Field<Routes[N], "body">>;
export type RouteQuery<N extends RouteName> = Out<Field<Routes[N], "query">>;
export type RouteAnswer<N extends RouteName> = Out<Field<Routes[N], "answer">>;
/** What a client may send. */
export type RouteBodyInput<N extends RouteName> = In<Field<Routes[N], "body">>;

type ParamNames<P extends string> = P extends `${string}{${infer Name}}${infer Rest}` ? Name | ParamNames<Rest> : never;
export type RouteParams<N extends RouteName> = { [K in ParamNames<Routes[N]["path"]>]: string };

/** Body of every refusal. */
export const errorBody = z
  .object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      request_id: z.string(),
      details: z
        .looseObject({ fields: z.array(z.object({ path: z.string(), message: z.string() })).optional() })
        .optional(),
    }),
  })
  .meta({ id: "Error" });
