/** Everything that the API does can be done from the command line: each command on a real server, each route asked. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineEndpoint, defineTool } from "@callboard/kit";
import { type Route, type RouteName, routes } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { callTool, say } from "../../server/src/testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../server/src/testing/server.ts";
import { folder } from "./testing/callboard.ts";
import { inProcess } from "./testing/in-process.ts";

// Each test is a dozen commands, and passwords take their time.
vi.setConfig({ testTimeout: 600_000 });

const noInput = z.strictObject({});
const PASSWORD = "nine lives of a cat";
let server: TestServer;
let env: Record<string, string>;
const asked = new Set<string>();

beforeAll(async () => {
  server = await startTestServer({
    tools: {
      refund: defineTool({
        description: "Refund.",
        input: noInput as never,
        effect: "once",
        approval: "always",
        run: () => "refunded",
      }),
    },
    agents: { desk: { name: "Desk" }, cashier: { name: "Cashier", tools: ["refund"] } },
    endpoints: {
      later: defineEndpoint({
        method: "POST",
        mode: "polling",
        input: noInput,
        output: z.string(),
        handle: ({ relayStatus }) => {
          relayStatus("counting", { progress: 0.5 });
          return "done";
        },
      }),
      never: defineEndpoint({
        method: "POST",
        mode: "polling",
        input: noInput,
        output: z.string(),
        handle: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      }),
    },
  });
  server.model.script("cashier", ({ toolResults }) => (toolResults.length === 0 ? callTool("refund") : say("Done.")));
  server.model.script("slow", () => ({ steps: ["hang"] }));
  env = { CALLBOARD_URL: server.baseUrl, CALLBOARD_TOKEN: server.token, CALLBOARD_PASSWORD: PASSWORD };
  const passOn = globalThis.fetch;
  vi.spyOn(globalThis, "fetch").mockImplementation((url, init) => {
    asked.add(routeOf(init?.method ?? "GET", new URL(String(url)).pathname) ?? String(url));
    return passOn(url, init);
  });
});
afterAll(async () => {
  vi.restoreAllMocks();
  await server.stop();
});

/** The route that an address belongs to; one with fewer names in its path comes first. */
function routeOf(method: string, path: string): string | undefined {
  const names = (name: string) => (routes[name as RouteName] as Route).path.split("{").length;
  return (Object.keys(routes) as RouteName[])
    .sort((a, b) => names(a) - names(b))
    .find((name) => {
      const route: Route = routes[name];
      const pattern = `^/api/v1${route.path.replace(/\{\w+\}/g, "[^/]+")}$`;
      return route.method === method && new RegExp(pattern).test(path);
    });
}

