/** A fresh database becomes a local organization with an owner, a token, model connections and the project's agents. */
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type OrganizationId, scopes, type UserId } from "@callboard/protocol";
import {
  type AccessWakes,
  type Authenticator,
  type Caller,
  createAgent,
  createOrganization,
  editAgent,
  hasOrganization,
  issueToken,
  manageModels,
  readAgent,
  readModels,
  shareAgent,
} from "../access/index.ts";
import { type Agents, approverGroups } from "../agents/index.ts";
import type { EnvModel } from "../config/index.ts";
import type { Connections } from "../models/index.ts";
import type { Database, Transaction } from "../storage/index.ts";
import { makeGroups } from "./groups.ts";
import { type AgentInFile, type FoundAgent, planAgent, publishAll } from "./plan.ts";

/** What `credentials.json` in the data folder says. */
export type Credentials = {
  base_url: string;
  token: string;
  organization_id: string;
  user_id: string;
  agents: Record<string, string>;
};

export type OwnerPlan = { email: string; name: string; organizationName: string; membersEditAgents: boolean };

/** Creates an organization with its owner and a personal token that does not expire. */
export async function createOwner(
  database: Database,
  plan: OwnerPlan,
): Promise<{ organizationId: OrganizationId; userId: UserId; token: string }> {
  return database.transaction(async (tx) => {
    const { organizationId, userId } = await createOrganization(tx, {
      name: plan.organizationName,
      membersEditAgents: plan.membersEditAgents,
      rawRuns: false,
      owner: { email: plan.email, name: plan.name },
    });
    const { secret } = await issueToken(
      tx,
      {
        organizationId,
        kind: "personal",
        label: "first token",
        userId,
        scopes: [...scopes],
        agentIds: [],
        mayAttribute: false,
        createdBy: userId,
        expiresAtMs: null,
      },
      { operatorOf: organizationId },
      null,
    );
    return { organizationId, userId, token: secret };
  });
}

/** The owner's credentials: made on a fresh database, read from the data folder after that; undefined when lost. */
export async function localCredentials(
  database: Database,
  dataDir: string,
  baseUrl: string,
): Promise<{ credentials: Credentials; fresh: boolean } | undefined> {
  if (await hasOrganization(database)) {
    const credentials = await readCredentials(dataDir);
    return credentials === undefined ? undefined : { credentials: { ...credentials, base_url: baseUrl }, fresh: false };
  }
  const owner = await createOwner(database, {
    email: "owner@example.com",
    name: "Owner",
    organizationName: "Local organization",
    membersEditAgents: true,
  });
  const credentials: Credentials = {
    base_url: baseUrl,
    token: owner.token,
    organization_id: owner.organizationId,
    user_id: owner.userId,
    agents: {},
  };
  await writeCredentials(dataDir, credentials);
  return { credentials, fresh: true };
}

const fileOf = (dataDir: string): string => join(dataDir, "credentials.json");

/** Undefined when there are none, or none that can be read. */
export async function readCredentials(dataDir: string): Promise<Credentials | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(dataDir), "utf8")) as Credentials;
  } catch {
    return undefined;
  }
}

export async function writeCredentials(dataDir: string, credentials: Credentials): Promise<void> {
  await writeFile(fileOf(dataDir), `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 });
  await chmod(fileOf(dataDir), 0o600); // an older file keeps its mode when it is written over
}

export type ProjectRooms = {
  database: Database;
  authenticator: Authenticator;
  agents: Agents;
  connections: Connections;
  wakes: Pick<AccessWakes, "send">;
};

/** Brings the environment's model connections into the organization; the first one is its default. */
export async function applyModels(rooms: ProjectRooms, caller: Caller, models: readonly EnvModel[]): Promise<void> {
  const { database, connections } = rooms;
  const known = (await connections.list(readModels(caller), { limit: 200 })).data;
  for (const [i, model] of models.entries()) {
    const isDefault = i === 0;
    const body = { base_url: model.baseUrl, default_model: model.model, is_default: isDefault };
    const before = known.find(({ slug }) => slug === model.slug);
    const same = before !== undefined && before.base_url === model.baseUrl && before.default_model === model.model;
    // The key is written again at each start: whether it changed cannot be seen without opening the old one.
    if (same && before.is_default === isDefault && model.apiKey === null) continue;
    await database.transaction(async (tx) => {
      const grant = manageModels(await rooms.authenticator.hold(caller, tx));
      const key = model.apiKey === null ? {} : { api_key: model.apiKey };
      if (before === undefined)
        await connections.create(tx, grant, { slug: model.slug, kind: model.kind, ...body, ...key }, null);
      else
        await connections.update(
          tx,
          grant,
          before.id,
          { ...body, ...key, ...(isDefault ? {} : { is_default: undefined }) } as never,
          null,
        );
    });
  }
}

/**
 * Makes the organization's agents those of the project, all or none of them, and the groups that they name as
 * approvers where they are missing. Deletes nothing.
 *
 * @returns ids by slug
 */
export function applyAgents(
  rooms: ProjectRooms,
  stale: Caller,
  files: readonly AgentInFile[],
): Promise<Record<string, string>> {
  const { database, authenticator, agents } = rooms;
  return database.transaction(async (tx) => {
    const caller = await authenticator.hold(stale, tx);
    const ids: Record<string, string> = {};
    const toPublish: string[] = [];
    await makeGroups(
      rooms.wakes,
      tx,
      caller,
      files.flatMap(({ draft }) => approverGroups(draft.approvals)),
    );
    for (const file of files) {
      const plan = planAgent(file, await findAgent(rooms, tx, caller, file.slug));
      if (plan.action === "create") await agents.create(tx, createAgent(caller), plan.body, null);
      const facts = await agents.facts(tx, caller.organizationId, file.slug);
      if (plan.action === "update") {
        const { draft, ...settings } = plan.write;
        if (Object.keys(settings).length > 0) await agents.configure(tx, shareAgent(caller, facts), settings, null);
        if (draft !== undefined) await agents.edit(tx, editAgent(caller, facts), draft, null);
      }
      if (plan.action === "create" || (plan.action === "update" && plan.publish)) toPublish.push(file.slug);
      ids[file.slug] = readAgent(caller, facts).subject;
    }
    await publishAll(toPublish, async (slug) => {
      const facts = await agents.facts(tx, caller.organizationId, slug);
      await agents.publish(tx, editAgent(caller, facts), null);
    });
    return ids;
  });
}

async function findAgent(
  { agents }: ProjectRooms,
  tx: Transaction,
  caller: Caller,
  slug: string,
): Promise<FoundAgent | undefined> {
  const facts = await agents.facts(tx, caller.organizationId, slug);
  if (facts === undefined) return undefined;
  const grant = readAgent(caller, facts);
  const agent = await agents.get(tx, grant);
  const live = agent.live_version;
  return { agent, live: live === null ? null : (await agents.version(tx, grant, String(live))).config };
}
