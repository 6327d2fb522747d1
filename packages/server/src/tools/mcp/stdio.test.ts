import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { noProjectFile } from "../../config/index.ts";
import { use } from "../fixture.ts";
import { loadTools } from "../registry.ts";
import { recordingLog, until } from "./fixture.ts";

const require = createRequire(import.meta.url);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "callboard-mcp-"));
  await writeFile(
    join(folder, "server.cjs"),
    `const { McpServer } = require(${JSON.stringify(require.resolve("@modelcontextprotocol/server"))});
     const { serveStdio } = require(${JSON.stringify(require.resolve("@modelcontextprotocol/server/stdio"))});
     serveStdio(() => {
       const server = new McpServer({ name: "local", version: "1" });
       server.registerTool("environment", {}, async () => ({ content: [{ type: "text", text: JSON.stringify(process.env) }] }));
       server.registerTool("pid", {}, async () => ({ content: [{ type: "text", text: String(process.pid) }] }));
       server.registerTool("die", {}, async () => process.exit(1));
       return server;
     });`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function local(more: { command?: string; args?: string[]; env?: Record<string, string> } = {}) {
  const target = { command: process.execPath, args: [join(folder, "server.cjs")], env: {}, timeoutMs: 20_000, ...more };
  const log = recordingLog();
  const file = { ...noProjectFile, mcpServers: { local: target } };
  const tools = await loadTools({ project: null, file, allowPrivateNetwork: false, log });
  await tools.ready();
  return { tools, log };
}

test("a program's tools are called, it sees only the environment it was given, and it ends with the server", async () => {
  process.env.MCP_CANARY = "s3cret-canary";
  const { tools } = await local({ env: { OWN: "given" } });
  const environment = await use(tools, "local__environment", {});
  delete process.env.MCP_CANARY;
  expect(JSON.parse(environment.text)).toMatchObject({ OWN: "given" });
  expect(environment.text).not.toContain("s3cret-canary");
  const pid = Number((await use(tools, "local__pid", {})).text);
  expect(isAlive(pid)).toBe(true);
  await tools.stop();
  await until(() => !isAlive(pid));
});

test("a program that dies fails the call, and is started again by the next one", async () => {
  const { tools } = await local();
  const before = (await use(tools, "local__pid", {})).text;
  expect(await use(tools, "local__die", {})).toMatchObject({
    outcome: "error",
    reason: "the MCP server local closed the connection; it may have done the work all the same",
  });
  const after = await use(tools, "local__pid", {});
  expect(after).toMatchObject({ outcome: "ok" });
  expect(after.text).not.toBe(before);
  await tools.stop();
});

test("a program that is not there is a problem of its tools alone", async () => {
  const { tools, log } = await local({ command: join(folder, "nothing"), env: { KEY: "s3cret-key" } });
  expect(tools.missing("local__x")).toContain("the MCP server local cannot be started");
  expect(log.lines.join()).not.toContain("s3cret-key");
  await tools.stop();
});