/** Runs a command that has to succeed. */
async function done(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await inProcess(args, env, input);
  expect([code, stderr], args.join(" ")).toEqual([0, ""]);
  return stdout;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
async function json(args: readonly string[], input?: string): Promise<any> {
  const text = await done([...args, "--json"], input);
  return text === "" ? undefined : JSON.parse(text);
}

const refused = (args: readonly string[], input?: string) => inProcess(args, env, input);

test("threads: created, read, renamed, archived and deleted", async () => {
  const { thread } = await json([
    "threads",
    "create",
    "desk",
    "--title",
    "First",
    "--ref",
    "r-1",
    "--metadata",
    "a=b=c",
  ]);
  expect(thread).toMatchObject({ title: "First", client_external_ref: "r-1", metadata: { a: "b=c" } });
  expect((await json(["threads", "list", "desk", "--ref", "r-1", "--no-archived"])).data).toHaveLength(1);
  expect(await done(["threads", "get", thread.id])).toContain(thread.id);
  expect(await json(["threads", "update", thread.id, "--no-title", "--no-metadata"])).toMatchObject({
    title: null,
    metadata: {},
  });
  expect(await done(["threads", "archive", thread.id])).toMatch(/^archived +true$/m);
  expect((await json(["threads", "list", "desk", "--archived", "--limit", "all"])).data).toHaveLength(1);
  expect(await done(["threads", "unarchive", thread.id])).toMatch(/^archived +false$/m);
  await done(["threads", "delete", thread.id, "--yes"]);
  expect(await refused(["threads", "get", thread.id])).toMatchObject({ code: 1, stdout: "" });
});

test("events: sent, followed, listed and interrupted", async () => {
  const { thread } = await json(["threads", "create", "desk"]);
  expect(await done(["events", "send", thread.id, "Hello", "--follow"])).toMatch(/^> Hello\n.*You said: Hello\n/s);
  const log = await json(["events", "list", thread.id, "--type", "run.completed"]);
  expect(log.data).toHaveLength(1);
  const batch = JSON.stringify([
    { type: "user.message", text: "One" },
    { type: "user.message", text: "Two" },
  ]);
  const other = await json(["threads", "create", "desk"]);
  expect((await json(["events", "send", other.thread.id, "--batch", "-"], batch)).events).toHaveLength(2);
  const first = await refused(["events", "list", thread.id, "--limit", "1"]);
  expect(first).toMatchObject({ code: 0, stdout: "> Hello\n", stderr: "there are more: --after-seq 1\n" });
  const run = log.data[0].run_id;
  expect(await done(["events", "follow", thread.id, "--until-run", run])).toContain(`run ${run} completed`);
  const slow = await json(["runs", "create-raw", "Wait", "--model", "scripted", "--model-id", "slow"]).catch(
    () => null,
  );
  expect(slow).toBeNull(); // not allowed yet
  await done(["organization", "update", "--raw-runs"]);
  const held = await json(["runs", "create-raw", "Wait", "--model", "scripted", "--model-id", "slow"]);
  const interrupted = await json(["events", "interrupt", held.thread_id, "--run", held.id]);
  expect(interrupted.events[0].type).toBe("user.interrupt");
  const ended = await refused(["runs", "wait", held.id, "--json"]);
  expect([ended.code, JSON.parse(ended.stdout).state]).toEqual([3, "canceled"]);
});

test("runs: started, listed, read and canceled", async () => {
  const path = join(await folder(), "list.csv");
  await writeFile(path, "a,b\n");
  const attached = ["--file", path, "--metadata", "order=17"];
  const run = await json(["runs", "create", "desk", "Hello", "--wait", ...attached]);
  expect((await json(["files", "list", run.thread_id])).data).toHaveLength(1);
  expect(run).toMatchObject({ state: "completed", result: { text: expect.stringContaining("a,b") } });
  const raw = await json(["runs", "create-raw", "Hi", "--instructions", "Be short.", "--config", "-", "--wait"], "{}");
  expect(raw).toMatchObject({ state: "completed", agent_id: null });
  const messages = JSON.stringify([
    { role: "user", text: "Hi" },
    { role: "assistant", text: "Hello" },
    { role: "user", text: "Again" },
  ]);
  const asked = ["runs", "create-raw", "--messages", "-", "--model", "scripted", "--model-id", "echo", "--wait"];
  expect(await json(asked, messages)).toMatchObject({ result: { text: "You said: Again" } });
  expect((await json(["runs", "list", "--agent", "desk", "--thread", run.thread_id])).data[0].id).toBe(run.id);
  expect(await json(["runs", "get", run.id, "--wait", "1"])).toMatchObject({ id: run.id });
  expect(await done(["runs", "tree", run.id])).toContain(`desk ${run.id} completed`);
  expect(await done(["runs", "transcript", run.id])).toContain("You said: Hello");
  const slow = await json(["runs", "create-raw", "Wait", "--model-id", "slow"]);
  await done(["runs", "cancel", slow.id]);
  expect(await refused(["runs", "wait", slow.id])).toMatchObject({ code: 3, stderr: "" });
});

test("permissions: listed, read, approved and denied", async () => {
  const first = await json(["runs", "create", "cashier", "Refund me"]);
  const { data } = await json([
    "permissions",
    "list",
    "--agent",
    "cashier",
    "--thread",
    first.thread_id,
    "--wait",
    "30",
  ]);
  const { id, arguments_hash } = data[0];
  expect(await done(["permissions", "get", id])).toContain("refund");
  expect(await json(["permissions", "approve", id, "--arguments-hash", arguments_hash])).toMatchObject({
    state: "allowed",
  });
  expect(await json(["runs", "wait", first.id])).toMatchObject({ state: "completed" });
  const second = await json(["runs", "create", "cashier", "Refund me"]);
  const open = await json(["permissions", "list", "--thread", second.thread_id, "--wait", "30"]);
  await done(["permissions", "deny", open.data[0].id, "--message", "Not today."]);
  expect(await json(["permissions", "get", open.data[0].id, "--wait", "1"])).toMatchObject({ state: "denied" });
});

test("files: uploaded, listed, downloaded and deleted", async () => {
  const path = join(await folder(), "list.csv");
  await writeFile(path, "a,b\n");
  const { thread } = await json(["threads", "create", "desk", "Read it", "--file", path]);
  const file = await json(["files", "upload", path, "--thread", thread.id]);
  expect((await json(["files", "list", thread.id, "--kind", "attachment"])).data).toHaveLength(2);
  expect(await done(["files", "get", file.id])).toContain("text/csv");
  expect(await done(["files", "download", file.id, "--output", "-"])).toBe("a,b\n");
  await done(["files", "delete", file.id, "--yes"]);
  expect(await refused(["files", "get", file.id])).toMatchObject({ code: 1 });
});

test("endpoints and jobs: called, followed, waited for and canceled", async () => {
  expect(await done(["endpoints", "list"])).toContain("/endpoints/later");
  expect(await json(["endpoints", "call", "later", "{}"])).toBe("done");
  const start = async (path: string): Promise<string> => {
    const headers = { authorization: `Bearer ${server.token}`, "content-type": "application/json" };
    const response = await fetch(`${server.baseUrl}/endpoints/${path}`, { method: "POST", headers, body: "{}" });
    return ((await response.json()) as { job_id: string }).job_id;
  };
  const job = await start("later");
  expect(await done(["jobs", "follow", job])).toBe('started\n 50 %  counting\n"done"\n');
  expect(await json(["jobs", "wait", job])).toMatchObject({ state: "completed" });
  const held = await start("never");
  expect(await json(["jobs", "get", held])).toMatchObject({ job_id: held });
  await done(["jobs", "cancel", held]);
});

test("collections and documents: made, opened, filled, searched and deleted", async () => {
  const path = join(await folder(), "refunds.md");
  await writeFile(path, "# Refunds\n\nA refund takes ten days.\n");
  await json(["collections", "create", "handbook", "--language", "english", "--description", "Rules"]);
  expect(await done(["collections", "list"])).toContain("handbook");
  expect(await json(["collections", "get", "handbook"])).toMatchObject({ description: "Rules" });
  expect(await json(["collections", "update", "handbook", "--name", "The handbook"])).toMatchObject({
    name: "The handbook",
  });
  expect(await json(["collections", "set-access", "handbook", "--organization"])).toMatchObject({ organization: true });
  expect(await json(["collections", "get-access", "handbook"])).toMatchObject({ organization: true });
  const document = await json(["documents", "add", "handbook", path]);
  expect(await done(["documents", "list", "handbook"])).toContain(document.id);
  expect(await json(["documents", "get", document.id])).toMatchObject({ title: "Refunds" });
  expect(await json(["documents", "replace", document.id, path, "--revision", document.revision])).toMatchObject({
    id: document.id,
  });
  expect(await done(["documents", "search", "refund"])).toContain("handbook · passage 1");
  expect(await done(["documents", "show", document.id])).toContain("ten days");
  await done(["documents", "delete", document.id, "--yes"]);
  await done(["collections", "delete", "handbook", "--yes"]);
  expect((await json(["collections", "list"])).data).toEqual([]);
});

test("agents: drafted, published, compared, restored, opened and deleted", async () => {
  const draft = { name: "Guide", instructions: "Be kind.", model: { connection: "scripted" } };
  const made = await json(["agents", "create", "guide", "--draft", "-", "--no-api-access"], JSON.stringify(draft));
  expect(made).toMatchObject({ slug: "guide", api_access: false, draft: { instructions: "Be kind." } });
  await done(["agents", "publish", "guide", "--revision", made.revision]);
  const changed = JSON.stringify({ ...draft, instructions: "Be short." });
  await done(["agents", "update", "guide", "--draft", "-", "--api-access", "--access-mode", "invited"], changed);
  expect(await done(["agents", "diff", "guide", "1"])).toContain('- "Be kind."\n+ "Be short."\n');
  await done(["agents", "publish", "guide"]);
  expect(await done(["agents", "activate", "guide", "1"])).toMatch(/^version +1$/m);
  expect((await json(["agents", "versions", "guide"])).data.map(({ live }: { live: boolean }) => live)).toEqual([
    false,
    true,
  ]);
  expect(await json(["agents", "version", "guide", "2"])).toMatchObject({ config: { instructions: "Be short." } });
  const stale = await refused(["agents", "unpublish", "guide", "--revision", made.revision]);
  expect([stale.code, stale.stderr]).toEqual([1, expect.stringContaining("precondition_failed")]);
  await done(["agents", "unpublish", "guide"]);
  const { userId } = await server.person("member");
  expect(await json(["agents", "set-access", "guide", "--user", userId])).toEqual({ users: [userId], groups: [] });
  expect(await done(["agents", "get-access", "guide"])).toContain(userId);
  expect(await refused(["agents", "set-access", "guide"])).toMatchObject({ code: 2 });
  expect(await done(["agents", "get", "guide"])).toMatch(/^access_mode +invited$/m);
  await done(["agents", "delete", "guide", "--yes"]);
  expect(await done(["agents", "list"])).not.toContain("guide");
});

test("tools and models: the key comes from outside, is never shown, and the connection is tried", async () => {
  expect(await done(["tools", "list"])).toContain("refund");
  const address = ["--provider-url", server.model.baseUrl, "--model", "echo"];
  const create = ["models", "create", "spare", "--kind", "openai-compatible", ...address];
  expect(await done([...create, "--key"], "sk-from-stdin\n")).toMatch(/^has_key +true$/m);
  env.SPARE_KEY = "sk-from-env";
  expect(await json(["models", "update", "spare", "--key-env", "SPARE_KEY"])).toMatchObject({ has_key: true });
  expect(await done(["models", "test", "spare"])).toBe("You said: Answer with the word ready.\n");
  const [call] = server.model.calls("echo").slice(-1);
  expect(call?.headers.authorization).toBe("Bearer sk-from-env");
  expect(await json(["models", "update", "spare", "--no-key"])).toMatchObject({ has_key: false });
  expect(await done(["models", "get", "spare"])).toMatch(/^slug +spare$/m);
  expect(await done(["models", "list"])).toContain("scripted");
  await done(["models", "delete", "spare", "--yes"]);
  expect(await refused([...create, "--key"])).toMatchObject({ code: 2 });
  expect((await refused([...create, "--key-env", "NOT_SET"])).stderr).toContain("NOT_SET, which is not set");
  const broken = await json(["models", "create", "broken", "--kind", "openai-compatible", ...address]);
  server.model.script("down", () => ({ status: 400 }));
  expect(await refused(["models", "test", broken.id, "--model", "down"])).toMatchObject({ code: 3, stderr: "" });
});

test("the organization, members and groups", async () => {
  expect(await json(["organization", "update", "--name", "Acme & Co", "--runs-at-once", "50"])).toMatchObject({
    name: "Acme & Co",
    runs_at_once: 50,
  });
  await done(["organization", "update", "--runs-at-once", "default"]);
  expect(await json(["organization", "get"])).toMatchObject({ runs_at_once: null });
  await done(["members", "add", "bo@example.com", "--name", "Bo"]);
  expect(await done(["members", "list", "--limit", "all"])).toContain("bo@example.com");
  expect(await json(["members", "update", "bo@example.com", "--role", "guest", "--suspended"])).toMatchObject({
    role: "guest",
    suspended: true,
  });
  await done(["members", "update", "bo@example.com", "--no-suspended"]);
  await done(["groups", "create", "payments", "--user", "bo@example.com"]);
  expect((await json(["groups", "update", "payments", "--empty", "--name", "Pay"])).user_ids).toEqual([]);
  expect(await done(["groups", "list"])).toContain("Pay");
  await done(["groups", "delete", "payments", "--yes"]);
  await done(["members", "remove", "bo@example.com", "--yes"]);
  const gone = await refused(["members", "update", "bo@example.com", "--suspended"]);
  expect([gone.code, gone.stderr]).toEqual([2, expect.stringContaining("there is no member bo@example.com")]);
});

describe("a person with a password", () => {
  const as = ["--as", "cy@example.com"];

  test("is invited, accepts, and gets a first token", async () => {
    const sent = await json(["invitations", "create", "cy@example.com", "--role", "admin"]);
    expect(await done(["invitations", "list", "--state", "open"])).toContain("cy@example.com");
    expect(await json(["invitations", "get", sent.invitation.id])).toMatchObject({ state: "open" });
    const { url } = await json(["invitations", "resend", sent.invitation.id]);
    expect(await done(["invitations", "preview"], `${url}\n`)).toMatch(/^email +cy@example.com$/m);
    const accepted = await json(["invitations", "accept", "--name", "Cy"], `${url.split("#")[1]}\n${PASSWORD}\n`);
    expect(accepted).toMatchObject({ email: "cy@example.com", role: "admin" });
    const { secret } = await json([...as, "tokens", "create", "--label", "laptop"]);
    expect((await inProcess(["me"], { ...env, CALLBOARD_TOKEN: secret })).stdout).toContain("cy@example.com");
    const other = await json(["invitations", "create", "di@example.com"]);
    expect(await json(["invitations", "revoke", other.invitation.id])).toMatchObject({ state: "revoked" });
  });

  test("sees and ends sessions; each command leaves none behind", async () => {
    expect(await json([...as, "session", "get"])).not.toHaveProperty("csrf_token");
    const { organization_id } = await json([...as, "session", "switch", server.id]);
    expect(organization_id).toBe(server.id);
    const { data } = await json([...as, "sessions", "list"]);
    expect(data).toMatchObject([{ current: true, method: "password", user_agent: "callboard command line" }]);
    expect(await refused([...as, "sessions", "end", data[0].id])).toMatchObject({ code: 1 });
    await done([...as, "sessions", "end-all", "--yes"]);
    const withToken = await refused(["sessions", "list"]);
    expect([withToken.code, withToken.stderr]).toEqual([2, expect.stringContaining("expected --as <email>")]);
  });

  test("changes the password, or sets it by a link", async () => {
    const second = "a cat has nine lives";
    await done([...as, "password", "change"], `${second}\n`);
    const wrong = await refused([...as, "me"]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("sign_in_refused")]);
    const link = await json(["password-links", "create", "cy@example.com"]);
    expect(link).not.toHaveProperty("token");
    await done(["password", "reset"], `${link.url}\n${PASSWORD}\n`);
    expect(await done([...as, "me"])).toContain("cy@example.com");
  });
});

