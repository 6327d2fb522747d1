import { type Agent, type AgentConfigInput, newId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorld, type World } from "../access/fixture.ts";
import { AgentDirectory, Agents } from "../agents/index.ts";
import { Connections } from "../models/connections.ts";
import { SecretKeys } from "../secrets/index.ts";
import { statement } from "../storage/index.ts";
import { agentHandlers } from "./agents.ts";
import { callerOf, codeOf, wordsOf } from "./fixture.ts";
import { modelHandlers } from "./models.ts";
import { organizationHandlers } from "./organization.ts";

let world: World;
let call: ReturnType<typeof build>["call"];
let directory: AgentDirectory;
let connections: Connections;

function build() {
  const { database: sql, wakes, acts } = world;
  connections = new Connections({ sql, wakes, keys: SecretKeys.parse(SecretKeys.generate()) });
  const agents = new Agents({ wakes, connections, toolNames: () => new Set(["search", "write"]) });
  const tools = [{ name: "search", description: "Finds", effect: "read", sensitive: false, input_schema: {} } as const];
  const handlers = {
    ...agentHandlers({ sql, acts, agents, tools: () => tools }),
    ...modelHandlers({ acts, connections, agents }),
    ...organizationHandlers({ sql, acts, wakes }),
  };
  return { call: callerOf(world, handlers) };
}

beforeAll(async () => {
  world = await createWorld();
  call = build().call;
  directory = new AgentDirectory({ sql: world.database, wakes: world.wakes });
});
afterAll(async () => {
  directory.close();
  connections.close();
  await world.end();
});

/** An organization with a demo connection. */
async function setUp(settings: { membersEditAgents?: boolean } = {}) {
  const organization = await world.organization(settings);
  await call(organization.ownerSecret, "models.create", { body: { slug: "demo", kind: "demo" } });
  const owner = organization.ownerSecret;
  const create = (
    slug: string,
    draft: Partial<AgentConfigInput> = {},
    more: Record<string, unknown> = {},
    who = owner,
  ) => call(who, "agents.create", { body: { slug, draft: { name: slug, ...draft }, ...more } });
  const publish = (slug: string) => call(owner, "agents.publish", { params: { agent_id: slug } });
  return { ...organization, ownerSecret: owner, create, publish };
}
const params = (agent: Agent | string) => ({ params: { agent_id: typeof agent === "string" ? agent : agent.id } });

