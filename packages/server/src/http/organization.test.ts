import { newId, type Role, scopes, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorld, type World } from "../access/fixture.ts";
import { findPerson, hasOrganization } from "../access/index.ts";
import { statement } from "../storage/index.ts";
import { callerOf, codeOf, wordsOf } from "./fixture.ts";
import { organizationHandlers } from "./organization.ts";
import { tokenHandlers } from "./tokens.ts";

let world: World;
let call: ReturnType<typeof build>;

function build() {
  const { database: sql, wakes, acts } = world;
  return callerOf(world, { ...organizationHandlers({ sql, acts, wakes }), ...tokenHandlers({ sql, acts, wakes }) });
}
beforeAll(async () => {
  world = await createWorld();
  call = build();
});
afterAll(() => world.end());

const member = (user_id: string) => ({ params: { user_id } });
const email = () => `${newId("user")}@example.com`;

describe("who is asking", () => {
  test("is told with organization, person and scopes", async () => {
    const { ownerSecret, organizationId, userId, service } = await world.organization({ name: "Acme" });
    expect(await call(ownerSecret, "me.get")).toMatchObject({
      organization: { id: organizationId, name: "Acme", raw_runs: false },
      kind: "user",
      user: { user_id: userId, role: "owner", suspended: false },
    });
    const bot = await service();
    expect(await call(bot.secret, "me.get")).toMatchObject({
      kind: "service",
      user: null,
      token_id: bot.token.id,
      scopes: ["agents:read", "threads:read", "threads:write"],
    });
    expect(await hasOrganization(world.database)).toBe(true);
  });
});

describe("the organization", () => {
  test("is changed by owners and admins, and the change holds at once", async () => {
    const { ownerSecret, person } = await world.organization();
    const worker = await person("member");
    const update = (who: string) => codeOf(call(who, "organization.update", { body: { members_edit_agents: true } }));
    expect((await world.as(worker.secret)).membersEditAgents).toBe(false);
    expect(await update(worker.secret)).toBe("forbidden");
    expect(await update((await person("admin")).secret)).toBe("accepted");
    expect((await world.as(worker.secret)).membersEditAgents).toBe(true);
    expect(await call(ownerSecret, "organization.get")).toMatchObject({ name: "Acme", members_edit_agents: true });
    expect(await codeOf(call(ownerSecret, "organization.update", { body: { name: "a\u0000" } }))).toBe(
      "invalid_request",
    );
  });
});

