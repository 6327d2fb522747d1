/** A grant is the proof that access said yes. Verbs ask for one; only this room makes them. */
import type { AgentId, JobId, OrganizationId, PermissionId, ThreadId } from "@callboard/protocol";
import type { Caller } from "./caller.ts";

/** What can be granted, and the thing a grant is about; null for the whole organization. */
export type Verbs = {
  "agent.create": null;
  "agent.list": null;
  "agent.read": AgentId;
  "agent.edit": AgentId;
  /** Change its owner or who may use it, or delete it. */
  "agent.share": AgentId;
  "agent.call": AgentId;
  "run.raw": null;
  "thread.read": ThreadId;
  "thread.write": ThreadId;
  "permission.list": null;
  "permission.read": PermissionId;
  "permission.decide": PermissionId;
  /** The endpoint's name: its file below `endpoints/`. */
  "endpoint.call": string;
  "job.read": JobId;
  "job.cancel": JobId;
  "documents.read": null;
  /** Read beyond what was granted to oneself; whoever uses it audits it. */
  "documents.oversee": null;
  "documents.manage": null;
  "members.read": null;
  "members.manage": null;
  "tokens.manage": null;
  "models.read": null;
  "models.manage": null;
  "organization.manage": null;
  "sso.manage": null;
  "audit.read": null;
  "usage.read": null;
  "budgets.read": null;
  "budgets.manage": null;
};
export type Verb = keyof Verbs;

declare const granted: unique symbol;
export type Grant<V extends Verb> = {
  readonly [granted]: V;
  readonly caller: Caller;
  readonly organizationId: OrganizationId;
  readonly subject: Verbs[V];
};

/** Only for this room: `index.ts` keeps it in. */
export function grant<V extends Verb>(_verb: V, caller: Caller, subject: Verbs[V]): Grant<V> {
  return { caller, organizationId: caller.organizationId, subject } as Grant<V>;
}
