/** The triage endpoints on a real server with the built-in demo model. */
import { join } from "node:path";
import { createClient } from "@callboard/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../packages/server/src/testing/server.ts";
import { triageOutput } from "../lib/triage.ts";

const ticket = {
  ticket_body: "Since the update our card reader only shows E-17 and we cannot take cards.",
  product: "Dovetill",
};

let server: TestServer;
beforeAll(async () => {
  const env = { CALLBOARD_PROJECT: join(import.meta.dirname, ".."), CALLBOARD_DEMO_DELAY_MS: "0" };
  server = await startTestServer({ env });
  const demo = { slug: "demo", kind: "demo", default_model: "demo", is_default: true };
  expect((await server.client().post("/model-connections", demo)).status).toBe(201);
});
afterAll(() => server.stop());

const client = () => createClient({ baseUrl: server.baseUrl, token: server.token });

test.each(["triage-ticket", "triage-ticket-async"])("%s answers with what its schema says", async (path) => {
  const answer = triageOutput.parse(await client().endpoints.call(path, ticket));
  expect(answer.report).toContain("E-17");
  const { thread } = await client().threads.get(answer.thread_id);
  const files = await client().files.list(thread.id);
  expect(thread.state).toBe("idle");
  expect(files.data).toBeInstanceOf(Array);
});

test("a product that does not exist is refused with the field", async () => {
  const call = client().endpoints.call("triage-ticket", { ...ticket, product: "Toaster" });
  await expect(call).rejects.toMatchObject({ status: 422, details: { fields: [{ path: "product" }] } });
});
