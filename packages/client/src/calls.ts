/**
 * Method and path of every route, for the running client.
 *
 * The protocol's own table carries schemas, which a fetch-only client has no use for. `satisfies` holds
 * this copy to it: a route that is missing, renamed or changed there does not compile here.
 */
import type { RouteName, Routes } from "@callboard/protocol";

type Shape<N extends RouteName> = { method: Routes[N]["method"]; path: Routes[N]["path"] } & (Routes[N] extends {
  idempotent: true;
}
  ? { idempotent: true }
  : { idempotent?: never });

export const calls = {
  "threads.create": { method: "POST", path: "/agents/{agent_id}/threads", idempotent: true },
  "threads.list": { method: "GET", path: "/agents/{agent_id}/threads" },
  "threads.get": { method: "GET", path: "/threads/{thread_id}" },
  "threads.update": { method: "PATCH", path: "/threads/{thread_id}" },
  "threads.archive": { method: "POST", path: "/threads/{thread_id}/archive" },
  "threads.unarchive": { method: "POST", path: "/threads/{thread_id}/unarchive" },
  "threads.delete": { method: "DELETE", path: "/threads/{thread_id}" },

  "events.send": { method: "POST", path: "/threads/{thread_id}/events", idempotent: true },
  "events.list": { method: "GET", path: "/threads/{thread_id}/events" },
  "events.stream": { method: "GET", path: "/threads/{thread_id}/events/stream" },

  "runs.create": { method: "POST", path: "/agents/{agent_id}/runs", idempotent: true },
  "runs.createRaw": { method: "POST", path: "/runs", idempotent: true },
  "runs.list": { method: "GET", path: "/runs" },
  "runs.get": { method: "GET", path: "/runs/{run_id}" },
  "runs.cancel": { method: "POST", path: "/runs/{run_id}/cancel" },
  "runs.tree": { method: "GET", path: "/runs/{run_id}/tree" },
  "runs.transcript": { method: "GET", path: "/runs/{run_id}/transcript" },

  "permissions.list": { method: "GET", path: "/permissions" },
  "permissions.get": { method: "GET", path: "/permissions/{permission_id}" },
  "permissions.decide": { method: "POST", path: "/permissions/{permission_id}/decision" },

  "jobs.get": { method: "GET", path: "/jobs/{job_id}" },
  "jobs.stream": { method: "GET", path: "/jobs/{job_id}/stream" },
  "jobs.cancel": { method: "DELETE", path: "/jobs/{job_id}" },

  "files.uploadToAgent": { method: "POST", path: "/agents/{agent_id}/files", idempotent: true },
  "files.uploadToThread": { method: "POST", path: "/threads/{thread_id}/files", idempotent: true },
  "files.list": { method: "GET", path: "/threads/{thread_id}/files" },
  "files.get": { method: "GET", path: "/files/{file_id}" },
  "files.download": { method: "GET", path: "/files/{file_id}/content" },
  "files.delete": { method: "DELETE", path: "/files/{file_id}" },

  "collections.list": { method: "GET", path: "/document-collections" },
  "collections.create": { method: "POST", path: "/document-collections", idempotent: true },
  "collections.get": { method: "GET", path: "/document-collections/{collection_id}" },
  "collections.update": { method: "PATCH", path: "/document-collections/{collection_id}" },
  "collections.delete": { method: "DELETE", path: "/document-collections/{collection_id}" },
  "collections.getAccess": { method: "GET", path: "/document-collections/{collection_id}/access" },
  "collections.setAccess": { method: "PUT", path: "/document-collections/{collection_id}/access" },
  "documents.list": { method: "GET", path: "/document-collections/{collection_id}/documents" },
  "documents.add": { method: "POST", path: "/document-collections/{collection_id}/documents", idempotent: true },
  "documents.get": { method: "GET", path: "/documents/{document_id}" },
  "documents.content": { method: "GET", path: "/documents/{document_id}/content" },
  "documents.replace": { method: "PUT", path: "/documents/{document_id}/content", idempotent: true },
  "documents.delete": { method: "DELETE", path: "/documents/{document_id}" },
  "documents.search": { method: "POST", path: "/documents/search" },

  "agents.list": { method: "GET", path: "/agents" },
  "agents.create": { method: "POST", path: "/agents", idempotent: true },
  "agents.get": { method: "GET", path: "/agents/{agent_id}" },
  "agents.update": { method: "PATCH", path: "/agents/{agent_id}" },
  "agents.delete": { method: "DELETE", path: "/agents/{agent_id}" },
  "agents.publish": { method: "POST", path: "/agents/{agent_id}/publish" },
  "agents.unpublish": { method: "POST", path: "/agents/{agent_id}/unpublish" },
  "agents.versions": { method: "GET", path: "/agents/{agent_id}/versions" },
  "agents.version": { method: "GET", path: "/agents/{agent_id}/versions/{version}" },
  "agents.activate": { method: "POST", path: "/agents/{agent_id}/versions/{version}/activate" },
  "agents.diff": { method: "GET", path: "/agents/{agent_id}/diff" },
  "agents.getAccess": { method: "GET", path: "/agents/{agent_id}/access" },
  "agents.setAccess": { method: "PUT", path: "/agents/{agent_id}/access" },

  "tools.list": { method: "GET", path: "/tools" },

  "models.list": { method: "GET", path: "/model-connections" },
  "models.create": { method: "POST", path: "/model-connections", idempotent: true },
  "models.get": { method: "GET", path: "/model-connections/{connection_id}" },
  "models.update": { method: "PATCH", path: "/model-connections/{connection_id}" },
  "models.delete": { method: "DELETE", path: "/model-connections/{connection_id}" },

  "me.get": { method: "GET", path: "/me" },

  "organization.get": { method: "GET", path: "/organization" },
  "organization.update": { method: "PATCH", path: "/organization" },

  "members.list": { method: "GET", path: "/members" },
  "members.add": { method: "POST", path: "/members", idempotent: true },
  "members.update": { method: "PATCH", path: "/members/{user_id}" },
  "members.remove": { method: "DELETE", path: "/members/{user_id}" },

  "groups.list": { method: "GET", path: "/groups" },
  "groups.create": { method: "POST", path: "/groups", idempotent: true },
  "groups.update": { method: "PATCH", path: "/groups/{group_id}" },
  "groups.delete": { method: "DELETE", path: "/groups/{group_id}" },

  "audit.list": { method: "GET", path: "/audit" },
  "audit.head": { method: "GET", path: "/audit/head" },
  "audit.verify": { method: "GET", path: "/audit/verify" },

  "budgets.list": { method: "GET", path: "/budgets" },
  "budgets.create": { method: "POST", path: "/budgets", idempotent: true },
  "budgets.update": { method: "PATCH", path: "/budgets/{budget_id}" },
  "budgets.delete": { method: "DELETE", path: "/budgets/{budget_id}" },

  "usage.totals": { method: "GET", path: "/usage" },
  "usage.calls": { method: "GET", path: "/usage/calls" },

  "tokens.list": { method: "GET", path: "/tokens" },
  "tokens.create": { method: "POST", path: "/tokens", idempotent: true },
  "tokens.update": { method: "PATCH", path: "/tokens/{token_id}" },
  "tokens.rotate": { method: "POST", path: "/tokens/{token_id}/rotate", idempotent: true },
  "tokens.revoke": { method: "POST", path: "/tokens/{token_id}/revoke" },

  "session.signIn": { method: "POST", path: "/session" },
  "session.get": { method: "GET", path: "/session" },
  "session.signOut": { method: "DELETE", path: "/session" },
  "session.switch": { method: "POST", path: "/session/organization" },
  "sessions.list": { method: "GET", path: "/sessions" },
  "sessions.end": { method: "DELETE", path: "/sessions/{session_id}" },
  "sessions.endAll": { method: "DELETE", path: "/sessions" },

  "password.change": { method: "POST", path: "/password" },
  "password.reset": { method: "POST", path: "/password/reset" },
  "passwordLinks.create": { method: "POST", path: "/password-links", idempotent: true },

  "invitations.list": { method: "GET", path: "/invitations" },
  "invitations.create": { method: "POST", path: "/invitations", idempotent: true },
  "invitations.get": { method: "GET", path: "/invitations/{invitation_id}" },
  "invitations.resend": { method: "POST", path: "/invitations/{invitation_id}/resend", idempotent: true },
  "invitations.revoke": { method: "POST", path: "/invitations/{invitation_id}/revoke" },
  "invitations.preview": { method: "POST", path: "/invitations/preview" },
  "invitations.accept": { method: "POST", path: "/invitations/accept" },

  "ssoConnections.list": { method: "GET", path: "/sso-connections" },
  "ssoConnections.create": { method: "POST", path: "/sso-connections", idempotent: true },
  "ssoConnections.get": { method: "GET", path: "/sso-connections/{connection_id}" },
  "ssoConnections.update": { method: "PATCH", path: "/sso-connections/{connection_id}" },
  "ssoConnections.delete": { method: "DELETE", path: "/sso-connections/{connection_id}" },
  "sso.start": { method: "GET", path: "/sso/{slug}/start" },
  "sso.callback": { method: "GET", path: "/sso/{slug}/callback" },
} as const satisfies { [N in RouteName]: Shape<N> };

/** What the transport needs to know of a route. */
export type Call = { method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE"; path: string; idempotent?: true };
