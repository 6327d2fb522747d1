/** The planner and its specialists on a real server with the built-in demo model. */
import { join } from "node:path";
import { createClient, type RunTree } from "@callboard/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../packages/server/src/testing/server.ts";
import { finding } from "../lib/specialists.ts";

let server: TestServer;
beforeAll(async () => {
  const env = { CALLBOARD_PROJECT: join(import.meta.dirname, ".."), CALLBOARD_DEMO_DELAY_MS: "0" };
  server = await startTestServer({ env });
  const demo = { slug: "demo", kind: "demo", default_model: "demo", is_default: true };
  expect((await server.client().post("/model-connections", demo)).status).toBe(201);
});
afterAll(() => server.stop());

const client = () => createClient({ baseUrl: server.baseUrl, token: server.token });
const text = "The reader shows E-17 and we cannot take cards. We were also charged twice for the subscription.";

test("the planner asks both specialists, who answer as their schema says", async () => {
  const started = await client().runs.create("case-planner", { input: { type: "user.message", text } });
  const run = await client().runs.wait(started.id);
  expect(run.state).toBe("completed");
  const { children } = (await client().runs.tree(run.id)) as RunTree;
  expect(children.map(({ agent_slug }) => agent_slug)).toEqual(["device-specialist", "account-specialist"]);
  for (const child of children) {
    expect(child.run.state).toBe("completed");
    finding.parse(child.run.result?.output);
  }
  expect(run.usage.input_tokens).toBeGreaterThan(
    children.reduce((sum, child) => sum + child.run.usage.input_tokens, 0),
  );
  expect(run.result?.text).toContain("agent_device_specialist");
});

test("nobody calls a specialist directly", async () => {
  const call = client().runs.create("device-specialist", { input: { type: "user.message", text } });
  await expect(call).rejects.toMatchObject({ status: 409, code: "api_access_disabled" });
});
