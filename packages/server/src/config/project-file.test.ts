import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "./index.ts";
import { noProjectFile, readProjectFile } from "./project-file.ts";

let root: string;
let projects = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "callboard-config-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function project(source: string, name = "callboard.config.ts"): Promise<string> {
  const folder = join(root, `p${projects++}`);
  await mkdir(folder);
  await writeFile(join(folder, name), source);
  return folder;
}

async function read(definition: string) {
  const problems: string[] = [];
  const folder = await project(`export default { kind: "config", definition: ${definition} };`);
  const file = await readProjectFile(folder, (text) => problems.push(text.replace(`${folder}/`, "")));
  return { file, problems };
}
const problemsOf = async (definition: string) => (await read(definition)).problems;

describe("a project's file", () => {
  test("may be absent, and then closes what can be closed", async () => {
    const none = async (folder: string | null) => {
      const problems: string[] = [];
      expect(await readProjectFile(folder, (text) => problems.push(text))).toEqual(noProjectFile);
      expect(problems).toEqual([]);
    };
    await none(null);
    await none(join(root, "not-there"));
    expect(noProjectFile).toEqual({
      http: { allow: [] },
      mcpServers: {},
      workspace: { timeoutMs: 30_000, maxFilesMb: 64, concurrency: 2 },
    });
  });

  test("gets its defaults", async () => {
    const { file, problems } = await read(`{
      http: { allow: ["api.example.com", { host: "*.example.org", methods: ["GET"], headers: { "x-key": "k" } }] },
      mcpServers: {
        crm: { url: "https://crm.example/mcp", tools: { search: { effect: "read" }, "delete.it": {} } },
        local: { command: "mcp-files", args: ["/srv"] },
      },
      workspace: { timeoutMs: 5000 },
    }`);
    expect(problems).toEqual([]);
    expect(file.http.allow).toMatchObject([
      { host: { host: "api.example.com", below: false }, methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] },
      { host: { host: ".example.org", below: true }, methods: ["GET"], headers: { "x-key": "k" } },
    ]);
    const policy = { approval: "never", sensitive: false, public: { input: false, output: false } };
    expect(file.mcpServers).toEqual({
      crm: {
        url: "https://crm.example/mcp",
        headers: {},
        identity: false,
        timeoutMs: 60_000,
        tools: { search: { ...policy, effect: "read" }, "delete.it": { ...policy, effect: "once" } },
      },
      local: { command: "mcp-files", args: ["/srv"], env: {}, timeoutMs: 60_000 },
    });
    expect(file.workspace).toEqual({ timeoutMs: 5000, maxFilesMb: 64, concurrency: 2 });
    expect((await read("{ workspace: false }")).file.workspace).toBe(false);
  });

  test("is refused with the path of each unknown field", async () => {
    expect(
      await problemsOf(`{
        htp: {},
        http: { allow: [], deny: [] },
        mcpServers: { crm: { url: "https://a.example", tols: {} }, b: { command: "x", tools: { y: { effekt: "read" } } } },
        workspace: { network: true },
      }`),
    ).toEqual([
      "callboard.config.ts: http.deny: unknown field",
      "callboard.config.ts: mcpServers.crm.tols: unknown field",
      "callboard.config.ts: mcpServers.b.tools.y.effekt: unknown field",
      "callboard.config.ts: workspace.network: unknown field",
      "callboard.config.ts: htp: unknown field",
    ]);
  });

  test.each([
    ['{ http: { allow: ["*"] } }', "http.allow[0]: expected a host like"],
    ['{ http: { allow: [{ host: "a.example/path" }] } }', "http.allow[0].host: expected a host like"],
    ['{ http: { allow: [{ host: "a.example", methods: ["BREW"] }] } }', "http.allow[0].methods[0]: "],
    ['{ mcpServers: { Crm: { url: "https://a.example" } } }', "mcpServers.Crm: expected a name like crm"],
    ['{ mcpServers: { a__b: { url: "https://a.example" } } }', "mcpServers.a__b: expected a name like crm"],
    ['{ mcpServers: { crm: { url: "ftp://a.example" } } }', "mcpServers.crm.url: expected an http or https address"],
    ['{ mcpServers: { crm: { url: "https://me:pw@a.example" } } }', "mcpServers.crm.url: expected no user's name"],
    [
      '{ mcpServers: { crm: { url: "http://a.example", identity: true } } }',
      "mcpServers.crm.identity: expected an https address",
    ],
    ["{ mcpServers: { crm: {} } }", "mcpServers.crm.url: expected an http or https address"],
    ["{ mcpServers: { crm: 7 } }", "mcpServers.crm: "],
    ['{ mcpServers: { crm: { command: "" } } }', "mcpServers.crm.command: "],
    ["{ workspace: true }", "workspace: "],
    ["{ workspace: { maxFilesMb: 0 } }", "workspace.maxFilesMb: "],
    ["7", "the file: "],
  ])("%s is refused with its path", async (definition, expected) => {
    const problems = await problemsOf(definition);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`callboard.config.ts: ${expected}`);
  });

  test("tells a variable that is not set from a secret, and never repeats the secret", async () => {
    const problems = await problemsOf(`{ mcpServers: {
      a: { url: "https://a.example", headers: { authorization: process.env.NOT_SET_HERE } },
      b: { url: "https://b.example", headers: { authorization: \`Bearer \${process.env.NOT_SET_HERE}\` } },
      c: { url: "https://c.example", headers: { authorization: "s3cret\\nx: y" } },
      d: { url: "https://d.example", headers: { "bad name": "s3cret" } },
      e: { command: "x", env: { KEY: process.env.NOT_SET_HERE } },
    } }`);
    expect(problems).toHaveLength(5);
    expect(problems[0]).toContain(
      "mcpServers.a.headers.authorization: expected a text; is the environment variable set?",
    );
    expect(problems[1]).toContain("mcpServers.b.headers.authorization: ends in undefined");
    expect(problems[4]).toContain("mcpServers.e.env.KEY: expected a text; is the environment variable set?");
    expect(problems.join()).not.toContain("s3cret");
  });

  test("that is no configuration, or does not load, is a problem and no crash", async () => {
    const problems: string[] = [];
    const note = (text: string) => problems.push(text);
    await readProjectFile(await project("export default 7;"), note);
    await readProjectFile(await project("throw new Error('no vault here');", "callboard.config.mjs"), note);
    expect(problems[0]).toMatch(/callboard\.config\.ts: the default export must be defineConfig/);
    expect(problems[1]).toMatch(/callboard\.config\.mjs: no vault here$/);
  });
});