describe("an agent", () => {
  test("is created as a draft, owned by its maker, and read by id and by slug", async () => {
    const { ownerSecret, userId, create } = await setUp();
    const agent = await create("triage", { instructions: "Be kind." });
    expect(agent).toMatchObject({
      slug: "triage",
      owner_id: userId,
      live_version: null,
      latest_version: 0,
      access_mode: "organization",
      api_access: true,
    });
    expect(agent.draft).toMatchObject({ name: "triage", instructions: "Be kind.", limits: { max_steps: 32 } });
    expect(await call(ownerSecret, "agents.get", params(agent))).toEqual(agent);
    expect(await call(ownerSecret, "agents.get", params("triage"))).toEqual(agent);
  });

  test("keeps its slug to itself within the organization and only there", async () => {
    const [one, other] = [await setUp(), await setUp()];
    await one.create("triage");
    await other.create("triage");
    await one.create("second");
    expect(await codeOf(one.create("triage"))).toBe("slug_taken");
    expect(
      await codeOf(call(one.ownerSecret, "agents.update", { ...params("second"), body: { slug: "triage" } })),
    ).toBe("slug_taken");
  });

  test("with text that cannot be stored is refused with its path", async () => {
    const { ownerSecret, create } = await setUp();
    for (const instructions of ["a\u0000b", "\ud800"]) {
      expect(await wordsOf(create("nul", { instructions }))).toMatchObject({
        code: "invalid_request",
        details: { fields: [{ path: "draft.instructions" }] },
      });
    }
    await create("fine");
    const body = { draft: { name: "a\u0000" } };
    expect(await codeOf(call(ownerSecret, "agents.update", { ...params("fine"), body }))).toBe("invalid_request");
  });

  test("changes only in what an update names", async () => {
    const { ownerSecret, create } = await setUp();
    const before = await create("triage", { instructions: "One" });
    const after = await call(ownerSecret, "agents.update", { ...params("triage"), body: { api_access: false } });
    const { revision, updated_at } = after;
    expect(after).toEqual({ ...before, api_access: false, revision, updated_at });
    expect(revision).not.toBe(before.revision);
    expect(await call(ownerSecret, "agents.update", { ...params("triage"), body: {} })).toEqual(after);
  });

  test("goes to a new owner only if that is an active member who is no guest", async () => {
    const { ownerSecret, create, person } = await setUp();
    const agent = await create("triage");
    const [member, guest] = [await person("member"), await person("guest")];
    const give = (owner_id: string) => call(ownerSecret, "agents.update", { ...params(agent), body: { owner_id } });
    expect(await codeOf(give(newId("user")))).toBe("invalid_request");
    expect(await codeOf(give(guest.userId))).toBe("invalid_request");
    expect((await give(member.userId)).owner_id).toBe(member.userId);
  });

  test("is deleted with its versions, unless it has threads", async () => {
    const { ownerSecret, organizationId, userId, create, publish } = await setUp();
    await create("empty");
    await publish("empty");
    await call(ownerSecret, "agents.delete", params("empty"));
    expect(await codeOf(call(ownerSecret, "agents.get", params("empty")))).toBe("not_found");

    const used = await create("used");
    const insert = statement(
      "test.thread",
      `insert into threads (organization_id, id, agent_id, state, created_by_kind, created_by_id, last_seq, variables, metadata, created_at, updated_at)
       values ($1, $2, $3, 'idle', 'user', $4, 0, '{}', '{}', now(), now())`,
    );
    await world.database.run(insert, [
      toUuid(organizationId),
      toUuid(newId("thread")),
      toUuid(used.id),
      toUuid(userId),
    ]);
    expect(await codeOf(call(ownerSecret, "agents.delete", params("used")))).toBe("already_exists");
  });
});

