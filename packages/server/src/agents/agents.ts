/**
 * Agents: made and edited as drafts, published as numbered versions that never change.
 *
 *   draft ── publish ── version n, live ── publish ── version n+1, live ── activate n ── version n, live
 *
 * A1: version numbers are 1, 2, 3 … without gaps; a version's configuration is never written again.
 * A2: whatever changes who may call an agent, or with which version, moves the access epoch.
 */
import {
  type Agent,
  type AgentAccess,
  type AgentDiff,
  type AgentVersion,
  type AuditAction,
  CallboardError,
  type CreateAgent,
  type Json,
  newId,
  type OrganizationId,
  type RequestId,
  type RouteQuery,
  type UpdateAgent,
} from "@callboard/protocol";
import {
  type AccessWakes,
  type AgentFacts,
  accessChanged,
  audit,
  findPerson,
  type Grant,
  invalidRequest,
  requireGroups,
  requireMembers,
  requireSeen,
  requireStorable,
} from "../access/index.ts";
import type { Connections } from "../models/index.ts";
import { decodeCursor, isUniqueViolation, type Sql, type Transaction, toPage } from "../storage/index.ts";
import { groupProblems } from "./approvers.ts";
import { diff } from "./diff.ts";
import { draftProblems, type InputSchemaOf, refuseProblems } from "./draft.ts";
import * as store from "./store.ts";
import { callProblems } from "./sub-agents.ts";

/** What decides who may call an agent and under which name. */
export type AgentSettings = Omit<UpdateAgent, "draft">;
type Page = { limit: number; cursor?: string | undefined };
/** Any grant about one agent. */
type About = Grant<"agent.read"> | Grant<"agent.edit"> | Grant<"agent.share">;

export type AgentsOptions = {
  wakes: Pick<AccessWakes, "send">;
  connections: Pick<Connections, "problems">;
  /** The tools that this server has now. */
  toolNames: () => ReadonlySet<string>;
  /** What they take. */
  inputSchemaOf?: InputSchemaOf;
};

export class Agents {
  readonly #wakes: Pick<AccessWakes, "send">;
  readonly #connections: Pick<Connections, "problems">;
  readonly #toolNames: () => ReadonlySet<string>;
  readonly #inputSchemaOf: InputSchemaOf;

  constructor({ wakes, connections, toolNames, inputSchemaOf = () => undefined }: AgentsOptions) {
    this.#wakes = wakes;
    this.#connections = connections;
    this.#toolNames = toolNames;
    this.#inputSchemaOf = inputSchemaOf;
  }

  /** What access decides on; undefined for an agent that is not in the organization. */
  async facts(sql: Sql, organizationId: OrganizationId, agentIdOrSlug: string): Promise<AgentFacts | undefined> {
    return (await store.readFacts(sql, organizationId, agentIdOrSlug)).facts;
  }

  /** By slug: for people what they may read, for service tokens what they may call. @throws invalid_request */
  async list(sql: Sql, { caller }: Grant<"agent.list">, page: Page): Promise<Listed<Agent>> {
    const after = decodeCursor(page.cursor, "slug") ?? "";
    const agents = await store.listAgentRows(sql, caller, after, page.limit + 1);
    return toPage(agents, page.limit, (agent) => agent.slug, same);
  }

  /** @throws not_found */
  get(sql: Sql, grant: About): Promise<Agent> {
    return read(sql, grant);
  }

  /**
   * Holds the agent still until the transaction ends, if it is the one that the caller has seen.
   *
   * @param ifMatch the request's `If-Match`; without one any agent will do
   * @throws not_found, precondition_failed
   */
  async requireRevision(tx: Transaction, grant: About, ifMatch: string | undefined): Promise<void> {
    if (ifMatch === undefined || ifMatch.trim() === "*") return;
    const { slug, revision } = await read(tx, grant, "lock");
    requireSeen(`agent ${slug}`, revision, ifMatch);
  }

  /** A draft, owned by its maker; nobody can call it yet. @throws slug_taken, invalid_request */
  async create(
    tx: Transaction,
    { caller, organizationId }: Grant<"agent.create">,
    body: CreateAgent,
    requestId: RequestId | null,
  ): Promise<Agent> {
    requireStorable(body);
    if (caller.userId === null) throw new CallboardError("forbidden", "an agent is owned by a person");
    const id = newId("agent");
    await orSlugTaken(body.slug, store.insertAgent(tx, { ...body, organizationId, id, owner_id: caller.userId }));
    const entry = { actor: { caller }, target: id, outcome: "done", details: { slug: body.slug }, requestId } as const;
    await audit(tx, { ...entry, action: "agent.create" });
    return (await store.readAgentRow(tx, { organizationId, id })) as Agent; // inserted above
  }

