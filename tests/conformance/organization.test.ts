/** I1, I2, I9, A7: members, groups, tokens, model connections, audit. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, gate, message, open, openEmpty } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers are held against the contract, and read as what they are
type Anything = any;

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(({ lastUser }) => say(lastUser));
});
afterAll(() => target.stop());

/** Every entry of a list. */
async function all(path: string): Promise<Anything[]> {
  const found: Anything[] = [];
  let cursor: string | null = null;
  do {
    const query: Record<string, string | number> = { limit: 5, ...(cursor === null ? {} : { cursor }) };
    const page = ok(await target.client.get(path, { query }));
    found.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return found;
}

const addMember = async (role = "member") =>
  ok(await target.client.post("/members", { email: `${unique("kim")}@example.com`, name: "Kim", role }), 201);

test("me says who is asking, and for which organization", async () => {
  const me = ok(await target.client.get("/me"));
  expect(me).toMatchObject({ kind: "user", user: { role: "owner", suspended: false } });
  expect(ok(await target.client.get("/organization"))).toEqual(me.organization);
});

test("the organization is renamed, and its switches stay as they are", async () => {
  const { client } = target;
  const before = ok(await client.get("/organization"));
  expect(ok(await client.patch("/organization", { name: "Renamed" }))).toEqual({ ...before, name: "Renamed" });
  ok(await client.patch("/organization", { name: before.name }));
});

describe("members", () => {
  test("are added, listed once, changed, suspended and removed", async () => {
    const { client } = target;
    const { user_id } = await addMember();
    const path = `/members/${user_id}`;
    expect(ok(await client.patch(path, { role: "admin" }))).toMatchObject({ user_id, role: "admin", suspended: false });
    expect(ok(await client.patch(path, { suspended: true })).suspended).toBe(true);
    const members = await all("/members");
    expect(new Set(members.map((one) => one.user_id)).size).toBe(members.length);
    expect(members.find((one) => one.user_id === user_id)).toMatchObject({ role: "admin", suspended: true });
    expect((await client.delete(path)).status).toBe(204);
    expect((await all("/members")).some((one) => one.user_id === user_id)).toBe(false);
    expect(refusal(await client.patch(path, { role: "member" }))).toBe("404 not_found");
  });

  test("one owner stays", async () => {
    const { client } = target;
    const owners = (await all("/members")).filter((one) => one.role === "owner" && !one.suspended);
    if (owners.length > 1) return; // a server that has others: nothing to refuse
    const path = `/members/${owners[0].user_id}`;
    expect(refusal(await client.patch(path, { role: "admin" }))).toBe("409 last_owner");
    expect(refusal(await client.patch(path, { suspended: true }))).toBe("403 forbidden"); // nobody suspends himself
    expect(refusal(await client.delete(path))).toBe("409 last_owner");
    ok(await client.get("/me"));
  });
});

describe("groups", () => {
  test("are created, renamed, filled and deleted", async () => {
    const { client } = target;
    const [one, two] = [await addMember(), await addMember()];
    const group = ok(
      await client.post("/groups", { slug: unique("team"), name: "Team", user_ids: [one.user_id] }),
      201,
    );
    const path = `/groups/${group.id}`;
    expect(ok(await client.patch(path, { name: "Crew" }))).toMatchObject({ name: "Crew", user_ids: [one.user_id] });
    const users = [one.user_id, two.user_id].toSorted();
    expect(ok(await client.patch(path, { user_ids: users })).user_ids.toSorted()).toEqual(users);
    expect((await all("/groups")).find(({ id }) => id === group.id)?.user_ids.toSorted()).toEqual(users);
    expect((await client.delete(`/members/${two.user_id}`)).status).toBe(204);
    expect((await all("/groups")).find(({ id }) => id === group.id)?.user_ids).toEqual([one.user_id]);
    expect((await client.delete(path)).status).toBe(204);
    expect((await all("/groups")).some(({ id }) => id === group.id)).toBe(false);
    const stranger = "user_01h455vb4pex5vsknk084sn02q";
    const answer = await client.post("/groups", { slug: unique("team"), name: "T", user_ids: [stranger] });
    expect([404, 422]).toContain(answer.status);
  });
});

describe("tokens", () => {
  test("a secret is shown once and never again", async () => {
    const { client } = target;
    const { token, secret } = ok(await client.post("/tokens", { label: "laptop" }), 201);
    expect(secret).toMatch(/^cbp_/);
    expect(secret.startsWith(token.prefix)).toBe(true);
    const listed = await all("/tokens");
    expect(listed.find(({ id }) => id === token.id)).toMatchObject({
      label: "laptop",
      kind: "personal",
      revoked_at: null,
    });
    expect(JSON.stringify(listed)).not.toContain(secret);
    const days = (Date.parse(token.expires_at) - Date.parse(token.created_at)) / 86_400_000;
    expect(Math.round(days)).toBe(90);
    expect(
      ok(await client.post("/tokens", { label: "for ever", expires_in_days: null }), 201).token.expires_at,
    ).toBeNull();
  });

  test("a token has its scopes and gives no others", async () => {
    const { client } = target;
    const { secret } = ok(
      await client.post("/tokens", { label: "reader", scopes: ["threads:read", "tokens:write"] }),
      201,
    );
    const reader = client.as(secret);
    expect(ok(await reader.get("/me")).scopes.toSorted()).toEqual(["threads:read", "tokens:write"]);
    expect(refusal(await reader.post(`${agent.path}/threads`, {}))).toBe("403 insufficient_scope");
    expect(refusal(await reader.post("/tokens", { label: "more", scopes: ["threads:write"] }))).toBe("403 forbidden");
    expect(ok(await reader.post("/tokens", { label: "usual" }), 201).token.scopes.toSorted()).toEqual([
      "threads:read",
      "tokens:write",
    ]);
  });

  test("a revoked token is refused at once, and its open streams close", async () => {
    const { client } = target;
    const { token, secret } = ok(await client.post("/tokens", { label: "lost" }), 201);
    const lost = client.as(secret);
    const { path } = await openEmpty(lost, agent);
    const stream = await lost.stream(`${path}/events/stream`);
    const kept = await client.stream(`${path}/events/stream`);
    expect(ok(await client.post(`/tokens/${token.id}/revoke`)).revoked_at).not.toBeNull();
    expect(refusal(await lost.get("/me"))).toBe("401 unauthenticated");
    expect(await stream.next()).toBeUndefined();
    const { run } = ok(await client.post(`${path}/events`, message("still here"))).events[0];
    await kept.until(({ event }) => event === "run.completed");
    kept.close();
    await ended(client, run);
    ok(await client.post(`/tokens/${token.id}/revoke`));
  });

  test("a run goes on when the token that started it is revoked, unless it needs a right again", async () => {
    const { client } = target;
    const { token, secret } = ok(await client.post("/tokens", { label: "brief" }), 201);
    const hold = gate();
    const own = await target.agent(() => ({ steps: [{ until: hold.opened }, { text: "done" }] }));
    const { run } = await open(client.as(secret), own, "go");
    ok(await client.post(`/tokens/${token.id}/revoke`));
    hold.open();
    expect(["completed", "failed"]).toContain((await ended(client, run)).state);
  });
});

describe("service tokens", () => {
  const service = async (more: object = {}) => {
    const body = { kind: "service", label: "bot", ...more };
    return ok(await target.client.post("/tokens", body), 201);
  };

  test("call the agents on their list, and know no others", async () => {
    const { client } = target;
    const other = await target.agent(() => say("."));
    const { secret, token } = await service({ agent_ids: [agent.id] });
    expect(secret).toMatch(/^cbs_/);
    const bot = client.as(secret);
    expect(ok(await bot.get("/me"))).toMatchObject({ kind: "service", user: null, token_id: token.id });
    const { thread, run } = await open(bot, agent, "beep");
    expect(thread.created_by).toEqual({ kind: "service", id: token.id });
    expect((await ended(bot, run)).result.text).toBe("beep");
    expect(ok(await bot.get("/agents")).data.map(({ id }: Anything) => id)).toEqual([agent.id]);
    const absent = "agent_01h455vb4pex5vsknk084sn02q";
    for (const call of [
      (id: string) => bot.post(`/agents/${id}/threads`, {}),
      (id: string) => bot.post(`/agents/${id}/runs`, { input: message("a") }),
      (id: string) => bot.get(`/agents/${id}`),
      (id: string) => bot.get(`/agents/${id}/threads`),
      (id: string) => bot.upload(`/agents/${id}/files`, { name: "a", bytes: "a" }),
    ]) {
      const [hidden, none] = [await call(other.id), await call(absent)];
      expect(refusal(hidden)).toBe("404 not_found");
      expect(hidden.body.error.message).toBe(none.body.error.message);
    }
  });

  test("manage nothing, whatever their scopes", async () => {
    const scopes = ok(await target.client.get("/me")).scopes;
    const { secret } = await service({ agent_ids: [agent.id], scopes });
    const bot = target.client.as(secret);
    const deeds = [
      await bot.post("/agents", { slug: unique("a"), draft: { name: "A" } }),
      await bot.post(`${agent.path}/publish`),
      await bot.post("/members", { email: `${unique("a")}@example.com`, name: "A" }),
      await bot.post("/groups", { slug: unique("g"), name: "G" }),
      await bot.post("/tokens", { label: "a" }),
      await bot.post("/model-connections", { slug: unique("m"), kind: "demo" }),
      await bot.patch("/organization", { name: "Mine" }),
    ];
    expect(deeds.map(refusal)).toEqual(Array(7).fill("403 forbidden"));
  });

  test("see their own threads only", async () => {
    const { client } = target;
    const [one, two] = [
      client.as((await service({ agent_ids: [agent.id] })).secret),
      client.as((await service({ agent_ids: [agent.id] })).secret),
    ];
    const { path, run } = await open(one, agent, "mine");
    await ended(one, run);
    for (const hidden of [path, `${path}/events`, `${path}/files`, `/runs/${run.id}`]) {
      ok(await one.get(hidden));
      expect(refusal(await two.get(hidden))).toBe("404 not_found");
    }
    expect(refusal(await two.post(`${path}/events`, message("a")))).toBe("404 not_found");
    expect(refusal(await two.delete(path))).toBe("404 not_found");
    expect(ok(await two.get(`${agent.path}/threads`)).data).toEqual([]);
    expect(ok(await two.get("/runs")).data).toEqual([]);
    ok(await client.get(path)); // an owner sees all
  });

  test("are made by naming agents that exist", async () => {
    const agent_ids = ["agent_01h455vb4pex5vsknk084sn02q"];
    const answer = await target.client.post("/tokens", { kind: "service", label: "bot", agent_ids });
    expect(refusal(answer)).toBe("404 not_found");
  });
});

describe("attribution", () => {
  test("is for service tokens with that right, and for somebody who may use the agent", async () => {
    const { client } = target;
    const kim = (await addMember()).user_id;
    const guest = (await addMember("guest")).user_id;
    const bot = client.as(
      ok(await client.post("/tokens", { kind: "service", label: "b", agent_ids: [agent.id], may_attribute: true }), 201)
        .secret,
    );
    const plain = client.as(
      ok(await client.post("/tokens", { kind: "service", label: "b", agent_ids: [agent.id] }), 201).secret,
    );
    const forKim = { attributed_user_id: kim };
    const stranger = "user_01h455vb4pex5vsknk084sn02q";
    const refused = [
      await client.post(`${agent.path}/threads`, forKim),
      await plain.post(`${agent.path}/threads`, forKim),
      await bot.post(`${agent.path}/threads`, { attributed_user_id: guest }),
      await bot.post(`${agent.path}/threads`, { attributed_user_id: stranger }),
    ];
    expect(refused.map(refusal)).toEqual(Array(4).fill("422 attribution_not_allowed"));
    const { thread } = ok(await bot.post(`${agent.path}/threads`, forKim), 201);
    expect(thread.attributed_user).toEqual({ id: kim });
    const query = { attributed_user_id: kim };
    expect(ok(await client.get(`${agent.path}/threads`, { query })).data.map(({ id }: Anything) => id)).toEqual([
      thread.id,
    ]);
    ok(await client.patch(`/members/${kim}`, { suspended: true }));
    expect(refusal(await bot.post(`${agent.path}/threads`, forKim))).toBe("422 attribution_not_allowed");
    expect(refusal(await bot.post(`/threads/${thread.id}/events`, message("a")))).toBe("422 attribution_not_allowed");
  });
});

describe("model connections", () => {
  test("are created, changed and deleted; their key is never shown", async () => {
    const { client } = target;
    const secret = unique("sk-very-secret");
    const made = ok(
      await client.post("/model-connections", { slug: unique("model"), kind: "openai", api_key: secret }),
      201,
    );
    expect(made).toMatchObject({ kind: "openai", has_key: true, is_default: false });
    const path = `/model-connections/${made.id}`;
    expect(ok(await client.patch(path, { default_model: "m-1" }))).toMatchObject({
      default_model: "m-1",
      has_key: true,
    });
    expect(ok(await client.patch(path, { api_key: null })).has_key).toBe(false);
    ok(await client.patch(path, { api_key: secret }));
    const shown = [
      await client.get(path),
      await client.get("/model-connections"),
      await client.get("/audit", { query: { limit: 200 } }),
    ];
    for (const { text } of shown) expect(text).not.toContain(secret);
    expect((await client.delete(path)).status).toBe(204);
    expect(refusal(await client.get(path))).toBe("404 not_found");
  });

  test("a new address is used by the next run, and one in use is not deleted", async () => {
    const { client, model } = target;
    const body = {
      slug: unique("model"),
      kind: "openai-compatible",
      base_url: "http://127.0.0.1:9/v1",
      default_model: "echo",
    };
    const made = ok(await client.post("/model-connections", body), 201);
    const slug = unique("agent");
    const draft = { name: "A", model: { connection: body.slug } };
    const { id } = ok(await client.post("/agents", { slug, draft }), 201);
    ok(await client.post(`/agents/${id}/publish`), 201);
    expect(refusal(await client.delete(`/model-connections/${made.id}`))).toBe("409 connection_in_use");
    ok(await client.patch(`/model-connections/${made.id}`, { base_url: model.baseUrl }));
    const run = ok(
      await client.post(`/agents/${id}/runs`, { input: message("hi") }, { headers: { prefer: "wait=60" } }),
    );
    expect(run.result.text).toBe("You said: hi");
  });

  test("one is the default: a new default takes the place of the old one, and is not deleted", async () => {
    const { client, model } = target;
    const before = (await all("/model-connections")).find(({ is_default }) => is_default);
    const body = {
      slug: unique("model"),
      kind: "openai-compatible",
      base_url: model.baseUrl,
      default_model: "echo",
      is_default: true,
    };
    const made = ok(await client.post("/model-connections", body), 201);
    const defaults = (await all("/model-connections")).filter(({ is_default }) => is_default);
    expect(defaults.map(({ id }) => id)).toEqual([made.id]);
    expect(refusal(await client.delete(`/model-connections/${made.id}`))).toBe("409 connection_in_use");
    if (before !== undefined) ok(await client.patch(`/model-connections/${before.id}`, { is_default: true }));
  });
});

describe("audit", () => {
  test("tells who did what to which thing, newest first, and how it ended", async () => {
    const { client } = target;
    const me = ok(await client.get("/me"));
    const { token } = ok(await client.post("/tokens", { label: "audited" }), 201);
    const revoke = await client.post(`/tokens/${token.id}/revoke`);
    const { user_id } = await addMember();
    expect(refusal(await client.as(null).get("/audit"))).toBe("401 unauthenticated");
    const entries = ok(await client.get("/audit", { query: { limit: 10 } })).data;
    const own = entries.filter(({ target: to }: Anything) => to === token.id || to === user_id);
    expect(own.map(({ action, target: to, outcome }: Anything) => [action, to, outcome])).toEqual([
      ["member.add", user_id, "done"],
      ["token.revoke", token.id, "done"],
      ["token.create", token.id, "done"],
    ]);
    for (const { actor } of own) expect(actor).toMatchObject({ kind: "user" });
    expect(own[1].request_id).toBe(revoke.headers.get("x-request-id"));
    expect(JSON.stringify(own[0].actor)).toContain(me.user.user_id);
  });

  test("a refused act of management is an entry too", async () => {
    const { client } = target;
    const body = { kind: "service", label: "bot", scopes: ok(await client.get("/me")).scopes, agent_ids: [] };
    const { secret, token } = ok(await client.post("/tokens", body), 201);
    expect(refusal(await client.as(secret).patch("/organization", { name: "Mine" }))).toBe("403 forbidden");
    const entries = ok(await client.get("/audit", { query: { limit: 10 } })).data;
    const refused = entries.find(({ actor, outcome }: Anything) => actor.id === token.id && outcome === "refused");
    expect(refused).toMatchObject({ actor: { kind: "service" } });
  });

  test("cannot be written or removed over the API", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      expect(refusal(await target.client.send(method, "/audit"))).toBe("405 method_not_allowed");
    }
  });
});
