/** The SQL of agents, their versions and who is invited. */
import { createHash } from "node:crypto";
import {
  type AccessMode,
  type Agent,
  type AgentConfig,
  type AgentId,
  type AgentVersion,
  agentConfig,
  fromUuid,
  type OrganizationId,
  parseId,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import type { AgentFacts, Caller } from "../access/index.ts";
import { isAdmin } from "../access/index.ts";
import { type Sql, statement } from "../storage/index.ts";

const factColumns = `a.id, a.slug, a.owner_id, a.access_mode, a.api_access, a.live_version,
  array(select subject_id from agent_access x where x.organization_id = a.organization_id and x.agent_id = a.id
           and x.subject_kind = 'user' order by subject_id)::text[] as users,
  array(select subject_id from agent_access x where x.organization_id = a.organization_id and x.agent_id = a.id
           and x.subject_kind = 'group' order by subject_id)::text[] as groups`;
const columns = `a.id, a.slug, a.owner_id, a.access_mode, a.api_access, a.live_version, a.latest_version, a.draft,
  a.created_at, a.updated_at from agents a`;

// One row at least, so that the epoch is there without the agent too.
const facts = (by: "id" | "slug") => `
  select o.access_epoch, ${factColumns} from organizations o
    left join agents a on a.organization_id = o.id and a.${by} = $2 where o.id = $1`;
const factsById = statement("agents.facts-by-id", facts("id"));
const factsBySlug = statement("agents.facts-by-slug", facts("slug"));

const get = statement("agents.get", `select ${columns} where a.organization_id = $1 and a.id = $2`);
const lock = statement("agents.lock", `select ${columns} where a.organization_id = $1 and a.id = $2 for update`);
// Served by the unique index on (organization_id, slug). The same rules as `readAgent` in access/decide.ts.
const listForPerson = statement(
  "agents.list-for-person",
  `select ${columns} where a.organization_id = $1 and a.slug > $2
      and ($4::boolean or a.access_mode = 'organization' or a.owner_id = $5
           or exists (select 1 from agent_access x where x.organization_id = a.organization_id and x.agent_id = a.id
                         and (x.subject_kind = 'user' and x.subject_id = $5
                              or x.subject_kind = 'group' and x.subject_id = any($6::uuid[]))))
    order by a.slug limit $3`,
);
const listForService = statement(
  "agents.list-for-service",
  `select ${columns} where a.organization_id = $1 and a.slug > $2 and a.id = any($4::uuid[])
      and a.live_version is not null and a.api_access
    order by a.slug limit $3`,
);
const insert = statement(
  "agents.insert",
  `insert into agents (organization_id, id, slug, owner_id, access_mode, api_access, draft)
   values ($1, $2, $3, $4, $5, $6, $7)`,
);
const update = statement(
  "agents.update",
  `update agents set slug = $3, owner_id = $4, access_mode = $5, api_access = $6, draft = $7, live_version = $8,
          latest_version = $9, updated_at = now()
    where organization_id = $1 and id = $2`,
);
const remove = statement("agents.delete", "delete from agents where organization_id = $1 and id = $2");
// Served by threads_agent.
const anyThread = statement(
  "agents.any-thread",
  "select 1 from threads where organization_id = $1 and agent_id = $2 limit 1",
);

const insertVersion = statement(
  "agents.insert-version",
  `insert into agent_versions (organization_id, agent_id, version, config, published_by) values ($1, $2, $3, $4, $5)`,
);
const versionColumns = `v.agent_id, v.version, v.config, v.published_by, v.published_at, a.live_version
  from agent_versions v join agents a on a.organization_id = v.organization_id and a.id = v.agent_id`;
const getVersion = statement(
  "agents.get-version",
  `select ${versionColumns} where v.organization_id = $1 and v.agent_id = $2 and v.version = $3`,
);
// Served by the primary key, backwards.
const listVersions = statement(
  "agents.list-versions",
  `select ${versionColumns} where v.organization_id = $1 and v.agent_id = $2 and v.version < $3
    order by v.version desc limit $4`,
);
const liveUser = statement(
  "agents.uses-connection",
  `select a.slug from agents a
     join agent_versions v on v.organization_id = a.organization_id and v.agent_id = a.id and v.version = a.live_version
    where a.organization_id = $1
      and (v.config->'model'->>'connection' = $2 or v.config->'model'->'fallbacks' ? $2)
    order by a.slug limit 1`,
);

const known = statement("agents.known", "select slug from agents where organization_id = $1 and slug = any($2)");
const calls = statement(
  "agents.live-calls",
  `select a.slug, v.config->'agents' as agents from agents a
     join agent_versions v on v.organization_id = a.organization_id and v.agent_id = a.id and v.version = a.live_version
    where a.organization_id = $1 and jsonb_array_length(v.config->'agents') > 0`,
);

const clearAccess = statement(
  "agents.clear-access",
  "delete from agent_access where organization_id = $1 and agent_id = $2",
);
const fillAccess = statement(
  "agents.fill-access",
  `insert into agent_access (organization_id, agent_id, subject_kind, subject_id)
   select $1, $2, $3, unnest($4::uuid[])`,
);

type FactsRow = {
  access_epoch: number;
  id: string | null;
  slug: string;
  owner_id: string;
  access_mode: AccessMode;
  api_access: boolean;
  live_version: number | null;
  users: string[];
  groups: string[];
};
type AgentRow = Omit<Agent, "id" | "owner_id" | "revision"> & { id: string; owner_id: string };
type VersionRow = {
  agent_id: string;
  version: number;
  config: unknown;
  published_by: string | null;
  published_at: string;
  live_version: number | null;
};

const SLUG = /^[a-z0-9-]{1,64}$/;

/** Facts for decisions about the agent with that id or slug, and the epoch they are true for. */
export async function readFacts(
  sql: Sql,
  organizationId: OrganizationId,
  agentIdOrSlug: string,
): Promise<{ epoch: number; facts: AgentFacts | undefined }> {
  const id = parseId("agent", agentIdOrSlug);
  if (id === undefined && !SLUG.test(agentIdOrSlug)) return { epoch: 0, facts: undefined };
  const row =
    id === undefined
      ? await sql.row<FactsRow>(factsBySlug, [toUuid(organizationId), agentIdOrSlug])
      : await sql.row<FactsRow>(factsById, [toUuid(organizationId), toUuid(id)]);
  if (row === undefined || row.id === null) return { epoch: row?.access_epoch ?? 0, facts: undefined };
  const found: AgentFacts = {
    id: fromUuid("agent", row.id),
    slug: row.slug,
    ownerId: fromUuid("user", row.owner_id),
    accessMode: row.access_mode,
    apiAccess: row.api_access,
    liveVersion: row.live_version,
    invitedUsers: row.users.map((user) => fromUuid("user", user)),
    invitedGroups: row.groups.map((group) => fromUuid("group", group)),
  };
  return { epoch: row.access_epoch, facts: found };
}

const owned = statement("agents.owned", "select id from agents where organization_id = $1 and owner_id = $2");
/** The uuids of a person's own agents. */
export async function agentsOwnedBy(sql: Sql, organizationId: OrganizationId, userId: UserId): Promise<string[]> {
  const rows = await sql.rows<{ id: string }>(owned, [toUuid(organizationId), toUuid(userId)]);
  return rows.map(({ id }) => id);
}

// Parsed, because a row may have been written before a setting existed: it reads with that setting's default.
const toAgent = (row: AgentRow): Agent => ({
  ...row,
  id: fromUuid("agent", row.id),
  owner_id: fromUuid("user", row.owner_id),
  draft: agentConfig.parse(row.draft),
  revision: revisionOf(row),
});

/** Made of what is stored, so that servers of different age agree on it. */
function revisionOf({
  slug,
  owner_id,
  access_mode,
  api_access,
  live_version,
  latest_version,
  draft,
}: AgentRow): string {
  const facts = [slug, owner_id, access_mode, api_access, live_version, latest_version, draft];
  return createHash("sha256").update(JSON.stringify(facts)).digest("base64url").slice(0, 22);
}

const toVersion = (row: VersionRow): AgentVersion => ({
  agent_id: fromUuid("agent", row.agent_id),
  version: row.version,
  config: agentConfig.parse(row.config),
  live: row.version === row.live_version,
  published_by: row.published_by === null ? null : fromUuid("user", row.published_by),
  published_at: row.published_at,
});

type Key = { readonly organizationId: OrganizationId; readonly id: AgentId };
const keyOf = ({ organizationId, id }: Key): string[] => [toUuid(organizationId), toUuid(id)];

export async function readAgentRow(sql: Sql, key: Key, mode: "read" | "lock" = "read"): Promise<Agent | undefined> {
  const row = await sql.row<AgentRow>(mode === "lock" ? lock : get, keyOf(key));
  return row && toAgent(row);
}

/** At most `limit` agents after the slug `after` that `caller` may read. */
export async function listAgentRows(sql: Sql, caller: Caller, after: string, limit: number): Promise<Agent[]> {
  const range = [toUuid(caller.organizationId), after, limit];
  const rows =
    caller.userId === null
      ? await sql.rows<AgentRow>(listForService, [...range, [...(caller.agentIds ?? [])].map(toUuid)])
      : await sql.rows<AgentRow>(listForPerson, [
          ...range,
          isAdmin(caller),
          toUuid(caller.userId),
          caller.groups.map(({ id }) => toUuid(id)),
        ]);
  return rows.map(toAgent);
}

export type NewAgent = Key & Pick<Agent, "slug" | "owner_id" | "access_mode" | "api_access" | "draft">;

export async function insertAgent(sql: Sql, agent: NewAgent): Promise<void> {
  await sql.run(insert, [
    ...keyOf(agent),
    agent.slug,
    toUuid(agent.owner_id),
    agent.access_mode,
    agent.api_access,
    JSON.stringify(agent.draft),
  ]);
}

/** Writes every field that can change. */
export async function writeAgent(sql: Sql, organizationId: OrganizationId, agent: Agent): Promise<void> {
  await sql.run(update, [
    ...keyOf({ organizationId, id: agent.id }),
    agent.slug,
    toUuid(agent.owner_id),
    agent.access_mode,
    agent.api_access,
    JSON.stringify(agent.draft),
    agent.live_version,
    agent.latest_version,
  ]);
}

export async function deleteAgentRow(sql: Sql, key: Key): Promise<void> {
  await sql.run(remove, keyOf(key));
}

export async function hasThreads(sql: Sql, key: Key): Promise<boolean> {
  return (await sql.row(anyThread, keyOf(key))) !== undefined;
}

export async function insertVersionRow(
  sql: Sql,
  key: Key,
  version: { version: number; config: AgentConfig; publishedBy: Agent["owner_id"] | null },
): Promise<void> {
  const publishedBy = version.publishedBy === null ? null : toUuid(version.publishedBy);
  await sql.run(insertVersion, [...keyOf(key), version.version, JSON.stringify(version.config), publishedBy]);
}

export async function readVersion(sql: Sql, key: Key, version: number): Promise<AgentVersion | undefined> {
  const row = await sql.row<VersionRow>(getVersion, [...keyOf(key), version]);
  return row && toVersion(row);
}

/** At most `limit` versions below `before`, newest first. */
export async function listVersionRows(sql: Sql, key: Key, before: number, limit: number): Promise<AgentVersion[]> {
  return (await sql.rows<VersionRow>(listVersions, [...keyOf(key), before, limit])).map(toVersion);
}

/** The slug of an agent whose live version names that model connection. */
export async function liveUserOf(sql: Sql, organizationId: OrganizationId, slug: string): Promise<string | undefined> {
  return (await sql.row<{ slug: string }>(liveUser, [toUuid(organizationId), slug]))?.slug;
}

/** Those of the slugs that agents have. */
export async function knownSlugs(sql: Sql, organizationId: OrganizationId, slugs: string[]): Promise<Set<string>> {
  const rows = await sql.rows<{ slug: string }>(known, [toUuid(organizationId), slugs]);
  return new Set(rows.map(({ slug }) => slug));
}

/** Whom the agents' live versions call, by slug. */
export async function liveCalls(sql: Sql, organizationId: OrganizationId): Promise<Map<string, string[]>> {
  const rows = await sql.rows<{ slug: string; agents: string[] }>(calls, [toUuid(organizationId)]);
  return new Map(rows.map(({ slug, agents }) => [slug, agents]));
}

export async function writeAccess(
  sql: Sql,
  key: Key,
  access: { users: readonly AgentFacts["ownerId"][]; groups: AgentFacts["invitedGroups"] },
): Promise<void> {
  await sql.run(clearAccess, keyOf(key));
  await sql.run(fillAccess, [...keyOf(key), "user", [...new Set(access.users.map(toUuid))]]);
  await sql.run(fillAccess, [...keyOf(key), "group", [...new Set(access.groups.map(toUuid))]]);
}
