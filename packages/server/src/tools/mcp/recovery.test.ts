/** A call of an MCP server's tool that its process could not end. */
import { expect, onTestFinished, test } from "vitest";
import { HttpClient } from "../../testing/http-client.ts";
import { callTool, say } from "../../testing/scripted-model.ts";
import { startTestServer } from "../../testing/server.ts";
import { modernServer, until } from "./fixture.ts";

test.each([
  ["idempotent", "is made again under the same id", 2],
  ["once", "is not made again", 1],
] as const)("a call of a tool that the operator says is %s %s", async (effect, _, times) => {
  const ids: unknown[] = [];
  const mcp = await modernServer((box) => {
    // What the server says about itself is the opposite, and not believed.
    const annotations = { idempotentHint: effect === "once", readOnlyHint: effect === "once" };
    box.registerTool("pay", { annotations }, async (ctx) => {
      ids.push(ctx.mcpReq._meta?.["callboard/call_id"]);
      if (ids.length === 1) await new Promise(() => {}); // its process stops in the middle of this
      return { content: [{ type: "text", text: "paid" }] };
    });
  });
  onTestFinished(() => mcp.stop());
  const server = await startTestServer({
    config: { mcpServers: { bank: { url: mcp.url, tools: { pay: { effect } } } } },
    agents: { payer: { name: "Payer", tools: ["bank__pay"] } },
  });
  onTestFinished(() => server.stop());
  server.model.script("payer", ({ toolResults }) => (toolResults.length === 0 ? callTool("bank__pay") : say("done")));
  const body = { input: { type: "user.message", text: "go" } };
  const { body: run } = await server.client().post("/agents/payer/runs", body);
  await until(() => ids.length === 1);
  const second = await server.second();
  try {
    await server.stopApp();
    const client = new HttpClient(second.baseUrl, { token: server.token });
    let outcome: string | undefined;
    while (outcome === undefined) {
      const events: Array<{ type: string; data: { outcome: string } }> = (
        await client.get(`/threads/${run.thread_id}/events`)
      ).body.data;
      outcome = events.find(({ type }) => type === "tool.call.completed")?.data.outcome;
      if (events.some(({ type }) => type === "run.waiting")) outcome ??= "asked about";
    }
    expect(outcome).toBe(effect === "once" ? "unknown" : "ok");
    expect(ids).toHaveLength(times);
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^call_/);
  } finally {
    await second.stop();
  }
});
