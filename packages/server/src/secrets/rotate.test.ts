/** Changing the server's key, with traffic on it. */
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { defineTool } from "@callboard/kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { secretShelves } from "../operator.ts";
import { HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { SecretKeys } from "./keys.ts";
import { rotateSecrets, type SecretShelf } from "./rotate.ts";

const [old, fresh] = [SecretKeys.generate(), SecretKeys.generate()];
const [oldId, freshId] = [old, fresh].map((key) => SecretKeys.parse(key).ids[0] as string);

const vault = defineTool({
  description: "Opens the vault.",
  input: z.object({ pin: z.string() }),
  effect: "read",
  sensitive: true,
  run: async ({ pin }) => ({ gold: pin.replace("pin", "gold") }),
});

let server: TestServer;
beforeAll(async () => {
  // The first step: every server knows both keys, and the old one seals.
  server = await startTestServer({ env: { CALLBOARD_SECRET_KEY: `${old},${fresh}` }, tools: { vault } });
  await connect("keyed", "sk-keyed-secret");
  const draft = { name: "Keyed", instructions: "Echo.", model: { connection: "keyed", id: "keyed" } };
  await server.client().post("/agents", { slug: "keyed", draft, api_access: true });
  expect((await server.client().post("/agents/keyed/publish")).status).toBe(201);
});
afterAll(() => server.stop());

const rotate = (shelves: readonly SecretShelf[] = secretShelves) =>
  rotateSecrets(server.app.database, SecretKeys.parse(`${fresh},${old}`), shelves, async () => undefined);
const connect = (slug: string, api_key: string) =>
  server.client().post("/model-connections", {
    slug,
    kind: "openai-compatible",
    base_url: server.model.baseUrl,
    default_model: "keyed",
    api_key,
  });
/** How many stored secrets of connections are under a key. */
const under = async (keyId: string | undefined) =>
  (
    await server.row<{ n: number }>(
      "select count(*)::int as n from model_connections where secret ->> 'key_id' = $1 and secret -> 'data_key' is not null",
      [keyId],
    )
  ).n;

test("every secret moves to the new key while model calls use them, and none of them fails", async () => {
  for (let n = 0; n < 120; n++) await connect(`spare-${n}`, `sk-spare-${n}`);
  const made = await server.client().post("/tokens", { label: "kept" }, { headers: { "idempotency-key": "a/b/c" } });

  let going = true;
  const outcomes: string[] = [];
  const call = async () => {
    while (going) {
      const body = { input: { type: "user.message", text: "hi" } };
      const run = await server.client().post("/agents/keyed/runs", body, { headers: { prefer: "wait=60" } });
      outcomes.push(run.body.state);
    }
  };
  // Somebody enters a key anew meanwhile: by a server that still seals with the old one.
  const change = async () => {
    const { data } = (await server.client().get("/model-connections?limit=100")).body;
    for (const { id } of data.slice(10, 20)) {
      await sleep(100); // each change makes every caller be read anew
      await server.client().patch(`/model-connections/${id}`, { api_key: "sk-entered-anew" });
    }
  };
  const callers = [call(), call()];
  const [first] = await Promise.all([rotate(), change()]);
  const second = await rotate();
  going = false;
  await Promise.all(callers);

  expect(new Set(outcomes)).toEqual(new Set(["completed"]));
  expect(server.model.calls("keyed").every(({ headers }) => headers.authorization === "Bearer sk-keyed-secret")).toBe(
    true,
  );
  expect(first.unreadable.concat(second.unreadable)).toEqual([]);
  expect((first.rotated.model_connections ?? 0) + (second.rotated.model_connections ?? 0)).toBeGreaterThanOrEqual(121);
  expect([await under(freshId), await under(oldId)]).toEqual([121, 0]);

  // The last step: a server that has the new key alone opens everything, stored answers too.
  const next = await server.second({ CALLBOARD_SECRET_KEY: fresh });
  try {
    const client = new HttpClient(next.baseUrl, { token: server.token });
    const again = await client.post("/tokens", { label: "kept" }, { headers: { "idempotency-key": "a/b/c" } });
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.body.secret).toBe(made.body.secret);
    const body = { input: { type: "user.message", text: "after" } };
    const run = await client.post("/agents/keyed/runs", body, { headers: { prefer: "wait=60" } });
    expect(run.body).toMatchObject({ state: "completed" });
  } finally {
    await next.stop();
  }
});

