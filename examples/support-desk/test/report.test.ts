/** The report writer on a real server with the built-in demo model, which runs the command that it is sent. */
import { join } from "node:path";
import { createClient } from "@callboard/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../packages/server/src/testing/server.ts";

let server: TestServer;
beforeAll(async () => {
  const env = { CALLBOARD_PROJECT: join(import.meta.dirname, ".."), CALLBOARD_DEMO_DELAY_MS: "0" };
  server = await startTestServer({ env });
  const demo = { slug: "demo", kind: "demo", default_model: "demo", is_default: true };
  expect((await server.client().post("/model-connections", demo)).status).toBe(201);
});
afterAll(() => server.stop());

test("an attached export becomes a report that can be downloaded", async () => {
  const { threads, files, events } = createClient({ baseUrl: server.baseUrl, token: server.token });
  const { thread } = await threads.create("report-writer", {});
  const csv = "ticket,product\n1,Dovetill\n2,Mossgate\n3,Dovetill\n";
  await server.client().upload(`/threads/${thread.id}/files`, { name: "tickets.csv", bytes: csv });
  await server.client().post(`/threads/${thread.id}/events`, {
    type: "user.message",
    text: "xan frequency -s product /files/tickets.csv > /out/report.md",
  });
  for await (const event of events.follow(thread.id)) if (event.type === "run.completed") break;
  const [report] = (await files.list(thread.id, { kind: "artifact" })).data;
  expect(report).toMatchObject({ name: "report.md", media_type: "text/markdown" });
  const content = await server.client().get(`/files/${report?.id}/content`);
  expect(content.text).toContain("product,Dovetill,2");
});
