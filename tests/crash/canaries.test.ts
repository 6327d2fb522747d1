/**
 * Secrets that are put into a server through every door are found nowhere afterwards: not in its logs, figures, events
 * and answers, not in the database unless hashed or encrypted, not in its data folder. Crashes included.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../packages/server/src/testing/database.ts";
import { HttpClient } from "../../packages/server/src/testing/http-client.ts";
import {
  callTool,
  type ScriptedModel,
  say,
  startScriptedModel,
} from "../../packages/server/src/testing/scripted-model.ts";
import { bin, ServerProcess } from "./harness/server-process.ts";

/** Everything that must not be seen again, by where it was put. */
const canaries = new Map<string, string>();
function canary(place: string): string {
  const text = `canary-${place}-${randomBytes(12).toString("hex")}`;
  canaries.set(place, text);
  return text;
}

const secretKey = randomBytes(32).toString("base64");
let database: TestDatabase;
let folder: string;
let model: ScriptedModel;
let provider: Server;
let server: ServerProcess;
let client: HttpClient;
/** Answers that a client got, but those that exist to hand out a secret. */
const answers: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), "callboard-canaries-"));
  model = await startScriptedModel();
  // A provider that answers with the key it was sent.
  provider = createServer((request, response) => {
    response.writeHead(401, { "content-type": "application/json" });
    const message = `Incorrect API key: ${request.headers.authorization}; ${canaries.get("provider-body")}`;
    response.end(JSON.stringify({ error: { message, type: "invalid_request_error" } }));
  });
  await new Promise<void>((done) => provider.listen(0, "127.0.0.1", done));
  const env = {
    DATABASE_URL: database.url,
    CALLBOARD_SECRET_KEY: secretKey,
    CALLBOARD_ALLOW_PRIVATE_NETWORK: "1",
    CALLBOARD_PROJECT: join(import.meta.dirname, "vault"),
    CALLBOARD_DATA_DIR: folder,
    CALLBOARD_LOG_LEVEL: "debug",
  };
  canaries.set("server-key", secretKey);
  const init = ["admin", "init", "--email", "ada@example.com", "--organization", "Vault", "--json"];
  const made = await promisify(execFile)(process.execPath, [bin, ...init], { env: { ...process.env, ...env } });
  const { token } = JSON.parse(made.stdout) as { token: string };
  canaries.set("owner-token", token);
  server = await ServerProcess.onFreePort(env);
  await server.start();
  client = new HttpClient(server.url, { token, onAnswer: ({ text }) => void answers.push(text) });
});
afterAll(async () => {
  await server?.kill();
  await model?.stop();
  provider?.close();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

const ok = async (answer: ReturnType<HttpClient["get"]>) => {
  const { status, text, body } = await answer;
  expect(status, text).toBeLessThan(300);
  return body;
};
/** Calls an endpoint, which lives beside the API. */
const call = (path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${server.url}/endpoints/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${canaries.get("owner-token")}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  }).then(
    async (response) => {
      const text = await response.text();
      answers.push(text);
      return { status: response.status, body: JSON.parse(text) };
    },
    () => ({ status: 0, body: undefined }), // the process ended
  );
const run = (agent: string) =>
  client.post(
    `/agents/${agent}/runs`,
    { input: { type: "user.message", text: "Go." } },
    { headers: { prefer: "wait=60" } },
  );

test("model keys are used, refused, and written by providers into their errors", async () => {
  const connection = { kind: "openai-compatible", base_url: model.baseUrl, default_model: "vault", is_default: true };
  await ok(client.post("/model-connections", { ...connection, slug: "main", api_key: canary("model-key") }));
  canary("provider-body");
  const { port } = provider.address() as AddressInfo;
  const refusing = { kind: "openai-compatible", base_url: `http://127.0.0.1:${port}/v1`, default_model: "m" };
  await ok(client.post("/model-connections", { ...refusing, slug: "refusing", api_key: canary("refused-key") }));
  for (const [slug, tools, connection] of [
    ["vault", [{ name: "open" }], "main"],
    ["refused", [], "refusing"],
  ] as const) {
    const draft = { name: slug, instructions: "Open.", tools, model: { connection } };
    await ok(client.post("/agents", { slug, draft }));
    await ok(client.post(`/agents/${slug}/publish`));
  }
  expect((await run("refused")).body).toMatchObject({ state: "failed", error: { code: "model_unauthorized" } });
  // In a place where it does not belong it is refused, and not shown.
  const wrong = await client.post("/model-connections", { slug: "x", kind: "openai", key: canary("misplaced-key") });
  expect(wrong.status).toBe(422);
});

test("sensitive tools take and give secrets, and fail with them", async () => {
  const [pin, failing] = [canary("tool-input"), canary("tool-error")];
  canaries.set("tool-output", `gold-${pin}`);
  model.script("vault", ({ index }) =>
    index === 0
      ? callTool("open", { pin })
      : index === 1
        ? callTool("open", { pin: failing, fails: true })
        : say("Done."),
  );
  const { body } = await run("vault");
  expect(body).toMatchObject({ state: "completed" });
  // Who may read the transcript reads them there: the search below is for copies.
  const quiet = new HttpClient(server.url, { token: canaries.get("owner-token") as string });
  const { text } = await quiet.get(`/runs/${body.id}/transcript`);
  for (const secret of [pin, `gold-${pin}`, failing]) expect(text).toContain(secret);
});

test("tokens, passwords and client secrets are made, sent and mistyped", async () => {
  const headers = { "idempotency-key": "kept-token" };
  const quiet = new HttpClient(server.url, { token: canaries.get("owner-token") as string });
  const { secret } = await ok(quiet.post("/tokens", { label: "kept" }, { headers }));
  canaries.set("token", secret);
  for (const sent of [secret, canary("bearer"), `cbp_${canary("shaped-bearer")}`]) await client.as(sent).get("/me");
  await client.get("/me", {
    headers: { cookie: `callboard_session=${canary("cookie")}`, "x-csrf-token": canary("csrf") },
  });
  await client.get("/me", { headers: { "proxy-authorization": canary("proxy-header") } });
  const signIn = { email: "ada@example.com", password: canary("password") };
  expect((await client.as(null).post("/session", signIn)).status).toBeGreaterThanOrEqual(400);
  await ok(
    client.post("/sso-connections", {
      slug: "corp",
      name: "Corp",
      issuer: "https://issuer.invalid",
      client_id: "callboard",
      client_secret: canary("client-secret"),
      email_domains: ["vault.example"],
    }),
  );
  await client.as(null).get(`/sso/corp/start?return_to=${canary("query")}`);
});

test("endpoints fail with secrets in their words, and keep them in the headers of a job", async () => {
  expect((await call("fail", { secret: canary("endpoint-error") })).status).toBe(500);
  const key = canary("job-header");
  const { body } = await call("keep", { ms: 200 }, { "x-api-key": key });
  await expect.poll(async () => (await client.get(`/jobs/${body.job_id}`)).body.result).toBe(true);
});

test("an error that nobody catches and a kill -9 come with secrets in the server's hands", async () => {
  await call("fail", { secret: canary("uncaught-error"), later: true });
  await expect.poll(() => server.output).toContain("where nobody catches it");
  const slow = call("keep", { ms: 60_000 }, { "x-api-key": canary("killed-header") });
  await slow;
  const token = client.post(
    "/tokens",
    { label: canary("label-is-no-secret") },
    { headers: { "idempotency-key": "cut" } },
  );
  canaries.delete("label-is-no-secret");
  await sleep(300);
  await server.kill();
  await token.catch(() => undefined);
  await server.start();
});

/** Where a text is found, also in other spellings of its bytes. */
function found(haystack: string): string[] {
  return [...canaries].flatMap(([place, text]) => {
    const bytes = Buffer.from(text);
    // In base64 the first and last characters depend on what stands beside the text.
    const inBase64 = [0, 1, 2].map((shift) =>
      Buffer.concat([Buffer.alloc(shift), bytes])
        .toString("base64")
        .slice(4, -4),
    );
    return [text, bytes.toString("hex"), ...inBase64].some((form) => haystack.includes(form)) ? [place] : [];
  });
}

/** Every row of every table as text. */
async function dump(): Promise<Map<string, string>> {
  const db = new pg.Client({ connectionString: database.url });
  await db.connect();
  try {
    const { rows } = await db.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
    );
    const tables = new Map<string, string>();
    for (const { name } of rows) {
      const all = await db.query<{ row: string }>(`select t::text as row from "${name}" t`);
      tables.set(name, all.rows.map(({ row }) => row).join("\n"));
    }
    return tables;
  } finally {
    await db.end();
  }
}

