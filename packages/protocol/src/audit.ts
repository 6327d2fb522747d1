/** The audit log: the acts it knows, its entries, and what checking its chain tells. */
import { z } from "zod";
import { json, listOf, page, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";

/** Every action of an entry, with what it says. `docs/guide/audit.md` has the same table; a test compares both. */
export const auditActions = {
  "agent.create": "An agent was created.",
  "agent.update": "An agent's draft or settings were changed.",
  "agent.delete": "An agent was deleted.",
  "agent.publish": "A draft became a version, and live.",
  "agent.unpublish": "An agent's live version was taken away.",
  "agent.activate": "An older version was made live again.",
  "agent.set_access": "Who is invited to an agent was replaced.",
  "agent.read": "An agent was asked for.",
  "agent.call": "A thread, run or upload of an agent was asked for.",
  "audit.erase": "An operator erased the oldest entries.",
  "audit.read": "The audit log was asked for.",
  "budget.create": "A budget was set.",
  "budget.update": "A budget was changed.",
  "budget.delete": "A budget was taken away.",
  "budget.read": "Budgets were asked for.",
  "collection.create": "A collection of documents was created.",
  "collection.update": "A collection was renamed or described anew.",
  "collection.delete": "A collection was deleted with its documents.",
  "collection.set_access": "Who may read a collection was replaced.",
  "collection.read_as_admin": "An admin listed documents that were not granted to that admin.",
  "document.add": "A document was added.",
  "document.delete": "A document was deleted.",
  "document.replace": "A document's content was replaced.",
  "document.read": "Documents or collections were asked for.",
  "document.read_as_admin": "An admin read a document that was not granted to that admin.",
  "endpoint.call": "An endpoint was called.",
  "group.create": "A group was created.",
  "group.update": "A group's name or members were changed.",
  "group.delete": "A group was deleted.",
  "invitation.create": "Somebody was invited.",
  "invitation.resend": "An invitation got another link.",
  "invitation.revoke": "An invitation was revoked.",
  "invitation.accept": "An invitation was accepted; its person is a member.",
  "invitation.read": "Invitations were asked for.",
  "job.read": "A job was asked for.",
  "job.read_as_admin": "An admin read somebody else's job.",
  "job.cancel": "The end of a job was asked for.",
  "job.cancel_as_admin": "An admin canceled somebody else's job.",
  "member.add": "A person became a member.",
  "member.update": "A member's role was changed, or the member suspended.",
  "member.remove": "A member was removed, with tokens and invitations.",
  "member.read": "Members or groups were asked for.",
  "model_connection.create": "A model connection was added.",
  "model_connection.update": "A model connection was changed, for instance its key.",
  "model_connection.delete": "A model connection was deleted.",
  "model_connection.read": "Model connections were asked for.",
  "organization.create": "An operator created the organization and its first owner.",
  "organization.update": "The organization's name, rules or limits were changed.",
  "password.change": "A person changed the own password.",
  "password.link": "A one-time link to set a password was made.",
  "password.set": "A password was set, by a link, an invitation or the operator.",
  "permission.decide": "A person decided about a tool call.",
  "permission.read": "A permission request was asked for.",
  "permission.read_as_admin": "An admin read a permission request of somebody else's thread.",
  "refusals.suppressed": "More was refused within a minute than the log takes; `details.count` says how much.",
  "run.raw": "A run without a saved agent was asked for.",
  "run.read_as_admin": "An admin read somebody else's run.",
  "run.list_as_admin": "An admin listed everybody's runs.",
  "run.cancel_as_admin": "An admin canceled somebody else's run.",
  "secrets.rotate": "An operator put the organization's secrets under another key.",
  "session.sign_in": "Somebody signed in, or was refused.",
  "session.sign_out": "Somebody signed out.",
  "session.switch": "A session went on in this organization.",
  "session.revoke": "A person ended one of the own sessions.",
  "session.revoke_all": "A person signed out everywhere.",
  "session.use": "Something that is for sessions was asked for.",
  "sso_connection.create": "A single sign-on connection was added.",
  "sso_connection.update": "A single sign-on connection was changed; its sessions ended.",
  "sso_connection.delete": "A single sign-on connection was deleted; its sessions ended.",
  "sso_connection.read": "Single sign-on connections were asked for.",
  "thread.read": "A thread, or its runs, events or files, was asked for.",
  "thread.read_as_admin": "An admin read somebody else's thread.",
  "thread.list_as_admin": "An admin listed everybody's threads of an agent.",
  "thread.write": "A change to a thread was asked for.",
  "thread.write_as_admin": "An admin changed somebody else's thread.",
  "thread.delete": "A thread was deleted with all that is in it.",
  "token.create": "A token was created.",
  "token.update": "A token's label, scopes, agents or attribution were changed.",
  "token.rotate": "A token got another secret.",
  "token.revoke": "A token was revoked.",
  "token.read": "Tokens were asked for.",
  "token.use": "A token that had ended was used.",
  "usage.read": "What model calls used was asked for.",
} as const satisfies Record<string, string>;
export type AuditAction = keyof typeof auditActions;

const hash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: "SHA-256 in hex" });

export const auditEntry = z
  .object({
    id: idSchema("audit"),
    /** Place in the organization's log: 1, 2, 3 … without gaps. */
    seq: z.number().int(),
    /** `anonymous`: somebody who has not proved who he is, at a sign-in that was refused. */
    actor: z.object({ kind: z.enum(["user", "service", "operator", "anonymous"]), id: z.string().nullable() }),
    action: z.string(),
    target: z.string().nullable(),
    outcome: z.enum(["done", "refused"]),
    details: z.record(z.string(), json),
    request_id: z.string().nullable(),
    created_at: timestamp,
    /** The hash of the entry before; zeros for the first. */
    prev_hash: hash,
    hash,
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof auditEntry>;

export const auditList = listOf(auditEntry);

export const auditQuery = z.strictObject({
  ...page,
  action: z.string().max(64).optional(),
  actor_id: z.string().max(64).optional(),
  target: z.string().max(200).optional(),
  outcome: z.enum(["done", "refused"]).optional(),
  /** Entries of this time and later. */
  since: timestamp.optional(),
  /** Entries before this time. */
  until: timestamp.optional(),
});

/** A place in the chain to keep elsewhere: `<seq>:<hash>`. */
export const auditAnchor = z
  .string()
  .regex(/^\d{1,15}:[0-9a-f]{64}$/, "expected a number, a colon and a hash of 64 hex digits");

export const auditHead = z
  .object({
    seq: z.number().int(),
    hash,
    /** Both in one text, for `anchor`. */
    anchor: auditAnchor,
  })
  .meta({ id: "AuditHead" });
export type AuditHead = z.infer<typeof auditHead>;

/** What is wrong with a chain, at its first broken place. */
export const auditProblem = z.object({
  /** The entry that is missing or changed, or does not follow from the one before. */
  seq: z.number().int(),
  kind: z.enum(["missing", "changed", "unlinked", "head", "anchor"]),
  message: z.string(),
});
export type AuditProblem = z.infer<typeof auditProblem>;

export const auditCheck = z
  .object({
    ok: z.boolean(),
    /** Entries that were checked, up to the first broken one. */
    entries: z.number().int(),
    /** Entries up to this number were erased by an operator; 0 for none. */
    erased_through: z.number().int(),
    head: auditHead,
    problem: auditProblem.nullable(),
  })
  .meta({ id: "AuditCheck" });
export type AuditCheck = z.infer<typeof auditCheck>;
