// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the placeholders of the server
/** A1–A5: agents are drafted, published, compared, made live again, and called with variables. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, message, open } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, unique } from "./lib/target.ts";

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

const draft = (more: object = {}) => ({ name: "Desk", model: { connection: target.connection, id: "echo" }, ...more });

async function create(more: object = {}, settings: object = {}) {
  const agent = ok(await target.client.post("/agents", { slug: unique("desk"), draft: draft(more), ...settings }), 201);
  return { agent, path: `/agents/${agent.id}` };
}

describe("life of an agent", () => {
  test("a draft has no live version and cannot be called", async () => {
    const { client } = target;
    const { agent, path } = await create();
    expect(agent).toMatchObject({
      live_version: null,
      latest_version: 0,
      access_mode: "organization",
      api_access: true,
    });
    expect(ok(await client.get(path))).toEqual(agent);
    expect(ok(await client.get(`/agents/${agent.slug}`))).toEqual(agent);
    const calls = [
      await client.post(`${path}/threads`, {}),
      await client.post(`${path}/runs`, { input: message("a") }),
      await client.upload(`${path}/files`, { name: "a", bytes: "a" }),
    ];
    expect(calls.map(refusal)).toEqual(Array(3).fill("409 agent_not_published"));
  });

  test("publish freezes the draft; later edits do not touch the version", async () => {
    const { client } = target;
    const { path } = await create({ instructions: "one" });
    expect(ok(await client.post(`${path}/publish`), 201)).toMatchObject({
      version: 1,
      live: true,
      config: { instructions: "one" },
    });
    ok(await client.patch(path, { draft: draft({ instructions: "two" }) }));
    expect(ok(await client.get(`${path}/versions/1`)).config.instructions).toBe("one");
    expect(ok(await client.get(path))).toMatchObject({ live_version: 1, draft: { instructions: "two" } });
    expect(ok(await client.post(`${path}/publish`), 201)).toMatchObject({ version: 2, live: true });
    const { data } = ok(await client.get(`${path}/versions`));
    expect(data.map(({ version, live }: { version: number; live: boolean }) => [version, live])).toEqual([
      [2, true],
      [1, false],
    ]);
    expect(refusal(await client.get(`${path}/versions/3`))).toBe("404 not_found");
    expect(refusal(await client.get(`${path}/versions/0`))).toBe("404 not_found");
  });

  test("a diff names what changed, between versions and with the draft", async () => {
    const { client } = target;
    const { path } = await create({ instructions: "one", tools: [{ name: "list_files" }] });
    ok(await client.post(`${path}/publish`), 201);
    ok(await client.patch(path, { draft: draft({ instructions: "two", tools: [{ name: "list_files" }] }) }));
    const change = { path: "instructions", before: "one", after: "two" };
    expect(ok(await client.get(`${path}/diff`, { query: { from: "1" } }))).toEqual({
      from: "1",
      to: "draft",
      changes: [change],
    });
    ok(await client.post(`${path}/publish`), 201);
    const between = ok(await client.get(`${path}/diff`, { query: { from: "1", to: "2" } }));
    expect(between.changes).toEqual([change]);
    expect(ok(await client.get(`${path}/diff`, { query: { from: "2", to: "draft" } })).changes).toEqual([]);
    expect(refusal(await client.get(`${path}/diff`, { query: { from: "9" } }))).toBe("404 not_found");
    expect(refusal(await client.get(`${path}/diff`, { query: { from: "latest" } }))).toBe("422 invalid_request");
    expect(refusal(await client.get(`${path}/diff`))).toBe("422 invalid_request");
  });

  test("a thread keeps its version; a new one takes the live one, also an older one made live again", async () => {
    const { client } = target;
    const { agent, path } = await create({ instructions: "v1" });
    ok(await client.post(`${path}/publish`), 201);
    const testAgent = { id: agent.id, slug: agent.slug, path, script: () => {}, calls: () => [] };
    const old = await open(client, testAgent, "a");
    expect(old.thread.agent_version).toBe(1);
    await ended(client, old.run);
    ok(await client.patch(path, { draft: draft({ instructions: "v2" }) }));
    ok(await client.post(`${path}/publish`), 201);
    const again = ok(await client.post(`${old.path}/events`, message("b"))).events[0].run;
    expect((await ended(client, again)).agent_version).toBe(1);
    expect(ok(await client.get(`/runs/${again.id}/transcript`)).prompt).toBe("v1");
    const fresh = await open(client, testAgent, "c");
    expect((await ended(client, fresh.run)).agent_version).toBe(2);
    expect(ok(await client.post(`${path}/versions/1/activate`))).toMatchObject({ version: 1, live: true });
    const back = await open(client, testAgent, "d");
    expect((await ended(client, back.run)).agent_version).toBe(1);
    expect(ok(await client.get(path))).toMatchObject({ live_version: 1, latest_version: 2 });
  });

  test("each change gives another revision, and If-Match refuses what was meant for an older one", async () => {
    const { client } = target;
    const { agent, path } = await create({ instructions: "one" });
    const seen = (revision: string) => ({ headers: { "if-match": `"${revision}"` } });
    const edit = (instructions: string, revision: string) =>
      client.patch(path, { draft: draft({ instructions }) }, seen(revision));
    const edited = ok(await edit("two", agent.revision));
    expect(edited.revision).not.toBe(agent.revision);
    expect(refusal(await edit("three", agent.revision))).toBe("412 precondition_failed");
    expect(refusal(await client.post(`${path}/publish`, undefined, seen(agent.revision)))).toBe(
      "412 precondition_failed",
    );
    expect(refusal(await client.delete(path, seen(agent.revision)))).toBe("412 precondition_failed");
    expect(ok(await client.get(path))).toEqual(edited);
    ok(await client.post(`${path}/publish`, undefined, seen(edited.revision)), 201);
    const published = ok(await client.get(path));
    expect(published.revision).not.toBe(edited.revision);
    expect(refusal(await client.post(`${path}/unpublish`, undefined, seen(edited.revision)))).toBe(
      "412 precondition_failed",
    );
    ok(await client.post(`${path}/versions/1/activate`, undefined, seen(published.revision)));
    ok(await client.post(`${path}/unpublish`, undefined, { headers: { "if-match": "*" } }));
  });

  test("unpublish takes the agent away from callers, its threads included; publishing brings it back", async () => {
    const { client } = target;
    const own = await target.agent(() => say("here"));
    const { path, run } = await open(client, own, "a");
    await ended(client, run);
    expect(ok(await client.post(`${own.path}/unpublish`)).live_version).toBeNull();
    expect(refusal(await client.post(`${own.path}/threads`, {}))).toBe("409 agent_not_published");
    expect(refusal(await client.post(`${path}/events`, message("b")))).toBe("409 agent_not_published");
    ok(await client.get(`${path}/events`));
    ok(await client.post(`${own.path}/versions/1/activate`));
    ok(await client.post(`${path}/events`, message("b")));
  });

  test("API access is a switch of its own", async () => {
    const { client } = target;
    const own = await target.agent(() => say("here"));
    const { path, run } = await open(client, own, "a");
    await ended(client, run);
    ok(await client.patch(own.path, { api_access: false }));
    expect(refusal(await client.post(`${own.path}/threads`, {}))).toBe("409 api_access_disabled");
    expect(refusal(await client.post(`${path}/events`, message("b")))).toBe("409 api_access_disabled");
    ok(await client.patch(own.path, { api_access: true }));
    ok(await client.post(`${path}/events`, message("b")));
  });

  test("an agent with threads stays; without them it may be deleted, and its slug used again", async () => {
    const { client } = target;
    const own = await target.agent(() => say("here"));
    const { path, run } = await open(client, own, "a");
    await ended(client, run);
    expect(refusal(await client.delete(own.path))).toBe("409 already_exists");
    expect((await client.delete(path)).status).toBe(204);
    expect((await client.delete(own.path)).status).toBe(204);
    expect(refusal(await client.get(own.path))).toBe("404 not_found");
    expect(refusal(await client.post(`${own.path}/threads`, {}))).toBe("404 not_found");
    ok(await client.post("/agents", { slug: own.slug, draft: draft() }), 201);
  });

  test("agents are listed by slug, in pages", async () => {
    const { client } = target;
    const slugs = [];
    for (let i = 0; i < 3; i++) slugs.push((await create()).agent.slug);
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const query: Record<string, string | number> = { limit: 2, ...(cursor === null ? {} : { cursor }) };
      const page = ok(await client.get("/agents", { query }));
      found.push(...page.data.map(({ slug }: { slug: string }) => slug));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(found).toEqual(found.toSorted());
    expect(new Set(found).size).toBe(found.length);
    for (const slug of slugs) expect(found).toContain(slug);
  });
});

describe("what cannot be published", () => {
  test.each([
    ["an undeclared placeholder", { instructions: "Hello ${WHO}." }],
    ["a tool that is not there", { tools: [{ name: "no_such_tool" }] }],
    ["a model connection that is not there", { model: { connection: "no-such-connection", id: "x" } }],
    ["a fallback that is not there", { model: { fallbacks: ["no-such-connection"] } }],
    ["an output schema that is none", { output_schema: { type: "nonsense" } }],
    ["a pattern that is none", { variables: { A: { schema: { type: "string", pattern: "(" } } } }],
    ["a default outside its list", { variables: { A: { schema: { type: "string", enum: ["x"] }, default: "y" } } }],
  ])("%s", async (_what, more) => {
    const { client } = target;
    const answer = await client.post("/agents", { slug: unique("bad"), draft: draft(more) });
    if (answer.status !== 201) {
      expect(refusal(answer)).toMatch(/^422 (draft_invalid|invalid_request)$/);
      return;
    }
    expect(refusal(await client.post(`/agents/${answer.body.id}/publish`))).toBe("422 draft_invalid");
    expect(ok(await client.get(`/agents/${answer.body.id}`)).live_version).toBeNull();
  });
});

describe("variables", () => {
  test("unset and empty take the default; a value is never expanded again", async () => {
    const { client } = target;
    const { path } = await create({
      instructions: "${CITY:-Bern}|${LANG}|${DEEP}|${COUNT}|$${CITY}",
      variables: {
        CITY: { schema: { type: "string" } },
        LANG: { schema: { type: "string", format: "locale" }, default: "en" },
        DEEP: { schema: { type: "boolean" }, default: false },
        COUNT: { schema: { type: "integer", minimum: 1 }, default: 3 },
      },
    });
    ok(await client.post(`${path}/publish`), 201);
    const prompt = async (variables: object) => {
      const run = ok(
        await client.post(`${path}/runs`, { input: message("a"), variables }, { headers: { prefer: "wait=60" } }),
      );
      return ok(await client.get(`/runs/${run.id}/transcript`)).prompt;
    };
    expect(await prompt({})).toBe("Bern|en|false|3|${CITY}");
    expect(await prompt({ CITY: "" })).toBe("Bern|en|false|3|${CITY}");
    expect(await prompt({ CITY: "${LANG}", LANG: "de-CH", DEEP: true, COUNT: 5 })).toBe("${LANG}|de-CH|true|5|${CITY}");
    for (const variables of [{ LANG: "not a locale" }, { COUNT: 0 }, { DEEP: "maybe" }, { OTHER: "x" }]) {
      const answer = await client.post(`${path}/runs`, { input: message("a"), variables });
      expect(`${JSON.stringify(variables)} ${refusal(answer)}`).toBe(
        `${JSON.stringify(variables)} 422 invalid_variables`,
      );
    }
  });
});

describe("who may use an agent", () => {
  test("invitations are read and replaced whole", async () => {
    const { client } = target;
    const { path } = await create({}, { access_mode: "invited" });
    const kim = ok(await client.post("/members", { email: `${unique("kim")}@example.com`, name: "Kim" }), 201).user_id;
    const group = ok(await client.post("/groups", { slug: unique("group"), name: "G", user_ids: [kim] }), 201).id;
    expect(ok(await client.get(`${path}/access`))).toEqual({ users: [], groups: [] });
    const access = { users: [kim], groups: [group] };
    expect(ok(await client.put(`${path}/access`, access))).toEqual(access);
    expect(ok(await client.get(`${path}/access`))).toEqual(access);
    expect(ok(await client.put(`${path}/access`, { users: [], groups: [] }))).toEqual({ users: [], groups: [] });
    const stranger = "user_01h455vb4pex5vsknk084sn02q";
    expect((await client.put(`${path}/access`, { users: [stranger], groups: [] })).status).toBeGreaterThanOrEqual(400);
  });
});

test("the tools of the server are listed with their schemas", async () => {
  const { data } = ok(await target.client.get("/tools"));
  const names = data.map(({ name }: { name: string }) => name);
  for (const name of ["list_files", "read_file", "write_file"]) expect(names).toContain(name);
  for (const tool of data) expect(tool.input_schema.type).toBe("object");
});
