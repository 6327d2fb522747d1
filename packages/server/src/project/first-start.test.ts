import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentConfig, scopes } from "@callboard/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  Authenticator,
  type Caller,
  editAgent,
  listAgents,
  listGroups,
  readAgent,
  readMembers,
  readModels,
  shareAgent,
} from "../access/index.ts";
import { Agents } from "../agents/index.ts";
import type { EnvModel } from "../config/index.ts";
import { Connections } from "../models/index.ts";
import { SecretKeys } from "../secrets/index.ts";
import { Database, Wakes } from "../storage/index.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { applyAgents, applyModels, localCredentials, type ProjectRooms, writeCredentials } from "./first-start.ts";
import type { AgentInFile } from "./plan.ts";

const demo: EnvModel = { slug: "demo", kind: "demo", baseUrl: null, apiKey: null, model: "demo" };
const local: EnvModel = {
  slug: "openai-compatible",
  kind: "openai-compatible",
  baseUrl: "http://127.0.0.1:9/v1",
  apiKey: "sk-0123456789",
  model: "llama",
};

let testDatabase: TestDatabase;
let rooms: ProjectRooms & { agents: Agents; connections: Connections };
let wakes: Wakes;
let root: string;
let dataDir: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "callboard-project-"));
});
afterAll(async () => {
  await close?.();
  await rm(root, { recursive: true, force: true });
});

let close: (() => Promise<void>) | undefined;
/** Each test starts with an empty database and an empty data folder. */
beforeEach(async () => {
  await close?.();
  testDatabase = await createTestDatabase();
  const database = new Database({ connectionString: testDatabase.url, poolSize: 4 });
  wakes = new Wakes(testDatabase.url, "test", () => {});
  const keys = SecretKeys.parse(SecretKeys.generate());
  const authenticator = new Authenticator({ sql: database, wakes });
  const connections = new Connections({ sql: database, wakes, keys });
  const agents = new Agents({ wakes, connections, toolNames: () => new Set(["search"]) });
  rooms = { database, authenticator, connections, agents, wakes };
  dataDir = await mkdtemp(join(root, "data-"));
  close = async () => {
    close = undefined;
    await authenticator.stop();
    connections.close();
    await wakes.close();
    await database.close();
    await testDatabase.drop();
  };
});

const start = () => localCredentials(rooms.database, dataDir, "http://127.0.0.1:4100");
async function owner(): Promise<Caller> {
  const token = (await start())?.credentials.token;
  return rooms.authenticator.authenticate(`Bearer ${token}`);
}
const file = (slug: string, more: Partial<Parameters<typeof agentConfig.parse>[0] & object> = {}): AgentInFile => ({
  slug,
  draft: agentConfig.parse({ name: slug, instructions: "Be kind.", ...more }),
  access_mode: "organization",
  api_access: true,
});

describe("credentials", () => {
  test("are made on a fresh database, work at once, and are read by the next start", async () => {
    const first = await start();
    expect(first).toMatchObject({ fresh: true, credentials: { base_url: "http://127.0.0.1:4100", agents: {} } });
    const caller = await rooms.authenticator.authenticate(`Bearer ${first?.credentials.token}`);
    expect(caller).toMatchObject({
      organizationId: first?.credentials.organization_id,
      userId: first?.credentials.user_id,
      role: "owner",
      membersEditAgents: true,
      expiresAtMs: null,
    });
    expect([...caller.scopes].sort()).toEqual([...scopes].sort());
    const second = await localCredentials(rooms.database, dataDir, "http://127.0.0.1:9999");
    expect(second).toEqual({ fresh: false, credentials: { ...first?.credentials, base_url: "http://127.0.0.1:9999" } });
  });

  test("are for their owner's eyes, also when the file was there before", async () => {
    await writeFile(join(dataDir, "credentials.json"), "{}");
    await chmod(join(dataDir, "credentials.json"), 0o644);
    await start();
    expect((await stat(join(dataDir, "credentials.json"))).mode & 0o777).toBe(0o600);
  });

  test("that were lost are not made again: the organization is there already", async () => {
    await start();
    await rm(join(dataDir, "credentials.json"));
    expect(await start()).toBeUndefined();
    await writeFile(join(dataDir, "credentials.json"), "{not json");
    expect(await start()).toBeUndefined();
  });

  test("are written whole", async () => {
    const first = await start();
    if (first === undefined) throw new Error("no credentials");
    await writeCredentials(dataDir, { ...first.credentials, agents: { helper: "agent_x" } });
    const text = await readFile(join(dataDir, "credentials.json"), "utf8");
    expect(JSON.parse(text)).toEqual({ ...first.credentials, agents: { helper: "agent_x" } });
    expect(text.endsWith("}\n")).toBe(true);
  });
});