test("the search would find them", () => {
  const [place, text] = [...canaries][0] as [string, string];
  for (const form of [text, Buffer.from(text).toString("hex"), Buffer.from(`x${text}y`).toString("base64")]) {
    expect(found(`before ${form} after`)).toEqual([place]);
  }
});

test("none of them is in the logs", () => {
  expect(server.output.split("\n").length).toBeGreaterThan(5);
  expect(found(server.output)).toEqual([]);
});

test("none of them is in the figures", async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  expect(text).toContain("callboard_");
  expect(found(text)).toEqual([]);
});

test("none of them is in an answer or an event", async () => {
  const { data } = (await client.get("/runs?limit=50")).body;
  expect(data.length).toBeGreaterThanOrEqual(2);
  for (const { thread_id } of data) await ok(client.get(`/threads/${thread_id}/events?limit=1000`));
  for (const path of ["/audit?limit=200", "/tokens", "/model-connections", "/sso-connections"])
    await ok(client.get(path));
  expect(answers.length).toBeGreaterThan(20);
  expect(found(answers.join("\n"))).toEqual([]);
});

test("none of them is in the database", async () => {
  const tables = await dump();
  expect(tables.size).toBeGreaterThan(25);
  const hits = [...tables].flatMap(([table, text]) => found(text).map((place) => `${table}: ${place}`));
  expect(hits.sort()).toEqual([]);
});

test("none of them is in the data folder", async () => {
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) expect(found(await readFile(path, "latin1")), name).toEqual([]);
  }
});
