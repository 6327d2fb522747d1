/**
 * The decisions: may this caller do that with this thing? Pure; facts come in, a grant or a refusal comes out.
 *
 * The order of refusals at a call, closed by default:
 *
 *   token → organization → agent visible → published → API access → access mode
 *
 * D1: a thing of another organization and a thing that is not there get the same refusal, because both
 *     arrive here as `undefined`: every query names the caller's organization.
 * D2: guests read; they start, send and change nothing.
 * D3: service tokens manage nothing; they see their listed agents only, and threads of those agents.
 */
import {
  type AccessMode,
  type AgentId,
  CallboardError,
  type GroupId,
  type JobId,
  type PermissionId,
  type Role,
  type Scope,
  type ThreadId,
  type TokenId,
  type UserId,
} from "@callboard/protocol";
import { type Caller, type CredentialId, principalId } from "./caller.ts";
import { type Grant, grant } from "./grant.ts";

export type AgentFacts = {
  readonly id: AgentId;
  readonly slug: string;
  readonly ownerId: UserId;
  readonly accessMode: AccessMode;
  readonly apiAccess: boolean;
  readonly liveVersion: number | null;
  readonly invitedUsers: readonly UserId[];
  readonly invitedGroups: readonly GroupId[];
};

export type ThreadFacts = {
  readonly id: ThreadId;
  /** Null for one without an agent. */
  readonly agentId: AgentId | null;
  readonly createdByKind: "user" | "service";
  readonly createdById: UserId | TokenId;
  readonly attributedUserId: UserId | null;
};

/** A member as far as decisions go: the caller, or somebody a service acts for. */
export type Person = { readonly userId: UserId; readonly role: Role; readonly groupIds: readonly GroupId[] };

const notFound = (thing: string) => new CallboardError("not_found", `there is no such ${thing} for this caller`);
const forbidden = (message: string) => new CallboardError("forbidden", message);

/** @throws insufficient_scope */
export function requireScope(caller: Caller, scope: Scope): void {
  if (caller.scopes.has(scope)) return;
  throw new CallboardError("insufficient_scope", `the token lacks the scope ${scope}`);
}

/** Owners and admins. */
export const isAdmin = (caller: Pick<Caller, "role">): boolean => caller.role === "owner" || caller.role === "admin";

const toPerson = (caller: Caller): Person | undefined =>
  caller.userId === null || caller.role === null
    ? undefined
    : { userId: caller.userId, role: caller.role, groupIds: caller.groups.map(({ id }) => id) };

// Agents

/** Access mode: everybody, or owner, invited people and invited groups. */
function admits(person: Person, agent: AgentFacts): boolean {
  return (
    agent.accessMode === "organization" ||
    agent.ownerId === person.userId ||
    agent.invitedUsers.includes(person.userId) ||
    agent.invitedGroups.some((id) => person.groupIds.includes(id))
  );
}

/** Whether a person may use a published agent. Being an admin does not invite. */
const mayUse = (person: Person, agent: AgentFacts): boolean => person.role !== "guest" && admits(person, agent);

/** D3: whether an agent, and what was done with it, is there for this caller; null is work without an agent. */
export const reachesAgent = (caller: Caller, agentId: AgentId | null): boolean =>
  caller.kind === "user" || agentId === null || caller.agentIds?.has(agentId) === true;

/**
 * The agent, if it exists for this caller at all.
 *
 * @throws not_found
 */
export function seeAgent(caller: Caller, agent: AgentFacts | undefined): AgentFacts {
  if (agent === undefined) throw notFound("agent");
  if (!reachesAgent(caller, agent.id)) throw notFound("agent");
  return agent;
}

/** @throws insufficient_scope, not_found, forbidden */
export function readAgent(caller: Caller, facts: AgentFacts | undefined): Grant<"agent.read"> {
  requireScope(caller, "agents:read");
  const agent = seeAgent(caller, facts);
  const person = toPerson(caller);
  if (person !== undefined && !isAdmin(caller) && !admits(person, agent)) {
    throw forbidden(`agent ${agent.slug} is for invited people`);
  }
  return grant("agent.read", caller, agent.id);
}

