import { afterEach, describe, expect, test } from "vitest";
import { noProjectFile } from "../../config/index.ts";
import { use } from "../fixture.ts";
import { loadTools, type ToolRegistry } from "../registry.ts";
import { rawServer, recordingLog } from "./fixture.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function toolsOf(answer: (method: string) => unknown) {
  const server = await rawServer(answer);
  ends.push(server.stop);
  const log = recordingLog();
  const crm = { url: server.url, headers: {}, timeoutMs: 5000 };
  const file = { ...noProjectFile, mcpServers: { crm } };
  const tools = await loadTools({ project: null, file, allowPrivateNetwork: true, log });
  ends.push(() => tools.stop());
  await tools.ready();
  return { tools, log, server };
}

const listing = (...tools: unknown[]) => toolsOf((method) => (method === "tools/list" ? { tools } : { content: [] }));
const mcpNames = (tools: ToolRegistry) => [...tools.names()].filter((name) => name.startsWith("crm__")).sort();
const inputSchema = { type: "object" };

describe("a hostile listing", () => {
  test("loses the tools that cannot be used, with a line for each, and keeps the others", async () => {
    const { tools, log } = await listing(
      { name: "good", inputSchema },
      { name: "remote-schema", inputSchema: { type: "object", properties: { a: { $ref: "http://10.0.0.1/x" } } } },
      { name: "big", inputSchema: { type: "object", description: "x".repeat(100_000) } },
      { name: "good", inputSchema, description: "again" },
    );
    expect(mcpNames(tools)).toEqual(["crm__good"]);
    for (const name of ["remote-schema", "big"]) {
      expect(
        log.lines.filter((line) => line.includes("is left out") && line.includes(`"tool":"${name}"`)),
      ).toHaveLength(1);
    }
  });

  test("is cut, in number and in length", async () => {
    const many = Array.from({ length: 300 }, (_, i) => ({ name: `t${i}`, inputSchema, description: "d".repeat(9000) }));
    const { tools } = await listing(...many);
    expect(mcpNames(tools)).toHaveLength(200);
    expect(tools.get("crm__t7")?.definition.description).toHaveLength(2000);
  });

  test("cannot take the name of a tool that is there, or one that leads to prototypes", async () => {
    const { tools } = await listing(
      { name: "../read_file", inputSchema },
      { name: "__proto__", inputSchema },
      { name: "constructor", inputSchema },
    );
    expect(mcpNames(tools)).toEqual(["crm__constructor", "crm__proto", "crm__read_file"]);
    expect(tools.get("read_file")?.definition.description).toMatch(/^Read a text file/);
    expect(tools.get("__proto__")).toBeUndefined();
    expect(await use(tools, "crm__proto", {})).toMatchObject({ outcome: "ok" });
  });

  test("that goes on for ever ends", async () => {
    let pages = 0;
    const { tools } = await toolsOf((method) => {
      if (method !== "tools/list") return { content: [] };
      pages++;
      return { tools: [{ name: `t${pages}`, inputSchema }], nextCursor: `c${pages}` };
    });
    expect(pages).toBe(20);
    expect(mcpNames(tools)).toHaveLength(20);
  });

  test.each([
    ["no list", { tools: "none" }],
    ["nothing", null],
    ["a tool without a name", { tools: [{ inputSchema }] }],
  ])("that is %s is a problem and no crash", async (_, answer) => {
    const { tools } = await toolsOf(() => answer);
    expect(mcpNames(tools)).toEqual([]);
    expect(tools.missing("crm__x")).toContain("could not be listed");
  });
});

describe("a hostile answer", () => {
  const answering = (result: unknown) =>
    toolsOf((method) => (method === "tools/list" ? { tools: [{ name: "t", inputSchema }] } : result));

  test.each([
    ["nothing", null],
    ["a text", "text"],
    ["content that is none", { content: [{ type: "nonsense" }] }],
    ["a picture without bytes", { content: [{ type: "image" }] }],
  ])("that is %s is an error of the call", async (_, result) => {
    const { tools } = await answering(result);
    expect(await use(tools, "crm__t", {})).toMatchObject({ outcome: "error" });
  });

  test("that is too long or too much is cut or refused", async () => {
    const much = await answering({ content: Array.from({ length: 5000 }, () => ({ type: "text", text: "x" })) });
    expect(await use(much.tools, "crm__t", {})).toMatchObject({
      output: { content: expect.arrayContaining([{ type: "cut", left_out: 4900 }]) },
    });
    const wide = await answering({ content: [], structuredContent: { a: "x".repeat(300_000) } });
    expect(await use(wide.tools, "crm__t", {})).toMatchObject({
      outcome: "error",
      reason: expect.stringContaining("at most 262144 are accepted"),
    });
    const said = await answering({ isError: true, content: [{ type: "text", text: "e".repeat(9000) }] });
    expect((await use(said.tools, "crm__t", {})).text.length).toBeLessThan(2100);
  });

  test("that asks the server for something gets nothing", async () => {
    const { tools, server } = await answering({
      resultType: "input_required",
      inputRequests: { a: { method: "roots/list" } },
    });
    expect(await use(tools, "crm__t", {})).toMatchObject({ outcome: "error" });
    expect(server.seen.every(({ method }) => method === "POST" || method === "GET")).toBe(true);
  });
});