  /** Replaces the draft; the live version stays as it is. @throws not_found, invalid_request */
  async edit(
    tx: Transaction,
    grant: Grant<"agent.edit">,
    draft: Agent["draft"],
    requestId: RequestId | null,
  ): Promise<Agent> {
    requireStorable({ draft });
    const agent = await read(tx, grant, "lock");
    await store.writeAgent(tx, grant.organizationId, { ...agent, draft });
    await record(tx, grant, "agent.update", { fields: ["draft"] }, requestId);
    return read(tx, grant);
  }

  /** Changes slug, owner, access mode or API access. @throws not_found, slug_taken, invalid_request */
  async configure(
    tx: Transaction,
    grant: Grant<"agent.share">,
    settings: AgentSettings,
    requestId: RequestId | null,
  ): Promise<Agent> {
    await accessChanged(tx, this.#wakes, grant.organizationId);
    const agent = await read(tx, grant, "lock");
    if (settings.owner_id !== undefined) {
      const owner = await findPerson(tx, grant.organizationId, settings.owner_id);
      if (owner === undefined || owner.role === "guest") {
        throw invalidRequest([{ path: "owner_id", message: "expected an active member who is no guest" }]);
      }
    }
    const changed: Agent = {
      ...agent,
      slug: settings.slug ?? agent.slug,
      owner_id: settings.owner_id ?? agent.owner_id,
      access_mode: settings.access_mode ?? agent.access_mode,
      api_access: settings.api_access ?? agent.api_access,
    };
    await orSlugTaken(changed.slug, store.writeAgent(tx, grant.organizationId, changed));
    const { slug, owner_id, access_mode, api_access } = agent;
    const details = { before: { slug, owner_id, access_mode, api_access }, after: settings as Json };
    await record(tx, grant, "agent.update", details, requestId);
    return read(tx, grant);
  }

  /** @throws not_found, already_exists when the agent has threads */
  async delete(tx: Transaction, grant: Grant<"agent.share">, requestId: RequestId | null): Promise<void> {
    await accessChanged(tx, this.#wakes, grant.organizationId); // no thread is made from here on
    const agent = await read(tx, grant, "lock");
    if (await store.hasThreads(tx, keyOf(grant))) {
      throw new CallboardError("already_exists", `agent ${agent.slug} has threads; delete them first, or unpublish it`);
    }
    await store.deleteAgentRow(tx, keyOf(grant));
    await record(tx, grant, "agent.delete", { slug: agent.slug }, requestId);
  }

  /** Freezes the draft as the next version and makes it live. @throws not_found, draft_invalid */
  async publish(tx: Transaction, grant: Grant<"agent.edit">, requestId: RequestId | null): Promise<AgentVersion> {
    await accessChanged(tx, this.#wakes, grant.organizationId);
    const agent = await read(tx, grant, "lock");
    await this.#refuseInvalid(tx, grant.organizationId, agent.slug, agent.draft);
    const version = agent.latest_version + 1;
    const publishedBy = grant.caller.userId;
    await store.insertVersionRow(tx, keyOf(grant), { version, config: agent.draft, publishedBy });
    await store.writeAgent(tx, grant.organizationId, { ...agent, live_version: version, latest_version: version });
    await record(tx, grant, "agent.publish", { version }, requestId);
    return readVersion(tx, grant, version);
  }

  /** Takes the live version away; the versions stay. Repeating it succeeds. @throws not_found */
  async unpublish(tx: Transaction, grant: Grant<"agent.edit">, requestId: RequestId | null): Promise<Agent> {
    await accessChanged(tx, this.#wakes, grant.organizationId);
    const agent = await read(tx, grant, "lock");
    if (agent.live_version === null) return agent;
    await store.writeAgent(tx, grant.organizationId, { ...agent, live_version: null });
    await record(tx, grant, "agent.unpublish", { version: agent.live_version }, requestId);
    return read(tx, grant);
  }

  /** Makes an older version live again, if its tools and connections still exist. @throws not_found, draft_invalid */
  async activate(
    tx: Transaction,
    grant: Grant<"agent.edit">,
    version: string,
    requestId: RequestId | null,
  ): Promise<AgentVersion> {
    await accessChanged(tx, this.#wakes, grant.organizationId);
    const agent = await read(tx, grant, "lock");
    const wanted = await readVersion(tx, grant, parseVersion(version));
    await this.#refuseInvalid(tx, grant.organizationId, agent.slug, wanted.config);
    await store.writeAgent(tx, grant.organizationId, { ...agent, live_version: wanted.version });
    await record(tx, grant, "agent.activate", { before: agent.live_version, after: wanted.version }, requestId);
    return { ...wanted, live: true };
  }

  /** Newest first. @throws invalid_request for a wrong cursor */
  async versions(sql: Sql, grant: Grant<"agent.read">, page: Page): Promise<Listed<AgentVersion>> {
    const before = Number(decodeCursor(page.cursor, "integer") ?? MAX_VERSION);
    const rows = await store.listVersionRows(sql, keyOf(grant), before, page.limit + 1);
    return toPage(rows, page.limit, (row) => row.version, same);
  }

  /** @throws not_found */
  version(sql: Sql, grant: Grant<"agent.read">, version: string): Promise<AgentVersion> {
    return readVersion(sql, grant, parseVersion(version));
  }

  /** Compares two versions, or one with the draft. @throws not_found */
  async diff(sql: Sql, grant: Grant<"agent.read">, { from, to }: RouteQuery<"agents.diff">): Promise<AgentDiff> {
    const agent = await read(sql, grant);
    const config = async (name: string): Promise<Json> => {
      const found = name === "draft" ? agent.draft : (await readVersion(sql, grant, parseVersion(name))).config;
      return found as Json; // it came from a JSON column
    };
    return { from, to, changes: diff(await config(from), await config(to)) };
  }

  /** Who is invited, beside the owner. @throws not_found */
  async access(sql: Sql, grant: About): Promise<AgentAccess> {
    const found = await this.facts(sql, grant.organizationId, grant.subject);
    if (found === undefined) throw notFound();
    return { users: [...found.invitedUsers], groups: [...found.invitedGroups] };
  }

  /** @throws not_found, invalid_request for people and groups that are not the organization's */
  async setAccess(
    tx: Transaction,
    grant: Grant<"agent.share">,
    body: AgentAccess,
    requestId: RequestId | null,
  ): Promise<AgentAccess> {
    await accessChanged(tx, this.#wakes, grant.organizationId);
    const before = await this.access(tx, grant);
    await requireMembers(tx, grant.organizationId, "users", body.users);
    await requireGroups(tx, grant.organizationId, "groups", body.groups);
    await store.writeAccess(tx, keyOf(grant), body);
    await record(tx, grant, "agent.set_access", { before, after: body }, requestId);
    return this.access(tx, grant);
  }

  /** Names an agent whose live version uses that model connection: for deleting connections. */
  async userOfConnection(sql: Sql, organizationId: OrganizationId, slug: string): Promise<string | undefined> {
    const agent = await store.liveUserOf(sql, organizationId, slug);
    return agent === undefined ? undefined : `agent ${agent}`;
  }

  async #refuseInvalid(tx: Sql, organizationId: OrganizationId, slug: string, config: Agent["draft"]): Promise<void> {
    const models = await this.#connections.problems(tx, organizationId, config.model);
    const calls = config.agents.length === 0 ? [] : await this.#callProblems(tx, organizationId, slug, config.agents);
    const groups = await groupProblems(tx, organizationId, config.approvals);
    const draft = draftProblems(config, this.#toolNames(), this.#inputSchemaOf);
    refuseProblems(slug, [...draft, ...models, ...calls, ...groups]);
  }

  /** Publishing locks the organization, so two agents that would call each other are not published side by side. */
  async #callProblems(tx: Sql, organizationId: OrganizationId, slug: string, callees: string[]) {
    const known = await store.knownSlugs(tx, organizationId, callees);
    return callProblems(slug, callees, known, await store.liveCalls(tx, organizationId));
  }
}

type Listed<T> = { data: T[]; next_cursor: string | null };
const same = <T>(value: T): T => value;
const MAX_VERSION = 1_000_000_000;

const notFound = (thing = "agent") => new CallboardError("not_found", `there is no such ${thing} for this caller`);
const keyOf = (grant: About) => ({ organizationId: grant.organizationId, id: grant.subject });

async function read(sql: Sql, grant: About, mode: "read" | "lock" = "read"): Promise<Agent> {
  const agent = await store.readAgentRow(sql, keyOf(grant), mode);
  if (agent === undefined) throw notFound();
  return agent;
}

async function readVersion(sql: Sql, grant: About, version: number): Promise<AgentVersion> {
  const found = await store.readVersion(sql, keyOf(grant), version);
  if (found === undefined) throw notFound("version");
  return found;
}

function parseVersion(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw notFound("version");
  return Number(text);
}

async function orSlugTaken(slug: string, write: Promise<void>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new CallboardError("slug_taken", `another agent has the slug ${slug}`);
  }
}

function record(
  tx: Transaction,
  { caller, subject }: About,
  action: AuditAction,
  details: Record<string, Json>,
  requestId: RequestId | null,
): Promise<void> {
  return audit(tx, { actor: { caller }, action, target: subject, outcome: "done", details, requestId });
}