test("problems of the environment and of the file are told at once", async () => {
  const folder = await project('export default { kind: "config", definition: { htp: 1 } };');
  const error = await loadConfig({ PORT: "many", CALLBOARD_PROJECT: folder }, "dev").then(
    () => new Error("it loaded"),
    (cause: Error) => cause,
  );
  expect(error.message).toMatch(/PORT is many/);
  expect(error.message).toMatch(/callboard\.config\.ts: htp: unknown field/);
});

test("an MCP server is told who calls only by a server that says where it is", async () => {
  const servers =
    'a: { url: "https://a.example", identity: true }, b: { url: "http://localhost:1/mcp", identity: true }';
  const folder = await project(`export default { kind: "config", definition: { mcpServers: { ${servers} } } };`);
  const env = {
    CALLBOARD_PROJECT: folder,
    DATABASE_URL: "postgresql://localhost/x",
    CALLBOARD_SECRET_KEY: "k".repeat(43),
  };
  await expect(loadConfig(env, "serve")).rejects.toThrow(/CALLBOARD_PUBLIC_URL is missing: the MCP server a /);
  const { file } = await loadConfig({ ...env, CALLBOARD_PUBLIC_URL: "https://callboard.example.com" }, "serve");
  expect(Object.values(file.mcpServers)).toMatchObject([{ identity: true }, { identity: true }]);
});