describe("members", () => {
  test("are added once, in any spelling of the address, and listed in the order of coming", async () => {
    const { ownerSecret, userId } = await world.organization();
    const address = email();
    const added = await call(ownerSecret, "members.add", { body: { email: address, name: "Ada" } });
    expect(added).toMatchObject({ email: address, name: "Ada", role: "member", suspended: false });
    const again = { body: { email: address.toUpperCase(), name: "Ada" } };
    expect(await codeOf(call(ownerSecret, "members.add", again))).toBe("already_exists");
    const first = await call(ownerSecret, "members.list", { query: { limit: "1" } });
    expect(first.data.map(({ user_id }) => user_id)).toEqual([userId]);
    const query = { limit: "1", cursor: first.next_cursor as string };
    expect(await call(ownerSecret, "members.list", { query })).toMatchObject({
      data: [{ user_id: added.user_id }],
      next_cursor: null,
    });
  });

  test("are added and changed by owners, and by admins below themselves", async () => {
    const { person } = await world.organization();
    const admin = await person("admin");
    const add = (role: Role) =>
      codeOf(call(admin.secret, "members.add", { body: { email: email(), name: "X", role } }));
    expect([await add("owner"), await add("admin"), await add("member"), await add("guest")]).toEqual([
      "forbidden",
      "forbidden",
      "accepted",
      "accepted",
    ]);
    const [peer, worker] = [await person("admin"), await person("member")];
    const change = (who: string, user: string, body: unknown) =>
      codeOf(call(who, "members.update", { ...member(user), body }));
    expect(await change(admin.secret, peer.userId, { role: "member" })).toBe("forbidden");
    expect(await change(admin.secret, worker.userId, { role: "admin" })).toBe("forbidden");
    expect(await change(admin.secret, worker.userId, { role: "guest" })).toBe("accepted");
    expect(await change(admin.secret, admin.userId, { role: "owner" })).toBe("forbidden");
    expect(await change(worker.secret, worker.userId, { role: "owner" })).toBe("forbidden");
    expect(await change(admin.secret, admin.userId, { role: "member" })).toBe("accepted");
    expect(await change(admin.secret, worker.userId, { role: "member" })).toBe("forbidden");
  });

  test("always include an active owner", async () => {
    const { ownerSecret, userId, person } = await world.organization();
    const step = (body: unknown) => codeOf(call(ownerSecret, "members.update", { ...member(userId), body }));
    expect(await step({ role: "member" })).toBe("last_owner");
    expect(await codeOf(call(ownerSecret, "members.remove", member(userId)))).toBe("last_owner");
    const second = await person("owner");
    await call(ownerSecret, "members.update", { ...member(second.userId), body: { suspended: true } });
    expect(await step({ role: "member" })).toBe("last_owner");
    await call(ownerSecret, "members.update", { ...member(second.userId), body: { suspended: false } });
    expect(await step({ role: "member" })).toBe("accepted");
  });

  test("always include an owner, also when two owners send each other away at once", async () => {
    for (let round = 0; round < 5; round++) {
      const { ownerSecret, userId, organizationId, person } = await world.organization();
      const other = await person("owner");
      const codes = await Promise.all([
        codeOf(call(ownerSecret, "members.remove", member(other.userId))),
        codeOf(call(other.secret, "members.update", { ...member(userId), body: { role: "member" } })),
      ]);
      expect(codes.filter((code) => code === "accepted")).toHaveLength(1);
      const owners = [
        await findPerson(world.database, organizationId, userId),
        await findPerson(world.database, organizationId, other.userId),
      ];
      expect(owners.filter((one) => one?.role === "owner")).toHaveLength(1);
    }
  });

  test("who are removed lose tokens and groups for good", async () => {
    const { ownerSecret, organizationId, person } = await world.organization();
    const worker = await person("member");
    const { email: address } = await call(worker.secret, "me.get").then(({ user }) => ({
      email: user?.email as string,
    }));
    await call(ownerSecret, "groups.create", { body: { slug: "g", name: "G", user_ids: [worker.userId] } });
    await call(ownerSecret, "members.remove", member(worker.userId));
    expect(await codeOf(world.as(worker.secret))).toBe("unauthenticated");
    expect(await findPerson(world.database, organizationId, worker.userId)).toBeUndefined();
    const back = await call(ownerSecret, "members.add", { body: { email: address, name: "Back" } });
    expect(back.user_id).toBe(worker.userId);
    expect(await codeOf(world.as(worker.secret))).toBe("unauthenticated");
    expect((await call(ownerSecret, "groups.list")).data[0]?.user_ids).toEqual([]);
  });

  test("of another organization and absent ones are not found alike", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const ask = async (id: string) => [
      await wordsOf(call(home.ownerSecret, "members.update", { ...member(id), body: { role: "guest" } })),
      await wordsOf(call(home.ownerSecret, "members.remove", member(id))),
    ];
    const absent = await ask(newId("user"));
    expect(absent).toEqual(Array(2).fill(expect.objectContaining({ code: "not_found" })));
    for (const id of [away.userId, "", "user_", "a\u0000", newId("group")]) expect(await ask(id)).toEqual(absent);
  });

  test("are not shown to guests and not managed by members", async () => {
    const { person } = await world.organization();
    expect(await codeOf(call((await person("guest")).secret, "members.list"))).toBe("forbidden");
    const worker = await person("member");
    expect(await codeOf(call(worker.secret, "members.list"))).toBe("accepted");
    expect(await codeOf(call(worker.secret, "members.remove", member("a\u0000")))).toBe("forbidden");
  });
});

describe("groups", () => {
  test("are created, changed and deleted, and their members' callers know them", async () => {
    const { ownerSecret, person } = await world.organization();
    const [a, b] = [await person("member"), await person("member")];
    const body = { slug: "support", name: "Support", user_ids: [a.userId, a.userId] };
    const group = await call(ownerSecret, "groups.create", { body });
    expect(group).toMatchObject({ slug: "support", user_ids: [a.userId] });
    expect((await world.as(a.secret)).groups).toEqual([{ id: group.id, slug: "support" }]);
    const changed = { params: { group_id: group.id }, body: { name: "Help", user_ids: [b.userId] } };
    expect(await call(ownerSecret, "groups.update", changed)).toMatchObject({ name: "Help", user_ids: [b.userId] });
    expect([(await world.as(a.secret)).groups, (await world.as(b.secret)).groups.length]).toEqual([[], 1]);
    expect(await codeOf(call(ownerSecret, "groups.create", { body }))).toBe("slug_taken");
    await call(ownerSecret, "groups.delete", { params: { group_id: group.id } });
    expect((await call(ownerSecret, "groups.list")).data).toEqual([]);
    expect((await world.as(b.secret)).groups).toEqual([]);
  });

  test("hold members of the organization only", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const create = (user_ids: string[]) =>
      call(home.ownerSecret, "groups.create", { body: { slug: "g", name: "G", user_ids } });
    const foreign = await wordsOf(create([home.userId, away.userId]));
    expect(foreign).toMatchObject({ code: "invalid_request", details: { fields: [{ path: "user_ids[1]" }] } });
    expect(await wordsOf(create([home.userId, newId("user")]))).toEqual(foreign);
  });

  test("of another organization and absent ones are not found alike", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const theirs = await call(away.ownerSecret, "groups.create", { body: { slug: "g", name: "G" } });
    const ask = async (group_id: string) => [
      await wordsOf(call(home.ownerSecret, "groups.update", { params: { group_id }, body: { name: "x" } })),
      await wordsOf(call(home.ownerSecret, "groups.delete", { params: { group_id } })),
    ];
    const absent = await ask(newId("group"));
    expect(absent).toEqual(Array(2).fill(expect.objectContaining({ code: "not_found" })));
    for (const id of [theirs.id, "g", ""]) expect(await ask(id)).toEqual(absent);
  });
});