describe("models of the environment", () => {
  const listed = async (caller: Caller) =>
    (await rooms.connections.list(readModels(caller), { limit: 50 })).data
      .map(({ slug, is_default, default_model, base_url }) => ({ slug, is_default, default_model, base_url }))
      .sort((a, b) => (a.slug < b.slug ? -1 : 1));

  test("become connections, the first of them the default, and starting again changes nothing", async () => {
    const caller = await owner();
    await applyModels(rooms, caller, [local, demo]);
    const first = await listed(caller);
    expect(first).toEqual([
      { slug: "demo", is_default: false, default_model: "demo", base_url: null },
      { slug: "openai-compatible", is_default: true, default_model: "llama", base_url: local.baseUrl },
    ]);
    await applyModels(rooms, await owner(), [local, demo]);
    expect(await listed(await owner())).toEqual(first);
  });

  test("that changed are written, and the default follows the order", async () => {
    await applyModels(rooms, await owner(), [demo]);
    await applyModels(rooms, await owner(), [{ ...local, model: "other" }, demo]);
    expect((await listed(await owner())).map(({ slug, is_default }) => [slug, is_default])).toEqual([
      ["demo", false],
      ["openai-compatible", true],
    ]);
    await applyModels(rooms, await owner(), [local, demo]);
    expect((await listed(await owner()))[1]?.default_model).toBe("llama");
    // Without its variables a connection stays, but is the default no more.
    await applyModels(rooms, await owner(), [demo]);
    expect((await listed(await owner())).map(({ slug, is_default }) => [slug, is_default])).toEqual([
      ["demo", true],
      ["openai-compatible", false],
    ]);
  });
});

describe("agents of the project", () => {
  const versions = async (caller: Caller) => {
    const list = (await rooms.agents.list(rooms.database, listAgents(caller), { limit: 50 })).data;
    return Object.fromEntries(
      list.map(({ slug, live_version, latest_version }) => [slug, [live_version, latest_version]]),
    );
  };
  const apply = async (...files: AgentInFile[]) => applyAgents(rooms, await owner(), files);

  beforeEach(async () => {
    await applyModels(rooms, await owner(), [demo]);
  });

  test("are made and published on the first start, and left alone on the next", async () => {
    const ids = await apply(file("helper"), file("triage", { tools: [{ name: "search" }] }));
    expect(Object.keys(ids)).toEqual(["helper", "triage"]);
    expect(await versions(await owner())).toEqual({ helper: [1, 1], triage: [1, 1] });
    expect(await apply(file("helper"), file("triage", { tools: [{ name: "search" }] }))).toEqual(ids);
    expect(await versions(await owner())).toEqual({ helper: [1, 1], triage: [1, 1] });
  });

  test("bring along the groups that may decide for them, without members", async () => {
    const desk = file("desk", { approvals: { approvers: ["owner", "group:finance"] } });
    await apply(desk);
    await apply(desk);
    const caller = await owner();
    const { data } = await listGroups(rooms.database, readMembers(caller), { limit: 50 });
    expect(data.map(({ slug, user_ids }) => [slug, user_ids])).toEqual([["finance", []]]);
    expect(await versions(caller)).toEqual({ desk: [1, 1] });
  });

  test("that changed get a new version, the others none, and none is deleted", async () => {
    await apply(file("helper"), file("triage"), file("gone"));
    await apply(file("helper"), file("triage", { instructions: "Be quick." }));
    expect(await versions(await owner())).toEqual({ gone: [1, 1], helper: [1, 1], triage: [2, 2] });
    const caller = await owner();
    const agent = await rooms.agents.get(
      rooms.database,
      readAgent(caller, await rooms.agents.facts(rooms.database, caller.organizationId, "triage")),
    );
    expect(agent.draft.instructions).toBe("Be quick.");
  });

  test("that were changed elsewhere are what their files say again, settings included", async () => {
    await apply(file("helper"), file("triage"));
    const caller = await owner();
    const grant = async (slug: string) => {
      const facts = await rooms.agents.facts(rooms.database, caller.organizationId, slug);
      return { edit: editAgent(caller, facts), share: shareAgent(caller, facts) };
    };
    const { edit, share } = await grant("helper");
    await rooms.database.transaction(async (tx) => {
      await rooms.agents.configure(tx, share, { access_mode: "invited", api_access: false }, null);
      await rooms.agents.unpublish(tx, (await grant("triage")).edit, null);
    });
    await apply(file("helper"), file("triage"));
    expect(await versions(await owner())).toEqual({ helper: [1, 1], triage: [2, 2] });
    expect(await rooms.agents.get(rooms.database, edit)).toMatchObject({
      access_mode: "organization",
      api_access: true,
    });
  });

  test("that cannot be published stop the start, and nothing of them is left", async () => {
    await expect(apply(file("fine"), file("broken", { tools: [{ name: "not_here" }] }))).rejects.toMatchObject({
      code: "draft_invalid",
    });
    expect(await versions(await owner())).toEqual({});
  });
});

test("the data folder may be one that others cannot read", async () => {
  dataDir = join(dataDir, "private");
  await mkdir(dataDir, { mode: 0o700 });
  expect((await start())?.fresh).toBe(true);
});