test("what sensitive tools were given and said moves too, and the conversation goes on with it", async () => {
  const draft = {
    name: "Vault",
    instructions: "Open.",
    tools: [{ name: "vault" }],
    model: { connection: "keyed", id: "vault" },
  };
  await server.client().post("/agents", { slug: "vault", draft });
  expect((await server.client().post("/agents/vault/publish")).status).toBe(201);
  server.model.script("vault", ({ messages, lastUser }) => {
    const calls = messages.filter(({ role }) => role === "tool").length;
    if (lastUser === "again") return say(JSON.stringify(messages));
    return calls < 2 ? callTool("vault", { pin: `pin-${calls}` }) : say("done");
  });
  const text = (message: string) => ({ input: { type: "user.message", text: message } });
  const wait = { headers: { prefer: "wait=60" } };
  const { body } = await server.client().post("/agents/vault/runs", text("open"), wait);
  expect(body).toMatchObject({ state: "completed" });
  const stored = () =>
    server.row<{ text: string }>(
      `select string_agg(t, ' ') as text from (
         select parts::text as t from steps union all
         select concat(input::text, output::text, output_text) from tool_calls) all_of_it`,
    );
  expect((await stored()).text).not.toMatch(/pin-\d|gold-\d/);
  const { rotated, unreadable } = await rotate();
  expect([rotated.steps, rotated.tool_calls, unreadable]).toEqual([2, 6, []]);
  expect((await stored()).text).not.toContain(oldId);

  const next = await server.second({ CALLBOARD_SECRET_KEY: fresh });
  try {
    const client = new HttpClient(next.baseUrl, { token: server.token });
    const again = await client.post("/agents/vault/runs", { ...text("again"), thread_id: body.thread_id }, wait);
    for (const said of ["pin-0", "pin-1", "gold-0", "gold-1"]) expect(again.body.result.text).toContain(said);
    expect((await client.get(`/runs/${body.id}/transcript`)).body.steps[0].tool_calls[0]).toMatchObject({
      input: { pin: "pin-0" },
      output: { gold: "gold-0" },
    });
  } finally {
    await next.stop();
  }
});

test("a rotation that was stopped goes on where it was", async () => {
  for (let n = 0; n < 60; n++) await connect(`late-${n}`, `sk-late-${n}`);
  const [connections] = secretShelves as [SecretShelf];
  let writes = 0;
  const stopping: SecretShelf = {
    ...connections,
    replace: (sql, stored, sealed) => {
      if (++writes > 55) throw new Error("killed");
      return connections.replace(sql, stored, sealed);
    },
  };
  await expect(rotate([stopping])).rejects.toThrow("killed");
  expect(await under(oldId)).toBe(10); // the page under way is as it was
  expect((await rotate()).rotated.model_connections).toBe(10);
  expect(await under(oldId)).toBe(0);
});

test("what an earlier version sealed under the server's key itself becomes an envelope", async () => {
  const { body } = await connect("ancient", "sk-ancient");
  const { organization_id, id } = await server.row<{ organization_id: string; id: string }>(
    "select organization_id, id from model_connections where slug = 'ancient'",
  );
  const key = Buffer.from(old, "base64");
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  cipher.setAAD(Buffer.from(`model_connections/${organization_id}/${id}`));
  const data = Buffer.concat([cipher.update("sk-ancient"), cipher.final()]).toString("base64");
  const sealed = {
    key_id: createHash("sha256").update(key).digest("hex").slice(0, 8),
    iv: iv.toString("base64"),
    tag: cipher.getAuthTag().toString("base64"),
    data,
  };
  await server.row("update model_connections set secret = $1 where slug = 'ancient'", [JSON.stringify(sealed)]);
  await rotate();
  expect(await under(freshId)).toBe(182);
  const { secret } = await server.row<{ secret: never }>("select secret from model_connections where slug = 'ancient'");
  expect(SecretKeys.parse(fresh).open(secret, `model_connections/${organization_id}/${id}`)).toBe("sk-ancient");
  expect(body.has_key).toBe(true);
});

test("a secret whose key is gone is told of and left as it is, and a run that needs it says why it failed", async () => {
  const stranger = SecretKeys.parse(SecretKeys.generate());
  const { organization_id, id } = await server.row<{ organization_id: string; id: string }>(
    "select organization_id, id from model_connections where slug = 'keyed'",
  );
  const sealed = stranger.seal("sk-x", `model_connections/${organization_id}/${id}`);
  await server.row("update model_connections set secret = $1 where slug = 'keyed'", [JSON.stringify(sealed)]);
  await server.client().patch("/organization", { name: "Acme" }); // what is remembered is forgotten
  expect((await rotate()).unreadable).toEqual([
    { table: "model_connections", identity: `model_connections/${organization_id}/${id}`, key_id: stranger.ids[0] },
  ]);
  const body = { input: { type: "user.message", text: "hi" } };
  const run = await server.client().post("/agents/keyed/runs", body, { headers: { prefer: "wait=60" } });
  expect(run.body).toMatchObject({ state: "failed", error: { code: "model_key_unreadable", retryable: false } });
});