test("tokens: made, listed, changed, rotated and revoked", async () => {
  const { token, secret } = await json(["tokens", "create", "--kind", "service", "--label", "shop", "--agent", "desk"]);
  expect(secret).toMatch(/^cbs_/);
  const listed = await done(["tokens", "list"]);
  expect(listed).toContain(token.id);
  expect(listed).not.toContain(secret);
  expect(await json(["tokens", "update", token.id, "--label", "till"])).toMatchObject({ label: "till" });
  expect((await json(["tokens", "rotate", token.id])).secret).not.toBe(secret);
  expect(await json(["tokens", "revoke", token.id])).toMatchObject({ revoked_at: expect.any(String) });
});

test("single sign-on: made, changed and deleted; the secret comes from outside and is never shown", async () => {
  await done(["groups", "create", "devices"]);
  const settings = ["--issuer", server.model.baseUrl, "--client-id", "callboard", "--domain", "example.com"];
  const made = await json(["sso-connections", "create", "acme", ...settings, "--client-secret"], "s3cret\n");
  expect(made).toMatchObject({ slug: "acme", has_secret: true, provisioning: false });
  const mapping = ["--groups-claim", "groups", "--group-mapping", "dev=team=devices"];
  const changed = await json(["sso-connections", "update", "acme", "--no-client-secret", "--no-enabled", ...mapping]);
  expect(changed).toMatchObject({ has_secret: false, enabled: false, groups_claim: "groups" });
  expect(Object.keys(changed.group_mapping)).toEqual(["dev=team"]);
  expect(await done(["sso-connections", "get", "acme"])).toContain("/sso/acme/callback");
  expect(await done(["sso-connections", "list"])).toContain("acme");
  await done(["sso-connections", "delete", "acme", "--yes"]);
});

