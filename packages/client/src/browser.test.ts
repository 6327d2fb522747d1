import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { completed, delta } from "./testing/events.ts";
import { scriptedServer, sendJson } from "./testing/scripted-server.ts";

test("where there is nothing of Node, the client calls, waits, follows, uploads, refuses and stops", async () => {
  const thread = { id: "thread_1" };
  const run = { id: "run_1", thread_id: "thread_1", state: "queued" };
  const fields = [{ path: "input.text", message: "expected text" }];
  const error = { code: "invalid_request", message: "no", request_id: "req_1", details: { fields } };
  const server = await scriptedServer(({ method, url }, response) => {
    const route = `${method} ${url.replace("/api/v1", "")}`;
    if (route === "POST /agents/support/threads") return sendJson(response, 201, { thread, run });
    if (route === "GET /runs/run_1") return sendJson(response, 200, { ...run, state: "completed" });
    if (route === "GET /threads/thread_1") return sendJson(response, 200, { thread, run });
    if (route === "POST /threads/thread_1/files") return sendJson(response, 201, { id: "file_1" });
    if (route === "GET /me") return sendJson(response, 422, { error });
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of [delta(1, "Hi"), completed(2)]) {
      response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    }
  });

  const script = join(import.meta.dirname, "testing/no-node.ts");
  const args = ["--experimental-vm-modules", "--no-warnings", script, server.url];
  const { stdout } = await promisify(execFile)(process.execPath, args);

  expect(JSON.parse(stdout)).toEqual({
    globals: false,
    state: "completed",
    followed: ["agent.message.delta", "run.completed"],
    refusal: { isOurs: true, code: "invalid_request", requestId: "req_1", fields },
    aborted: ["enough", "left"],
  });
  const upload = server.seen.find(({ url }) => url.endsWith("/files"));
  expect(upload?.headers["content-length"]).toBeDefined();
  expect(upload?.body.toString()).toContain("\r\n\r\na,b\n\r\n");
});