describe("tokens", () => {
  const create = (who: string, body: Record<string, unknown> = {}) =>
    call(who, "tokens.create", { body: { label: "t", ...body } });

  test("are made with the usual scopes for their kind and 90 days", async () => {
    const { ownerSecret, userId } = await world.organization();
    const personal = await create(ownerSecret);
    expect(personal.token).toMatchObject({
      kind: "personal",
      user_id: userId,
      agent_ids: [],
      may_attribute: false,
      last_used_at: null,
      revoked_at: null,
    });
    expect(personal.token.scopes).toEqual(scopes.filter((scope) => scope !== "runs:raw"));
    expect(personal.secret).toMatch(/^cbp_/);
    expect(personal.secret.startsWith(personal.token.prefix)).toBe(true);
    const days = (Date.parse(personal.token.expires_at as string) - Date.parse(personal.token.created_at)) / 86_400_000;
    expect(Math.round(days)).toBe(90);
    const service = await create(ownerSecret, { kind: "service", expires_in_days: null });
    expect(service.token).toMatchObject({
      kind: "service",
      user_id: null,
      expires_at: null,
      scopes: ["agents:read", "threads:read", "threads:write"],
    });
    expect(service.secret).toMatch(/^cbs_/);
  });

  test("leave their secret in one answer and a hash in the database", async () => {
    const { ownerSecret } = await world.organization();
    const { token, secret } = await create(ownerSecret);
    const row = statement(
      "test.token",
      "select to_jsonb(tokens)::text as text, length(hash) as bytes from tokens where id = $1",
    );
    const stored = await world.database.row<{ text: string; bytes: number }>(row, [toUuid(token.id)]);
    expect(stored?.bytes).toBe(32);
    const kept = [
      stored?.text,
      JSON.stringify(await call(ownerSecret, "tokens.list")),
      JSON.stringify(await call(ownerSecret, "audit.list")),
    ];
    for (const text of kept) expect(text).not.toContain(secret.slice(12));
  });

  test("give no more than their maker has", async () => {
    const { ownerSecret } = await world.organization();
    const narrow = await create(ownerSecret, { scopes: ["tokens:write", "threads:read"] });
    expect(await codeOf(create(narrow.secret, { scopes: ["threads:write"] }))).toBe("forbidden");
    expect((await create(narrow.secret)).token.scopes).toEqual(["threads:read", "tokens:write"]);
    expect((await create(narrow.secret, { kind: "service" })).token.scopes).toEqual(["threads:read"]);
    expect((await create(ownerSecret, { scopes: ["runs:raw"] })).token.scopes).toEqual(["runs:raw"]);
  });

  test("of services are made by owners and admins, and by no service", async () => {
    const { ownerSecret, person } = await world.organization();
    const service = (who: string) => codeOf(create(who, { kind: "service" }));
    expect(await service((await person("member")).secret)).toBe("forbidden");
    expect(await service((await person("admin")).secret)).toBe("accepted");
    const bot = await create(ownerSecret, { kind: "service", scopes: ["tokens:write"] });
    expect(await service(bot.secret)).toBe("forbidden");
    expect(await codeOf(create(bot.secret))).toBe("forbidden");
  });

  test("of persons take no agents and no right to attribute", async () => {
    const { ownerSecret } = await world.organization();
    expect(await wordsOf(create(ownerSecret, { agent_ids: [], may_attribute: false }))).toMatchObject({
      code: "invalid_request",
      details: { fields: [{ path: "agent_ids" }, { path: "may_attribute" }] },
    });
    expect(await codeOf(create(ownerSecret, { label: "\u0000" }))).toBe("invalid_request");
  });

  test("name agents of the organization; foreign and absent ones are refused alike", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const insert = statement(
      "test.agent",
      "insert into agents (organization_id, id, slug, owner_id, access_mode, api_access, draft) values ($1, $2, 'a', $3, 'organization', true, '{}')",
    );
    const [own, foreign] = [newId("agent"), newId("agent")];
    await world.database.run(insert, [toUuid(home.organizationId), toUuid(own), toUuid(home.userId)]);
    await world.database.run(insert, [toUuid(away.organizationId), toUuid(foreign), toUuid(away.userId)]);
    const list = (agent_ids: string[]) => create(home.ownerSecret, { kind: "service", agent_ids });
    expect((await list([own, own])).token.agent_ids).toEqual([own]);
    const refused = await wordsOf(list([own, foreign]));
    expect(refused).toMatchObject({ code: "not_found" });
    expect(await wordsOf(list([own, newId("agent")]))).toEqual(refused);
    const bot = await world.as((await list([own])).secret);
    expect([...(bot.agentIds ?? [])]).toEqual([own]);
  });

  test("are listed newest first: one's own, all for admins, itself for a service", async () => {
    const { ownerSecret, person } = await world.organization();
    const worker = await person("member");
    await create(worker.secret, { label: "second" });
    await create(ownerSecret, { kind: "service", label: "bot" });
    const bot = await create(ownerSecret, { kind: "service", label: "keeper", scopes: ["tokens:write"] });
    const labels = async (who: string) => (await call(who, "tokens.list")).data.map(({ label }) => label);
    expect(await labels(worker.secret)).toEqual(["second", "test"]);
    expect(await labels(ownerSecret)).toEqual(["keeper", "bot", "second", "test", "test"]);
    expect(await labels(bot.secret)).toEqual(["keeper"]);
    const first = await call(ownerSecret, "tokens.list", { query: { limit: "4" } });
    const rest = await call(ownerSecret, "tokens.list", { query: { limit: "4", cursor: first.next_cursor as string } });
    expect([first.data.length, rest.data.length, rest.next_cursor]).toEqual([4, 1, null]);
  });

  test("are revoked by their owner and by those above, repeatedly", async () => {
    const { ownerSecret, person } = await world.organization();
    const [admin, worker, colleague] = [await person("admin"), await person("member"), await person("member")];
    const { token, secret } = await create(worker.secret);
    const revoke = (who: string, id: string = token.id) => call(who, "tokens.revoke", { params: { token_id: id } });
    expect(await codeOf(revoke(colleague.secret))).toBe("not_found");
    const revoked = await revoke(admin.secret);
    expect(revoked.revoked_at).not.toBeNull();
    expect(await revoke(admin.secret)).toEqual(revoked);
    expect(await codeOf(world.as(secret))).toBe("unauthenticated");
    const above = await create(ownerSecret);
    expect(await codeOf(revoke(admin.secret, above.token.id))).toBe("forbidden");
    const own = await create(worker.secret);
    expect(await codeOf(revoke(own.secret, own.token.id))).toBe("accepted");
  });

  test("of another organization and absent ones are not found alike", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const { token } = await create(away.ownerSecret);
    const ask = (token_id: string) => wordsOf(call(home.ownerSecret, "tokens.revoke", { params: { token_id } }));
    const absent = await ask(newId("token"));
    expect(absent).toMatchObject({ code: "not_found" });
    for (const id of [token.id, "", "a\u0000"]) expect(await ask(id)).toEqual(absent);
  });
});