test("budgets and usage", async () => {
  const budget = await json(["budgets", "create", "--agent", "desk", "--micros", "5000000", "--action", "ask"]);
  expect(budget).toMatchObject({ period: "month", limit_micros: 5_000_000, limit_tokens: null, action: "ask" });
  expect(await json(["budgets", "update", budget.id, "--micros", "none", "--tokens", "9"])).toMatchObject({
    limit_micros: null,
    limit_tokens: 9,
  });
  expect(await done(["budgets", "list"])).toContain(`agent ${budget.subject.id}`);
  await done(["budgets", "delete", budget.id, "--yes"]);
  expect(await done(["usage", "--by", "model"])).toContain("openai-compatible/desk");
  expect(await done(["usage", "--by", "agent"])).toMatch(/^desk /m);
  expect(await done(["usage", "--by", "user"])).toMatch(/@example\.com /);
  expect((await json(["usage", "calls", "--agent", "desk"])).data.length).toBeGreaterThan(0);
});

test("the audit log: listed, exported whole, and checked by the server", async () => {
  expect((await json(["audit", "list", "--action", "budget.delete", "--limit", "1"])).data).toHaveLength(1);
  const { anchor, seq } = await json(["audit", "head", "--server"]);
  const entries = (await done(["audit", "export"])).trimEnd().split("\n");
  expect(entries.map((line) => JSON.parse(line).seq)).toEqual(Array.from({ length: seq }, (_, i) => seq - i));
  expect(await json(["audit", "verify", "--server", "--anchor", anchor])).toMatchObject({ ok: true });
  const other = await refused(["audit", "verify", "--server", "--anchor", `${seq}:${"0".repeat(64)}`]);
  expect(other).toMatchObject({ code: 1, stdout: expect.stringContaining("BROKEN") });
});

test("no route is left out", () => {
  /** Addresses for a browser to go to. */
  const forBrowsers = ["sso.start", "sso.callback"];
  const left = Object.keys(routes).filter((name) => !asked.has(name) && !forBrowsers.includes(name));
  expect(left).toEqual([]);
});