describe("publishing", () => {
  test("freezes the draft as versions 1, 2, 3 and makes the newest live", async () => {
    const { ownerSecret, userId, create, publish } = await setUp();
    const agent = await create("triage", { instructions: "One" });
    expect(await publish("triage")).toMatchObject({ agent_id: agent.id, version: 1, live: true, published_by: userId });
    await call(ownerSecret, "agents.update", {
      ...params(agent),
      body: { draft: { name: "triage", instructions: "Two" } },
    });
    expect(await publish("triage")).toMatchObject({ version: 2, config: { instructions: "Two" } });
    expect(await call(ownerSecret, "agents.version", { params: { agent_id: agent.id, version: "1" } })).toMatchObject({
      live: false,
      config: { instructions: "One" },
    });
    expect(await call(ownerSecret, "agents.get", params(agent))).toMatchObject({ live_version: 2, latest_version: 2 });
  });

  test("at the same time by many leaves no gap and no double number", async () => {
    const { create, publish } = await setUp();
    await create("busy");
    const versions = await Promise.all(Array.from({ length: 6 }, () => publish("busy")));
    expect(versions.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("refuses a draft with all its problems and changes nothing", async () => {
    const { ownerSecret, create, publish } = await setUp();
    await create("broken", {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a placeholder
      instructions: "Hi ${WHO}",
      tools: [{ name: "missing" }],
      model: { connection: "nowhere", fallbacks: ["demo", "gone"] },
      output_schema: { type: 1 },
      approvals: { approvers: ["owner", "group:nobody"] },
    });
    const refused = (await wordsOf(publish("broken"))) as {
      code: string;
      details: { fields: Array<{ path: string }> };
    };
    expect(refused.code).toBe("draft_invalid");
    expect(refused.details.fields.map(({ path }) => path)).toEqual([
      "instructions",
      "tools[0].name",
      "output_schema",
      "model.connection",
      "model.fallbacks[1]",
      "approvals.approvers[1]",
    ]);
    expect(await call(ownerSecret, "agents.get", params("broken"))).toMatchObject({
      live_version: null,
      latest_version: 0,
    });
  });

  test("needs a model connection", async () => {
    const { ownerSecret } = await world.organization();
    await call(ownerSecret, "agents.create", { body: { slug: "a", draft: { name: "A" } } });
    expect(await wordsOf(call(ownerSecret, "agents.publish", params("a")))).toMatchObject({
      code: "draft_invalid",
      details: { fields: [{ path: "model.connection" }] },
    });
  });

  test("can be taken back, repeatedly, and an older version made live again", async () => {
    const { ownerSecret, create, publish } = await setUp();
    await create("triage");
    await publish("triage");
    await publish("triage");
    for (let i = 0; i < 2; i++) {
      expect(await call(ownerSecret, "agents.unpublish", params("triage"))).toMatchObject({
        live_version: null,
        latest_version: 2,
      });
    }
    const activate = (version: string) =>
      call(ownerSecret, "agents.activate", { params: { agent_id: "triage", version } });
    expect(await activate("1")).toMatchObject({ version: 1, live: true });
    expect(await call(ownerSecret, "agents.get", params("triage"))).toMatchObject({
      live_version: 1,
      latest_version: 2,
    });
    expect((await publish("triage")).version).toBe(3);
    for (const version of ["0", "9", "-1", "1.5", "x", "99999999999"])
      expect(await codeOf(activate(version))).toBe("not_found");
  });

  test("lists versions newest first, page by page, and compares them", async () => {
    const { ownerSecret, create, publish } = await setUp();
    const agent = await create("triage", { instructions: "One" });
    await publish("triage");
    await call(ownerSecret, "agents.update", {
      ...params(agent),
      body: { draft: { name: "triage", instructions: "Two" } },
    });
    await publish("triage");
    await publish("triage");
    const first = await call(ownerSecret, "agents.versions", { ...params(agent), query: { limit: "2" } });
    expect(first.data.map(({ version }) => version)).toEqual([3, 2]);
    const rest = await call(ownerSecret, "agents.versions", {
      ...params(agent),
      query: { limit: "2", cursor: first.next_cursor as string },
    });
    expect([rest.data.map(({ version }) => version), rest.next_cursor]).toEqual([[1], null]);

    const compare = (query: Record<string, string>) => call(ownerSecret, "agents.diff", { ...params(agent), query });
    expect(await compare({ from: "1", to: "2" })).toEqual({
      from: "1",
      to: "2",
      changes: [{ path: "instructions", before: "One", after: "Two" }],
    });
    expect((await compare({ from: "2" })).changes).toEqual([]);
    expect(await codeOf(compare({ from: "9" }))).toBe("not_found");
    expect(await codeOf(compare({ from: "0" }))).toBe("not_found");
  });
});

describe("a caller of another organization", () => {
  test("gets for an agent there exactly what it gets for one that does not exist", async () => {
    const [home, away] = [await setUp(), await setUp()];
    const foreign = await away.create("secret-agent");
    await away.publish("secret-agent");
    const body = { draft: { name: "x" }, users: [], groups: [] };
    const ask = (agent_id: string) => ({
      get: wordsOf(call(home.ownerSecret, "agents.get", { params: { agent_id } })),
      update: wordsOf(call(home.ownerSecret, "agents.update", { params: { agent_id }, body: { draft: body.draft } })),
      delete: wordsOf(call(home.ownerSecret, "agents.delete", { params: { agent_id } })),
      publish: wordsOf(call(home.ownerSecret, "agents.publish", { params: { agent_id } })),
      unpublish: wordsOf(call(home.ownerSecret, "agents.unpublish", { params: { agent_id } })),
      versions: wordsOf(call(home.ownerSecret, "agents.versions", { params: { agent_id } })),
      version: wordsOf(call(home.ownerSecret, "agents.version", { params: { agent_id, version: "1" } })),
      activate: wordsOf(call(home.ownerSecret, "agents.activate", { params: { agent_id, version: "1" } })),
      diff: wordsOf(call(home.ownerSecret, "agents.diff", { params: { agent_id }, query: { from: "1" } })),
      getAccess: wordsOf(call(home.ownerSecret, "agents.getAccess", { params: { agent_id } })),
      setAccess: wordsOf(
        call(home.ownerSecret, "agents.setAccess", { params: { agent_id }, body: { users: [], groups: [] } }),
      ),
      call: world.as(home.ownerSecret).then((caller) => wordsOf(directory.forCall(caller, agent_id))),
    });
    const settled = async (asked: ReturnType<typeof ask>) =>
      Object.fromEntries(await Promise.all(Object.entries(asked).map(async ([name, words]) => [name, await words])));
    const absent = await settled(ask(newId("agent")));
    for (const words of Object.values(absent)) expect(words).toMatchObject({ code: "not_found" });
    for (const id of [foreign.id, "secret-agent", "no-such-agent", "../etc", "a\u0000b", newId("thread"), ""]) {
      expect(await settled(ask(id))).toEqual(absent);
    }
  });
});

describe("who sees, edits and shares an agent", () => {
  test("a list shows what its reader may read, by slug and page by page", async () => {
    const { ownerSecret, create, publish, person, service } = await setUp();
    const member = await person("member");
    const guest = await person("guest");
    const group = await call(ownerSecret, "groups.create", {
      body: { slug: "support", name: "Support", user_ids: [member.userId] },
    });
    const invite = (slug: string, body: { users: string[]; groups: string[] }) =>
      call(ownerSecret, "agents.setAccess", { ...params(slug), body });
    const open = await create("b-open");
    await create("a-mine", {}, { access_mode: "invited" });
    await create("c-invited", {}, { access_mode: "invited" });
    await create("d-group", {}, { access_mode: "invited" });
    await invite("c-invited", { users: [member.userId], groups: [] });
    await invite("d-group", { users: [], groups: [group.id] });
    await publish("b-open");
    const bot = await service({ agent_ids: [open.id, (await call(ownerSecret, "agents.get", params("a-mine"))).id] });
    const slugs = async (who: string, query = {}) =>
      (await call(who, "agents.list", { query })).data.map(({ slug }) => slug);

    expect(await slugs(ownerSecret)).toEqual(["a-mine", "b-open", "c-invited", "d-group"]);
    expect(await slugs(member.secret)).toEqual(["b-open", "c-invited", "d-group"]);
    expect(await slugs(guest.secret)).toEqual(["b-open"]);
    expect(await slugs(bot.secret)).toEqual(["b-open"]);
    for (const [who, expected] of [
      [ownerSecret, ["accepted", "accepted", "accepted", "accepted"]],
      [member.secret, ["forbidden", "accepted", "accepted", "accepted"]],
      [guest.secret, ["forbidden", "accepted", "forbidden", "forbidden"]],
      [bot.secret, ["accepted", "accepted", "not_found", "not_found"]],
    ] as const) {
      const read = (slug: string) => codeOf(call(who, "agents.get", params(slug)));
      expect([await read("a-mine"), await read("b-open"), await read("c-invited"), await read("d-group")]).toEqual(
        expected,
      );
    }
    const first = await call(ownerSecret, "agents.list", { query: { limit: "3" } });
    expect(await slugs(ownerSecret, { limit: "3", cursor: first.next_cursor })).toEqual(["d-group"]);
    expect(await codeOf(call(ownerSecret, "agents.list", { query: { cursor: "?" } }))).toBe("invalid_request");
  });

  test("members create and edit where the organization allows it, and share only their own", async () => {
    const closed = await setUp();
    expect(await codeOf(closed.create("x", {}, {}, (await closed.person("member")).secret))).toBe("forbidden");

    const open = await setUp({ membersEditAgents: true });
    const member = await open.person("member");
    expect(await codeOf(open.create("x", {}, {}, (await open.person("guest")).secret))).toBe("forbidden");
    await open.create("own", {}, {}, member.secret);
    await open.create("others");
    const update = (slug: string, body: unknown) =>
      codeOf(call(member.secret, "agents.update", { ...params(slug), body }));
    expect(await update("own", { access_mode: "invited", draft: { name: "B" } })).toBe("accepted");
    expect(await update("others", { draft: { name: "B" } })).toBe("accepted");
    expect(await update("others", { access_mode: "invited" })).toBe("forbidden");
    expect(await update("others", { draft: { name: "C" }, api_access: false })).toBe("forbidden");
    expect((await call(open.ownerSecret, "agents.get", params("others"))).draft.name).toBe("B");
    expect(await codeOf(call(member.secret, "agents.delete", params("others")))).toBe("forbidden");
  });

  test("invitations name members and groups of the organization", async () => {
    const [home, away] = [await setUp(), await setUp()];
    await home.create("triage");
    const stranger = await away.person("member");
    const set = (body: unknown) => call(home.ownerSecret, "agents.setAccess", { ...params("triage"), body });
    expect(await wordsOf(set({ users: [home.userId, stranger.userId], groups: [newId("group")] }))).toMatchObject({
      code: "invalid_request",
      details: { fields: [{ path: "users[1]" }] },
    });
    expect(await set({ users: [home.userId, home.userId], groups: [] })).toEqual({ users: [home.userId], groups: [] });
    expect(await call(home.ownerSecret, "agents.getAccess", params("triage"))).toEqual({
      users: [home.userId],
      groups: [],
    });
  });

  test("what was done and what was refused is in the audit log, newest first", async () => {
    const { ownerSecret, userId, create, publish, person } = await setUp();
    const member = await person("member");
    const agent = await create("triage");
    await publish("triage");
    await codeOf(call(member.secret, "agents.delete", params(agent)));
    const { data } = await call(ownerSecret, "audit.list", { query: { limit: "3" } });
    expect(data.map(({ action, target, outcome, actor }) => [action, target, outcome, actor.id])).toEqual([
      ["agent.delete", agent.id, "refused", member.userId],
      ["agent.publish", agent.id, "done", userId],
      ["agent.create", agent.id, "done", userId],
    ]);
    expect(data[0]).toMatchObject({ details: { code: "forbidden" }, request_id: expect.stringMatching(/^req_/) });
  });
});

describe("the directory of callable agents", () => {
  const forCall = async (who: string, slug: string) => directory.forCall(await world.as(who), slug);

  test("answers with the live version and the epoch it is true for", async () => {
    const { ownerSecret, create, publish } = await setUp();
    const agent = await create("triage", { instructions: "One" });
    await publish("triage");
    const caller = await world.as(ownerSecret);
    const found = await directory.forCall(caller, "triage");
    expect(found).toMatchObject({
      agentId: agent.id,
      version: 1,
      epoch: caller.epoch,
      config: { instructions: "One" },
    });
    expect(await directory.forCall(caller, agent.id)).toMatchObject({ agentId: agent.id, version: 1 });
  });

  test("follows every change at once", async () => {
    const { ownerSecret, create, publish } = await setUp();
    const agent = await create("triage", { instructions: "One" });
    const code = () => codeOf(forCall(ownerSecret, "triage"));
    expect(await code()).toBe("agent_not_published");
    await publish("triage");
    expect((await forCall(ownerSecret, "triage")).version).toBe(1);
    await publish("triage");
    expect((await forCall(ownerSecret, "triage")).version).toBe(2);
    await call(ownerSecret, "agents.activate", { params: { agent_id: agent.id, version: "1" } });
    expect((await forCall(ownerSecret, "triage")).version).toBe(1);
    await call(ownerSecret, "agents.update", { ...params(agent), body: { api_access: false } });
    expect(await code()).toBe("api_access_disabled");
    await call(ownerSecret, "agents.update", { ...params(agent), body: { api_access: true, slug: "renamed" } });
    expect(await code()).toBe("not_found");
    expect((await forCall(ownerSecret, "renamed")).agentId).toBe(agent.id);
    await call(ownerSecret, "agents.unpublish", params(agent));
    expect(await codeOf(forCall(ownerSecret, "renamed"))).toBe("agent_not_published");
  });

  test("lets in whom the access mode lets in, at once", async () => {
    const { ownerSecret, create, publish, person } = await setUp();
    const member = await person("member");
    await create("triage", {}, { access_mode: "invited" });
    await publish("triage");
    const set = (users: string[]) =>
      call(ownerSecret, "agents.setAccess", { ...params("triage"), body: { users, groups: [] } });
    expect(await codeOf(forCall(member.secret, "triage"))).toBe("forbidden");
    await set([member.userId]);
    expect(await codeOf(forCall(member.secret, "triage"))).toBe("accepted");
    await set([]);
    expect(await codeOf(forCall(member.secret, "triage"))).toBe("forbidden");
  });

  test("keeps out a person who was removed and came back, until invited again", async () => {
    const { ownerSecret, organizationId, create, publish, person } = await setUp();
    const member = await person("member");
    await create("triage", {}, { access_mode: "invited" });
    await publish("triage");
    const body = { users: [member.userId], groups: [] };
    await call(ownerSecret, "agents.setAccess", { ...params("triage"), body });
    const address = (await call(member.secret, "me.get")).user?.email;
    await call(ownerSecret, "members.remove", { params: { user_id: member.userId } });
    await call(ownerSecret, "members.add", { body: { email: address, name: "Back" } });
    const secret = await world.secretOf({ organizationId }, member.userId);
    expect(await codeOf(forCall(secret, "triage"))).toBe("forbidden");
  });

  test("passes to who removes its owner, or to the first owner of the organization, and does not come back", async () => {
    const { ownerSecret, organizationId, create, person } = await setUp();
    const owner = (await call(ownerSecret, "me.get")).user?.user_id as never;
    const ownerOf = async (slug: string) => (await call(ownerSecret, "agents.get", params(slug))).owner_id;
    const [first, second] = [await person("admin"), await person("admin")];
    for (const { userId, slug } of [
      { userId: first.userId, slug: "firsts" },
      { userId: second.userId, slug: "seconds" },
    ]) {
      await create(slug, {}, { access_mode: "invited" });
      await call(ownerSecret, "agents.update", { ...params(slug), body: { owner_id: userId } });
    }
    await call(ownerSecret, "members.remove", { params: { user_id: first.userId } });
    expect(await ownerOf("firsts")).toBe(owner);
    const address = (await call(second.secret, "me.get")).user?.email;
    await call(second.secret, "members.remove", { params: { user_id: second.userId } });
    expect(await ownerOf("seconds")).toBe(owner);
    await call(ownerSecret, "members.add", { body: { email: address, name: "Back" } });
    const back = await world.secretOf({ organizationId }, second.userId);
    expect(await codeOf(call(back, "agents.get", params("seconds")))).toBe("forbidden");
  });

  test("tells a caller who is out of date the epoch of now", async () => {
    const { ownerSecret, create, publish } = await setUp();
    await create("triage");
    await publish("triage");
    const stale = await world.as(ownerSecret);
    await publish("triage");
    const found = await directory.forCall(stale, "triage");
    expect(found.version).toBe(2);
    expect(found.epoch).toBeGreaterThan(stale.epoch);
    expect((await world.authenticator.refresh(stale)).epoch).toBe(found.epoch);
  });

  test("keeps versions for good", async () => {
    const { organizationId, create, publish } = await setUp();
    const agent = await create("triage", { instructions: "One" });
    await publish("triage");
    expect((await directory.version(organizationId, agent.id, 1)).instructions).toBe("One");
    expect(await directory.version(organizationId, agent.id, 1)).toBe(
      await directory.version(organizationId, agent.id, 1),
    );
    expect(await codeOf(directory.version(organizationId, agent.id, 2))).toBe("not_found");
  });
});

describe("model connections", () => {
  test("have one default, the first, until another takes its place", async () => {
    const { ownerSecret } = await world.organization();
    const add = (slug: string, more = {}) =>
      call(ownerSecret, "models.create", { body: { slug, kind: "demo", ...more } });
    const first = await add("first");
    const second = await add("second");
    expect([first.is_default, second.is_default]).toEqual([true, false]);
    const connection = (id: string) => ({ params: { connection_id: id } });
    expect(await codeOf(call(ownerSecret, "models.delete", connection(first.id)))).toBe("connection_in_use");
    expect(
      await codeOf(call(ownerSecret, "models.update", { ...connection(first.id), body: { is_default: false } })),
    ).toBe("invalid_request");
    await call(ownerSecret, "models.update", { ...connection(second.id), body: { is_default: true } });
    await add("third", { is_default: true });
    const { data } = await call(ownerSecret, "models.list");
    expect(data.map(({ slug, is_default }) => [slug, is_default])).toEqual([
      ["first", false],
      ["second", false],
      ["third", true],
    ]);
    await call(ownerSecret, "models.delete", connection(first.id));
    expect(await codeOf(call(ownerSecret, "models.get", connection(first.id)))).toBe("not_found");
    expect(await codeOf(add("second"))).toBe("slug_taken");
  });

  test("take a key, say that they have one, and never show it", async () => {
    const { ownerSecret, organizationId } = await world.organization();
    const made = await call(ownerSecret, "models.create", {
      body: {
        slug: "ours",
        kind: "openai-compatible",
        base_url: "http://127.0.0.1:9/v1",
        api_key: "sk-secret",
        default_model: "m",
      },
    });
    expect(made.has_key).toBe(true);
    const everything = [made, await call(ownerSecret, "models.list"), await call(ownerSecret, "audit.list")];
    expect(JSON.stringify(everything)).not.toContain("sk-secret");
    const stored = statement("test.secret", "select secret::text as text from model_connections where id = $1");
    expect((await world.database.row<{ text: string }>(stored, [toUuid(made.id)]))?.text).not.toContain("sk-secret");
    expect(await connections.resolve(organizationId, {})).toEqual([
      { label: "ours", kind: "openai-compatible", baseUrl: "http://127.0.0.1:9/v1", apiKey: "sk-secret", modelId: "m" },
    ]);
    const gone = await call(ownerSecret, "models.update", {
      params: { connection_id: made.id },
      body: { api_key: null },
    });
    expect(gone.has_key).toBe(false);
    expect((await connections.resolve(organizationId, {}))[0]?.apiKey).toBeNull();
  });

  test("ask for the key again before it goes to another host", async () => {
    const { ownerSecret } = await world.organization();
    const made = await call(ownerSecret, "models.create", {
      body: { slug: "ours", kind: "openai-compatible", base_url: "https://a.example/v1", api_key: "sk-secret" },
    });
    const update = (body: unknown) =>
      codeOf(call(ownerSecret, "models.update", { params: { connection_id: made.id }, body }));
    expect(await update({ base_url: "https://a.example/v2" })).toBe("accepted");
    expect(await update({ base_url: "https://evil.example/v1" })).toBe("invalid_request");
    expect(await update({ base_url: null })).toBe("invalid_request");
    expect(await update({ base_url: "https://b.example/v1", api_key: "sk-other" })).toBe("accepted");
  });

  test("have an http address without a name or password in it", async () => {
    const { ownerSecret } = await world.organization();
    const add = (base_url: string) =>
      call(ownerSecret, "models.create", { body: { slug: "x", kind: "openai-compatible", base_url } });
    expect(await codeOf(add("https://user:pass@host/v1"))).toBe("invalid_request");
    await expect(add("file:///etc/passwd")).rejects.toThrow(/base_url/);
    await expect(add("javascript:alert(1)")).rejects.toThrow(/base_url/);
  });

  test("resolve to the chosen one and its fallbacks in order, without those that are gone", async () => {
    const { ownerSecret, organizationId } = await world.organization();
    const add = (slug: string, default_model: string | null) =>
      call(ownerSecret, "models.create", { body: { slug, kind: "openai", api_key: slug, default_model } });
    await add("main", "small");
    await add("spare", "spare-model");
    await add("bare", null);
    const names = async (choice: Parameters<Connections["resolve"]>[1]) =>
      (await connections.resolve(organizationId, choice)).map(({ label, modelId }) => [label, modelId]);
    expect(await names({})).toEqual([["main", "small"]]);
    expect(await names({ id: "large", fallbacks: ["gone", "bare", "spare"] })).toEqual([
      ["main", "large"],
      ["bare", "large"],
      ["spare", "spare-model"],
    ]);
    expect(await names({ connection: "gone" })).toEqual([]);
    expect(await names({ connection: "bare" })).toEqual([]);
    expect(await connections.resolve((await world.organization()).organizationId, {})).toEqual([]);
  });

  test("whose key was sealed for another row say so without the key", async () => {
    const { ownerSecret, organizationId } = await world.organization();
    const add = (slug: string, api_key: string) =>
      call(ownerSecret, "models.create", { body: { slug, kind: "openai", api_key, default_model: "m" } });
    const [a, b] = [await add("a", "sk-a"), await add("b", "sk-b")];
    const swap = statement(
      "test.swap",
      "update model_connections set secret = (select secret from model_connections where id = $1) where id = $2",
    );
    await world.database.run(swap, [toUuid(a.id), toUuid(b.id)]);
    const opened = connections.resolve(organizationId, { connection: "b" });
    await expect(opened).rejects.toThrow("the key of the model connection b cannot be opened");
    await expect(opened).rejects.not.toThrow("sk-");
  });

  test("that a live version names cannot be deleted", async () => {
    const { ownerSecret, create, publish } = await setUp();
    const spare = await call(ownerSecret, "models.create", { body: { slug: "spare", kind: "demo" } });
    await create("triage", { model: { fallbacks: ["spare"] } });
    await publish("triage");
    const remove = () => codeOf(call(ownerSecret, "models.delete", { params: { connection_id: spare.id } }));
    expect(await remove()).toBe("connection_in_use");
    await call(ownerSecret, "agents.unpublish", params("triage"));
    expect(await remove()).toBe("accepted");
  });

  test("of another organization and absent ones are not found alike", async () => {
    const [home, away] = [await setUp(), await world.organization()];
    const foreign = await call(away.ownerSecret, "models.create", { body: { slug: "theirs", kind: "demo" } });
    const ask = async (connection_id: string) => [
      await wordsOf(call(home.ownerSecret, "models.get", { params: { connection_id } })),
      await wordsOf(call(home.ownerSecret, "models.update", { params: { connection_id }, body: { is_default: true } })),
      await wordsOf(call(home.ownerSecret, "models.delete", { params: { connection_id } })),
    ];
    const absent = await ask(newId("modelConnection"));
    expect(absent).toEqual(Array(3).fill(expect.objectContaining({ code: "not_found" })));
    for (const id of [foreign.id, "theirs", "", "a\u0000"]) expect(await ask(id)).toEqual(absent);
  });

  test("are managed by owners and admins only", async () => {
    const { person, service } = await setUp();
    const add = (who: string) => codeOf(call(who, "models.create", { body: { slug: "mine", kind: "demo" } }));
    expect(await add((await person("member")).secret)).toBe("forbidden");
    expect(await add((await service({ scopes: ["models:write"] })).secret)).toBe("forbidden");
    expect(await add((await person("admin")).secret)).toBe("accepted");
    expect(await codeOf(call((await person("guest")).secret, "models.list"))).toBe("forbidden");
  });
});

test("the tools of the server are listed for those who may read agents", async () => {
  const { ownerSecret, service } = await setUp();
  expect((await call(ownerSecret, "tools.list")).data.map(({ name }) => name)).toEqual(["search"]);
  expect(await codeOf(call((await service({ scopes: ["threads:read"] })).secret, "tools.list"))).toBe(
    "insufficient_scope",
  );
});
