/**
 * What the audit log says of each route. A new route does not compile until somebody has decided.
 *
 * `refused` is the action of the entry when the caller may not do it; null where there is nothing to refuse but
 * the token. `done` names the entries that the act itself writes; none where a caller deals with its own things.
 */
import type { AuditAction, RequestId, RouteName } from "@callboard/protocol";
import { type Caller, type Refusals, RefusedToken, toTarget } from "../access/index.ts";
import { RefusedProof } from "./caller.ts";

export type Audited = { readonly refused: AuditAction | null; readonly done: readonly AuditAction[] };

const act = (action: AuditAction): Audited => ({ refused: action, done: [action] });
const own = (refused: AuditAction | null): Audited => ({ refused, done: [] });
/** The caller's own thing, or an admin's look at somebody else's. */
const others = (refused: AuditAction, done: AuditAction): Audited => ({ refused, done: [done] });

const readThread = others("thread.read", "thread.read_as_admin");
const writeThread = others("thread.write", "thread.write_as_admin");

export const audited: { readonly [N in RouteName]: Audited } = {
  "threads.create": own("agent.call"),
  "threads.list": others("thread.read", "thread.list_as_admin"),
  "threads.get": readThread,
  "threads.update": writeThread,
  "threads.archive": writeThread,
  "threads.unarchive": writeThread,
  "threads.delete": { refused: "thread.delete", done: ["thread.delete", "thread.write_as_admin"] },

  "events.send": writeThread,
  "events.list": readThread,
  "events.stream": readThread,

  "runs.create": others("agent.call", "thread.write_as_admin"),
  "runs.createRaw": own("run.raw"),
  "runs.list": others("thread.read", "run.list_as_admin"),
  "runs.get": others("thread.read", "run.read_as_admin"),
  "runs.cancel": others("thread.write", "run.cancel_as_admin"),
  "runs.tree": others("thread.read", "run.read_as_admin"),
  "runs.transcript": others("thread.read", "run.read_as_admin"),

  "permissions.list": own("permission.read"),
  "permissions.get": others("permission.read", "permission.read_as_admin"),
  "permissions.decide": act("permission.decide"),

  "jobs.get": others("job.read", "job.read_as_admin"),
  "jobs.stream": others("job.read", "job.read_as_admin"),
  "jobs.cancel": others("job.cancel", "job.cancel_as_admin"),

  "files.uploadToAgent": own("agent.call"),
  "files.uploadToThread": writeThread,
  "files.list": readThread,
  "files.get": readThread,
  "files.download": readThread,
  "files.delete": writeThread,

  "collections.list": own("document.read"),
  "collections.create": act("collection.create"),
  "collections.get": own("document.read"),
  "collections.update": act("collection.update"),
  "collections.delete": act("collection.delete"),
  "collections.getAccess": own("document.read"),
  "collections.setAccess": act("collection.set_access"),
  "documents.list": others("document.read", "collection.read_as_admin"),
  "documents.add": act("document.add"),
  "documents.get": others("document.read", "document.read_as_admin"),
  "documents.content": others("document.read", "document.read_as_admin"),
  "documents.replace": act("document.replace"),
  "documents.delete": act("document.delete"),
  "documents.search": own("document.read"),

  "agents.list": own("agent.read"),
  "agents.create": act("agent.create"),
  "agents.get": own("agent.read"),
  "agents.update": act("agent.update"),
  "agents.delete": act("agent.delete"),
  "agents.publish": act("agent.publish"),
  "agents.unpublish": act("agent.unpublish"),
  "agents.versions": own("agent.read"),
  "agents.version": own("agent.read"),
  "agents.activate": act("agent.activate"),
  "agents.diff": own("agent.read"),
  "agents.getAccess": own("agent.read"),
  "agents.setAccess": act("agent.set_access"),
  "tools.list": own("agent.read"),

  "models.list": own("model_connection.read"),
  "models.create": act("model_connection.create"),
  "models.get": own("model_connection.read"),
  "models.update": act("model_connection.update"),
  "models.delete": act("model_connection.delete"),

  "me.get": own(null),
  "organization.get": own(null),
  "organization.update": act("organization.update"),
  "members.list": own("member.read"),
  "members.add": act("member.add"),
  "members.update": act("member.update"),
  "members.remove": act("member.remove"),
  "groups.list": own("member.read"),
  "groups.create": act("group.create"),
  "groups.update": act("group.update"),
  "groups.delete": act("group.delete"),
  "audit.list": own("audit.read"),
  "audit.head": own("audit.read"),
  "audit.verify": own("audit.read"),

  "budgets.list": own("budget.read"),
  "budgets.create": act("budget.create"),
  "budgets.update": act("budget.update"),
  "budgets.delete": act("budget.delete"),
  "usage.totals": own("usage.read"),
  "usage.calls": own("usage.read"),

  "tokens.list": own("token.read"),
  "tokens.create": act("token.create"),
  "tokens.update": act("token.update"),
  "tokens.rotate": act("token.rotate"),
  "tokens.revoke": act("token.revoke"),

  "session.signIn": act("session.sign_in"),
  "session.get": own("session.use"),
  "session.signOut": act("session.sign_out"),
  "session.switch": act("session.switch"),
  "sessions.list": own("session.use"),
  "sessions.end": act("session.revoke"),
  "sessions.endAll": act("session.revoke_all"),
  "password.change": act("password.change"),
  "password.reset": act("password.set"),
  "passwordLinks.create": act("password.link"),
  "invitations.list": own("invitation.read"),
  "invitations.create": act("invitation.create"),
  "invitations.get": own("invitation.read"),
  "invitations.resend": act("invitation.resend"),
  "invitations.revoke": act("invitation.revoke"),
  "invitations.preview": own(null),
  "invitations.accept": act("invitation.accept"),
  "ssoConnections.list": own("sso_connection.read"),
  "ssoConnections.create": act("sso_connection.create"),
  "ssoConnections.get": own("sso_connection.read"),
  "ssoConnections.update": act("sso_connection.update"),
  "ssoConnections.delete": act("sso_connection.delete"),
  "sso.start": own(null),
  "sso.callback": act("session.sign_in"),
};

type Asked = {
  /** Undefined when the refusal came before the caller was known. */
  caller: Caller | undefined;
  /** Null when the route has no action for refusals. */
  action: AuditAction | null;
  /** The thing as the path names it. */
  target: string | undefined;
  requestId: RequestId;
};

/** Puts a refused request into the audit log, when its error is of that kind. */
export async function auditRefusal(refusals: Refusals, error: unknown, asked: Asked): Promise<void> {
  const { action, target, requestId } = asked;
  const caller = error instanceof RefusedProof ? error.caller : asked.caller;
  if (error instanceof RefusedToken) {
    const { organizationId, kind, userId, tokenId, reason } = error.token;
    await refusals.note({
      actor: { organizationId, kind, id: userId ?? tokenId },
      action: "token.use",
      target: tokenId,
      code: reason,
      requestId,
    });
  } else if (caller !== undefined && action !== null) {
    await refusals.forbidden(error, { actor: { caller }, action, target: toTarget(target), requestId });
  }
}
