/** Tools of an MCP server that change or go away while agents that were published with them are at work. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "../../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../testing/server.ts";
import { modernServer } from "./fixture.ts";

type Offered = "as published" | "with another argument" | "gone";
let offered: Offered = "as published";
let calls: unknown[] = [];
let mcp: Awaited<ReturnType<typeof modernServer>>;
let server: TestServer;

beforeAll(async () => {
  mcp = await modernServer((box) => {
    if (offered === "gone") return;
    const more = offered === "as published" ? {} : { reason: z.string() };
    box.registerTool("refund", { inputSchema: z.object({ id: z.string(), ...more }) }, async (input) => {
      calls.push(input);
      return { content: [{ type: "text", text: "refunded" }] };
    });
  });
  server = await startTestServer({
    config: { mcpServers: { crm: { url: mcp.url } } },
    agents: {
      desk: { name: "Desk", tools: ["crm__refund"] },
      careful: { name: "Careful", tools: [{ name: "crm__refund", approval: "always" }] },
    },
  });
});
afterAll(async () => {
  await server.stop();
  await mcp.stop();
});
beforeEach(async () => {
  await offer("as published");
  calls = [];
});

/** The server has it so, and ours was told. */
async function offer(what: Offered): Promise<void> {
  if (what === offered) return;
  offered = what;
  mcp.changed();
  const told: Record<Offered, unknown> = {
    "as published": ["id"],
    "with another argument": ["id", "reason"],
    gone: undefined,
  };
  for (;;) {
    const tools: Array<{ name: string; input_schema: { required?: string[] } }> = (await server.client().get("/tools"))
      .body.data;
    const found = tools.find(({ name }) => name === "crm__refund")?.input_schema.required;
    if (JSON.stringify(found) === JSON.stringify(told[what])) return;
  }
}
const body = { input: { type: "user.message", text: "go" } };
const refund = callTool("crm__refund", { id: "7" });

test("a tool that goes away during a run has the model told so, and the next run ends before its model is asked", async () => {
  const said: string[] = [];
  server.model.script("desk", async ({ toolResults }) => {
    said.push(...toolResults);
    if (said.length === 1) await offer("gone");
    return said.length < 2 ? refund : say("done");
  });
  const wait = { headers: { prefer: "wait=60" } };
  const { body: run } = await server.client().post("/agents/desk/runs", body, wait);
  expect(run).toMatchObject({ state: "completed" });
  expect(said).toEqual(["refunded", expect.stringContaining("crm__refund")]);
  expect(calls).toEqual([{ id: "7" }]);
  const asked = server.model.calls("desk").length;
  const { body: next } = await server.client().post("/agents/desk/runs", body, wait);
  expect(next).toMatchObject({ state: "failed", error: { code: "tool_missing" } });
  expect(next.error.message).toContain("crm__refund");
  expect(server.model.calls("desk")).toHaveLength(asked);
});

test("a tool that takes other arguments during a run has the model told what they are", async () => {
  const said: string[] = [];
  server.model.script("desk", async ({ toolResults }) => {
    said.push(...toolResults);
    if (said.length === 0) return refund;
    if (said.length === 1) await offer("with another argument");
    if (said.length === 3) return say("done");
    return said.length === 1 ? refund : callTool("crm__refund", { id: "7", reason: "late" });
  });
  const { body: run } = await server.client().post("/agents/desk/runs", body, { headers: { prefer: "wait=60" } });
  expect(run).toMatchObject({ state: "completed" });
  expect(said).toEqual(["refunded", expect.stringContaining("reason"), "refunded"]);
  expect(calls).toEqual([{ id: "7" }, { id: "7", reason: "late" }]);
});

test.each(["with another argument", "gone"] as const)(
  "a call that a person allowed is not made when its tool is %s by then",
  async (what) => {
    server.model.script("careful", ({ toolResults }) => (toolResults.length === 0 ? refund : say("done")));
    const client = server.client();
    const { body: run } = await client.post("/agents/careful/runs", body);
    let asked: { id: string } | undefined;
    while (asked === undefined) {
      [asked] = (await client.get(`/permissions?state=pending&thread_id=${run.thread_id}`)).body.data ?? [];
    }
    await offer(what);
    await client.post(`/permissions/${asked.id}/decision`, { decision: "allow_once" });
    const ended = await client.get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } });
    expect(ended.body).toMatchObject({ state: "failed", error: { code: "tool_missing" } });
    expect(calls).toEqual([]);
  },
);