/** Which agents a list shows is part of its query; the same rules as `readAgent`. @throws insufficient_scope */
export function listAgents(caller: Caller): Grant<"agent.list"> {
  requireScope(caller, "agents:read");
  return grant("agent.list", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function createAgent(caller: Caller): Grant<"agent.create"> {
  requireScope(caller, "agents:write");
  if (!isAdmin(caller) && !(caller.role === "member" && caller.membersEditAgents)) {
    throw forbidden("only owners and admins may create agents, and members where the organization allows it");
  }
  return grant("agent.create", caller, null);
}

/** Members edit what they may use, where the organization lets them. */
function editsAsMember(caller: Caller, agent: AgentFacts): boolean {
  const person = toPerson(caller);
  return person?.role === "member" && caller.membersEditAgents && admits(person, agent);
}

/** Change the draft, publish, activate. @throws insufficient_scope, not_found, forbidden */
export function editAgent(caller: Caller, facts: AgentFacts | undefined): Grant<"agent.edit"> {
  requireScope(caller, "agents:write");
  const agent = seeAgent(caller, facts);
  if (!isAdmin(caller) && !editsAsMember(caller, agent))
    throw forbidden(`this caller may not edit agent ${agent.slug}`);
  return grant("agent.edit", caller, agent.id);
}

/** See who is invited: for whom it is to decide, and for the agent's editors. @throws insufficient_scope, not_found, forbidden */
export function readAgentAccess(caller: Caller, facts: AgentFacts | undefined): Grant<"agent.read"> {
  const { subject } = readAgent(caller, facts);
  const agent = seeAgent(caller, facts);
  if (!isAdmin(caller) && agent.ownerId !== caller.userId && !editsAsMember(caller, agent)) {
    throw forbidden(`this caller may not see who is invited to agent ${agent.slug}`);
  }
  return grant("agent.read", caller, subject);
}

/** Change who may use the agent, its owner, or delete it. @throws insufficient_scope, not_found, forbidden */
export function shareAgent(caller: Caller, facts: AgentFacts | undefined): Grant<"agent.share"> {
  editAgent(caller, facts);
  const agent = seeAgent(caller, facts);
  if (!isAdmin(caller) && agent.ownerId !== caller.userId) {
    throw forbidden(`only admins and the owner of agent ${agent.slug} decide who may use it`);
  }
  return grant("agent.share", caller, agent.id);
}

/**
 * May this caller call the agent now?
 *
 * @throws insufficient_scope, not_found, agent_not_published, api_access_disabled, forbidden; in this order
 */
export function callAgent(caller: Caller, facts: AgentFacts | undefined): Grant<"agent.call"> {
  return mayCall(caller, facts, "api");
}

/**
 * May a run of this caller call the agent? As `callAgent`, but the switch of the public API does not matter.
 *
 * @param attributed for whom a service works, undefined when that is no active member; null for itself
 * @throws insufficient_scope, not_found, agent_not_published, forbidden, attribution_not_allowed
 */
export function callSubAgent(
  caller: Caller,
  attributed: { person: Person | undefined } | null,
  facts: AgentFacts | undefined,
): Grant<"agent.call"> {
  const granted = mayCall(caller, facts, "run");
  if (attributed !== null && facts !== undefined) attributeTo(caller, attributed.person, facts);
  return granted;
}

function mayCall(caller: Caller, facts: AgentFacts | undefined, by: "api" | "run"): Grant<"agent.call"> {
  requireScope(caller, "threads:write");
  const agent = seeAgent(caller, facts);
  if (agent.liveVersion === null) {
    throw new CallboardError("agent_not_published", `agent ${agent.slug} has no live version`);
  }
  if (by === "api" && !agent.apiAccess) {
    throw new CallboardError("api_access_disabled", `the API access of agent ${agent.slug} is switched off`);
  }
  const person = toPerson(caller);
  if (person?.role === "guest") throw forbidden("guests may not start runs or send messages");
  if (person !== undefined && !mayUse(person, agent)) throw forbidden(`agent ${agent.slug} is for invited people`);
  return grant("agent.call", caller, agent.id);
}

/**
 * May this caller attribute work with the agent to that person?
 *
 * @param person the member with that id, or undefined; a suspended member is not one
 * @throws attribution_not_allowed; the same for an absent person and for one who may not use the agent
 */
export function attributeTo(caller: Caller, person: Person | undefined, agent: AgentFacts): void {
  if (caller.kind !== "service" || !caller.mayAttribute) {
    throw new CallboardError(
      "attribution_not_allowed",
      "attributed_user_id: only a service token with that right may attribute",
    );
  }
  if (person === undefined || !mayUse(person, agent)) {
    throw new CallboardError(
      "attribution_not_allowed",
      `attributed_user_id: expected somebody who may use agent ${agent.slug}`,
    );
  }
}

/** A run without a saved agent. @throws insufficient_scope, forbidden */
export function rawRun(caller: Caller): Grant<"run.raw"> {
  requireScope(caller, "runs:raw");
  if (!caller.rawRuns) throw forbidden("the organization does not allow runs without a saved agent");
  if (caller.role === "guest") throw forbidden("guests may not start runs");
  return grant("run.raw", caller, null);
}

// Threads, and the runs, events and files in them

/** How a caller comes to see a thread: as its own, or as an admin, which the user of the answer audits. */
export type ThreadDecision<V extends "thread.read" | "thread.write"> = {
  readonly grant: Grant<V>;
  readonly asAdmin: boolean;
};

function sightOf(caller: Caller, thread: ThreadFacts): "as its own" | "as admin" | "none" {
  if (!reachesAgent(caller, thread.agentId)) return "none";
  const created = thread.createdByKind === caller.kind && thread.createdById === principalId(caller);
  const attributed = caller.userId !== null && thread.attributedUserId === caller.userId;
  if (created || attributed) return "as its own";
  return isAdmin(caller) ? "as admin" : "none";
}

function seeThread(caller: Caller, thread: ThreadFacts | undefined): { thread: ThreadFacts; asAdmin: boolean } {
  const sight = thread === undefined ? "none" : sightOf(caller, thread);
  if (thread === undefined || sight === "none") throw notFound("thread");
  return { thread, asAdmin: sight === "as admin" };
}

/** @throws insufficient_scope, not_found */
export function readThread(caller: Caller, facts: ThreadFacts | undefined): ThreadDecision<"thread.read"> {
  requireScope(caller, "threads:read");
  const { thread, asAdmin } = seeThread(caller, facts);
  return { grant: grant("thread.read", caller, thread.id), asAdmin };
}

/** Send, rename, archive, cancel, delete. @throws insufficient_scope, not_found, forbidden */
export function writeThread(caller: Caller, facts: ThreadFacts | undefined): ThreadDecision<"thread.write"> {
  requireScope(caller, "threads:write");
  const { thread, asAdmin } = seeThread(caller, facts);
  if (caller.role === "guest") throw forbidden("guests may not start runs or send messages");
  return { grant: grant("thread.write", caller, thread.id), asAdmin };
}

/** For whom a run works or would work, and how far. */
export type Working = {
  readonly kind: "user" | "service";
  readonly userId: UserId | null;
  readonly tokenId: CredentialId;
  readonly scopes: readonly Scope[];
};

/**
 * May a message join a run that is under way, whose rights are others' perhaps? Only where its sender gains nothing by
 * it: the run works for the same person or the same service, with no scope that the sender lacks.
 *
 * @param sender as a run of its own would work
 * @throws forbidden, insufficient_scope
 */
export function steerRun(sender: Working, run: Working): void {
  const isSame = run.userId === null ? sender.tokenId === run.tokenId : sender.userId === run.userId;
  // A service that acts for a person reaches the agents in its list, that person's own run others.
  if (!isSame || (sender.kind === "service" && sender.tokenId !== run.tokenId)) {
    throw forbidden("the active run works for somebody else; the message may wait for its end, or interrupt it");
  }
  const scope = run.scopes.find((one) => !sender.scopes.includes(one));
  if (scope === undefined) return;
  throw new CallboardError("insufficient_scope", `the active run has the scope ${scope}, which this token lacks`);
}

// Permissions

export type PermissionFacts = {
  readonly id: PermissionId;
  /** Null for a run without a saved agent. */
  readonly agentId: AgentId | null;
  /** The agent's owner now; null without an agent. */
  readonly ownerId: UserId | null;
  readonly approvers: readonly string[];
  readonly notRequester: boolean;
  /** Whom the run works for: a person, a service token, or both when the service acts for the person. */
  readonly requesterUserId: UserId | null;
  readonly requesterTokenId: TokenId | null;
};

const isRequester = (caller: Caller, facts: PermissionFacts): boolean =>
  caller.userId === null ? caller.tokenId === facts.requesterTokenId : caller.userId === facts.requesterUserId;

/** Whether the list of approvers has the caller: nobody is in it for being an admin. */
const isListed = (caller: Caller, facts: PermissionFacts): boolean =>
  facts.approvers.some((approver) => {
    if (approver === "service") return caller.userId === null && caller.tokenId === facts.requesterTokenId;
    if (caller.userId === null) return false;
    if (approver === "caller") return caller.userId === facts.requesterUserId;
    if (approver === "owner") return caller.userId === facts.ownerId;
    if (approver === "admins") return isAdmin(caller);
    return caller.groups.some(({ slug }) => approver === `group:${slug}`);
  });

/** Whether this caller is one of those who may decide. */
export const mayDecide = (caller: Caller, facts: PermissionFacts): boolean =>
  caller.scopes.has("threads:write") &&
  caller.role !== "guest" &&
  reachesAgent(caller, facts.agentId) &&
  isListed(caller, facts) &&
  !(facts.notRequester && isRequester(caller, facts));

/** It is in the caller's inbox: asked on the caller's behalf, or of the caller among others. */
const isConcerned = (caller: Caller, facts: PermissionFacts): boolean =>
  reachesAgent(caller, facts.agentId) && (isRequester(caller, facts) || isListed(caller, facts));

/** Which requests a list shows is part of its query; the same rules as `isConcerned`. @throws insufficient_scope */
export function listPermissions(caller: Caller): Grant<"permission.list"> {
  requireScope(caller, "threads:read");
  return grant("permission.list", caller, null);
}

/**
 * Whoever is concerned, and whoever sees the thread.
 *
 * @param thread undefined when it is gone
 * @returns `asAdmin`: the caller sees it as an admin only, which the user of the answer audits
 * @throws insufficient_scope, not_found
 */
export function readPermission(
  caller: Caller,
  facts: PermissionFacts | undefined,
  thread: ThreadFacts | undefined,
): { grant: Grant<"permission.read">; asAdmin: boolean } {
  requireScope(caller, "threads:read");
  if (facts === undefined || thread === undefined) throw notFound("permission request");
  if (isConcerned(caller, facts)) return { grant: grant("permission.read", caller, facts.id), asAdmin: false };
  const sight = sightOf(caller, thread);
  if (sight === "none") throw notFound("permission request");
  return { grant: grant("permission.read", caller, facts.id), asAdmin: sight === "as admin" };
}

/**
 * @throws insufficient_scope; not_found for who neither is concerned nor sees the thread; forbidden for who may
 *   know of the request and is none of those who decide
 */
export function decidePermission(
  caller: Caller,
  facts: PermissionFacts | undefined,
  thread: ThreadFacts,
): Grant<"permission.decide"> {
  requireScope(caller, "threads:write");
  if (facts === undefined) throw notFound("permission request");
  if (mayDecide(caller, facts)) return grant("permission.decide", caller, facts.id);
  if (!isConcerned(caller, facts) && sightOf(caller, thread) === "none") throw notFound("permission request");
  throw forbidden(`this caller may not decide; expected ${facts.approvers.join(" or ")}`);
}

// Endpoints and their jobs

/** Who may call an endpoint; each condition that is given must hold. */
export type EndpointRule = {
  readonly roles?: readonly Role[] | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly scopes?: readonly Scope[] | undefined;
};

/**
 * May this caller call the endpoint? Guests only where the rule names them; services only where it names
 * neither roles nor groups, which they have none of.
 *
 * @throws insufficient_scope, forbidden
 */
export function callEndpoint(caller: Caller, name: string, rule: EndpointRule = {}): Grant<"endpoint.call"> {
  requireScope(caller, "threads:write");
  const roles: readonly (Role | null)[] = rule.roles ?? ["owner", "admin", "member", ...(rule.groups ? [] : [null])];
  if (!roles.includes(caller.role)) throw forbidden(`this caller may not call endpoint ${name}`);
  if (rule.groups !== undefined && !caller.groups.some(({ slug }) => rule.groups?.includes(slug))) {
    throw forbidden(`endpoint ${name} is for certain groups`);
  }
  for (const scope of rule.scopes ?? []) requireScope(caller, scope);
  return grant("endpoint.call", caller, name);
}

export type JobFacts = {
  readonly id: JobId;
  readonly createdByKind: "user" | "service";
  readonly createdById: UserId | TokenId;
};
export type JobDecision<V extends "job.read" | "job.cancel"> = { readonly grant: Grant<V>; readonly asAdmin: boolean };

function seeJob(caller: Caller, job: JobFacts | undefined): { job: JobFacts; asAdmin: boolean } {
  if (job === undefined) throw notFound("job");
  if (job.createdByKind === caller.kind && job.createdById === principalId(caller)) return { job, asAdmin: false };
  if (isAdmin(caller)) return { job, asAdmin: true };
  throw notFound("job");
}

/** @throws insufficient_scope, not_found */
export function readJob(caller: Caller, facts: JobFacts | undefined): JobDecision<"job.read"> {
  requireScope(caller, "threads:read");
  const { job, asAdmin } = seeJob(caller, facts);
  return { grant: grant("job.read", caller, job.id), asAdmin };
}

/** @throws insufficient_scope, not_found */
export function cancelJob(caller: Caller, facts: JobFacts | undefined): JobDecision<"job.cancel"> {
  requireScope(caller, "threads:write");
  const { job, asAdmin } = seeJob(caller, facts);
  return { grant: grant("job.cancel", caller, job.id), asAdmin };
}

// Documents. Which ones a caller may read is decided by the policies of their tables.

/** @throws insufficient_scope */
export function readDocuments(caller: Caller): Grant<"documents.read"> {
  requireScope(caller, "documents:read");
  return grant("documents.read", caller, null);
}

/** For owners and admins; undefined for everybody else. @throws insufficient_scope */
export function overseeDocuments(caller: Caller): Grant<"documents.oversee"> | undefined {
  requireScope(caller, "documents:read");
  return isAdmin(caller) ? grant("documents.oversee", caller, null) : undefined;
}

/** @throws insufficient_scope, forbidden */
export function manageDocuments(caller: Caller): Grant<"documents.manage"> {
  requireScope(caller, "documents:write");
  requireAdmin(caller, "manage documents");
  return grant("documents.manage", caller, null);
}

// The organization

function requireAdmin(caller: Caller, deed: string): void {
  if (!isAdmin(caller)) throw forbidden(`only owners and admins may ${deed}`);
}
function refuseGuest(caller: Caller, deed: string): void {
  if (caller.role === "guest") throw forbidden(`guests may not ${deed}`);
}

/** @throws insufficient_scope, forbidden */
export function readMembers(caller: Caller): Grant<"members.read"> {
  requireScope(caller, "members:read");
  refuseGuest(caller, "read the list of members");
  return grant("members.read", caller, null);
}

/** Whom an admin may manage is decided by `roles.ts`. @throws insufficient_scope, forbidden */
export function manageMembers(caller: Caller): Grant<"members.manage"> {
  requireScope(caller, "members:write");
  requireAdmin(caller, "manage members and groups");
  return grant("members.manage", caller, null);
}

/** Which tokens a caller may make and see is decided by `tokens.ts`. @throws insufficient_scope */
export function manageTokens(caller: Caller): Grant<"tokens.manage"> {
  requireScope(caller, "tokens:write");
  return grant("tokens.manage", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function readModels(caller: Caller): Grant<"models.read"> {
  requireScope(caller, "models:read");
  refuseGuest(caller, "read model connections");
  return grant("models.read", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function manageModels(caller: Caller): Grant<"models.manage"> {
  requireScope(caller, "models:write");
  requireAdmin(caller, "manage model connections");
  return grant("models.manage", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function manageOrganization(caller: Caller): Grant<"organization.manage"> {
  requireScope(caller, "organization:write");
  requireAdmin(caller, "change the organization");
  return grant("organization.manage", caller, null);
}

/**
 * Owners alone: whoever chooses the issuer decides who everybody is, owners too.
 *
 * @throws insufficient_scope, forbidden
 */
export function manageSso(caller: Caller): Grant<"sso.manage"> {
  requireScope(caller, "organization:write");
  if (caller.role !== "owner") throw forbidden("only owners may manage single sign-on");
  return grant("sso.manage", caller, null);
}

/** Admins, and service tokens that an admin gave the scope. @throws insufficient_scope, forbidden */
export function readAudit(caller: Caller): Grant<"audit.read"> {
  requireScope(caller, "audit:read");
  if (caller.kind === "user") requireAdmin(caller, "read the audit log");
  return grant("audit.read", caller, null);
}

/** Everybody reads what is his own; `isAdmin` decides on the rest. @throws insufficient_scope */
export function readUsage(caller: Caller): Grant<"usage.read"> {
  requireScope(caller, "usage:read");
  return grant("usage.read", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function readBudgets(caller: Caller): Grant<"budgets.read"> {
  requireScope(caller, "usage:read");
  requireAdmin(caller, "read budgets");
  return grant("budgets.read", caller, null);
}

/** @throws insufficient_scope, forbidden */
export function manageBudgets(caller: Caller): Grant<"budgets.manage"> {
  requireScope(caller, "budgets:write");
  requireAdmin(caller, "manage budgets");
  return grant("budgets.manage", caller, null);
}