describe("the audit log", () => {
  test("is read by owners, admins and services with the scope, newest first and page by page", async () => {
    const { ownerSecret, person, service } = await world.organization();
    const worker = await person("member");
    expect(await codeOf(call(worker.secret, "audit.list"))).toBe("forbidden");
    expect(await codeOf(call((await service({ scopes: ["audit:read"] })).secret, "audit.list"))).toBe("accepted");
    const first = await call(ownerSecret, "audit.list", { query: { limit: "2" } });
    expect(first.data.map(({ action }) => action)).toEqual(["token.create", "token.create"]);
    const rest = await call(ownerSecret, "audit.list", {
      query: { limit: "200", cursor: first.next_cursor as string },
    });
    expect(rest.data.at(-1)).toMatchObject({ action: "organization.create", actor: { kind: "operator", id: null } });
    expect(rest.next_cursor).toBeNull();
  });

  test("keeps a refusal, and not the odd text it was asked with", async () => {
    const { ownerSecret, person } = await world.organization();
    const worker = await person("member");
    await codeOf(call(worker.secret, "members.remove", member("a\u0000b")));
    const { data } = await call(ownerSecret, "audit.list", { query: { limit: "1" } });
    expect(data[0]).toMatchObject({
      action: "member.remove",
      target: null,
      outcome: "refused",
      actor: { kind: "user", id: worker.userId },
    });
  });

  test("shows nothing of another organization", async () => {
    const [home, away] = [await world.organization(), await world.organization()];
    const { data } = await call(home.ownerSecret, "audit.list", { query: { limit: "200" } });
    expect(JSON.stringify(data)).not.toContain(away.userId);
  });
});
