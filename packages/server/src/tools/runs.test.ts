/** Built-in tools through whole runs: a model calls them, the log shows the calls, their files are artifacts. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { modernServer, until } from "./mcp/fixture.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

const KEY = "s3cret-operator-key";
const lines: string[] = [];
let server: TestServer;
let web: { base: string; asked: string[]; stop(): void };
let mcp: Awaited<ReturnType<typeof modernServer>>;
let away: Awaited<ReturnType<typeof modernServer>>;
let onSlow: (response: ServerResponse) => void = () => {};

async function startWeb() {
  const asked: string[] = [];
  const listening = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`);
    if (request.url === "/slow") onSlow(response);
    else response.writeHead(200, { "content-type": "text/plain" }).end("a price of 7");
  });
  await new Promise<void>((done) => listening.listen(0, "127.0.0.1", done));
  const stop = () => {
    listening.closeAllConnections();
    listening.close();
  };
  return { base: `http://127.0.0.1:${(listening.address() as AddressInfo).port}`, asked, stop };
}

beforeAll(async () => {
  web = await startWeb();
  mcp = await modernServer((box) => {
    box.registerTool("search", { inputSchema: z.object({ query: z.string() }) }, async ({ query }) => ({
      content: [{ type: "text", text: `found ${query}` }],
    }));
  });
  away = await modernServer(() => {});
  await away.pause();
  server = await startTestServer({
    config: {
      http: { allow: [{ host: web.base, headers: { authorization: `Bearer ${KEY}` } }] },
      mcpServers: {
        crm: { url: mcp.url, headers: { authorization: `Bearer ${KEY}` }, tools: { search: { effect: "read" } } },
        away: { url: away.url },
      },
    },
    agents: {
      reader: { name: "Reader", tools: ["http_get"] },
      sender: { name: "Sender", tools: ["http_request"] },
      worker: { name: "Worker", tools: ["workspace_run"] },
      seller: { name: "Seller", tools: ["crm__search", { name: "read_file", approval: "always" }] },
      asker: { name: "Asker", tools: [{ name: "crm__search", approval: "always" }] },
    },
    env: { CALLBOARD_LOG_LEVEL: "debug" },
    onLog: (line) => void lines.push(line),
  });
});
afterAll(async () => {
  await server.stop();
  await mcp.stop();
  await away.stop().catch(() => undefined);
  web.stop();
});

/** The model makes these calls one after the other, then says what the last one answered. */
function script(agent: string, ...calls: Array<[tool: string, input: object]>) {
  server.model.script(agent, ({ messages, toolResults }) => {
    const made = messages.filter((message: Anything) => message.role === "tool").length;
    const next = calls[made];
    return next === undefined ? say(`${toolResults.at(-1)}`) : callTool(...next);
  });
}

async function run(agent: string, thread?: string) {
  const body = { input: { type: "user.message", text: "go" }, ...(thread === undefined ? {} : { thread_id: thread }) };
  const made = (await server.client().post(`/agents/${agent}/runs`, body, { headers: { prefer: "wait=60" } })).body;
  const events: Anything[] = (await server.client().get(`/threads/${made.thread_id}/events`)).body.data;
  return { run: made, events };
}
/** A run that waits for a person. */
async function runUntilAsked(agent: string) {
  const made = (await server.client().post(`/agents/${agent}/runs`, { input: { type: "user.message", text: "go" } }))
    .body;
  for (;;) {
    const events: Anything[] = (await server.client().get(`/threads/${made.thread_id}/events`)).body.data;
    const asked = events.find(({ type }) => type === "permission.requested");
    if (events.some(({ type }) => type === "run.waiting")) return { run: made, asked: asked.data };
  }
}
const completed = (events: Anything[]) =>
  events.filter(({ type }) => type === "tool.call.completed").map(({ data }) => `${data.tool} ${data.outcome}`);

test("http_get: the answer reaches the model, the operator's key nobody", async () => {
  script("reader", ["http_get", { url: `${web.base}/price` }]);
  const { run: made, events } = await run("reader");
  expect(made.result.text).toContain("a price of 7");
  expect(completed(events)).toEqual(["http_get ok"]);
  expect(web.asked).toContain(`GET /price Bearer ${KEY}`);
});

test("http_request waits for a person, and is sent once when they allow it", async () => {
  script("sender", ["http_request", { url: `${web.base}/order`, method: "POST", body: "{}" }]);
  const { run: made, asked } = await runUntilAsked("sender");
  expect(asked).toMatchObject({ tool: "http_request", input: { method: "POST" } });
  expect(web.asked.filter((line) => line.startsWith("POST"))).toEqual([]);
  const decision = { type: "permission.decision", permission_id: asked.permission_id, decision: "allow_once" };
  await server.client().post(`/threads/${made.thread_id}/events`, decision);
  for (let state = ""; state !== "completed"; ) state = (await server.client().get(`/runs/${made.id}`)).body.state;
  expect(web.asked.filter((line) => line.startsWith("POST"))).toEqual([`POST /order Bearer ${KEY}`]);
});

test("workspace_run: attachments are at /files, and what it writes is an artifact of the next call, too", async () => {
  const thread = (await server.client().post("/agents/worker/threads", {})).body.thread.id;
  await server
    .client()
    .upload(`/threads/${thread}/files`, { name: "sales.csv", bytes: "team,sum\nred,3\nblue,4\nred,5\n" });
  script(
    "worker",
    [
      "workspace_run",
      {
        command: "awk -F, 'NR>1 {s[$1]+=$2} END {for (t in s) print t, s[t]}' /files/sales.csv | sort > /out/report.md",
      },
    ],
    ["workspace_run", { command: "cat /files/report.md" }],
  );
  const { run: made, events } = await run("worker", thread);
  expect(completed(events)).toEqual(["workspace_run ok", "workspace_run ok"]);
  expect(made.result.text).toContain("blue 4\\nred 8");
  const files = (await server.client().get(`/threads/${thread}/files`, { query: { kind: "artifact" } })).body.data;
  expect(files).toMatchObject([{ name: "report.md", kind: "artifact", media_type: "text/markdown", run_id: made.id }]);
  expect(events.some(({ type, data }) => type === "file.added" && data.file.id === files[0].id)).toBe(true);
});

test("a canceled run ends the command it waits for", async () => {
  script("worker", ["workspace_run", { command: "for i in $(seq 1 9000); do seq 1 90000 | sort -r | md5sum; done" }]);
  const body = { input: { type: "user.message", text: "go" } };
  const made = (await server.client().post("/agents/worker/runs", body)).body;
  await until(() => server.model.calls("worker").length > 0);
  let state = "";
  while (state !== "running") {
    const events: Anything[] = (await server.client().get(`/threads/${made.thread_id}/events`)).body.data;
    if (events.some(({ type }) => type === "tool.call.started")) state = "running";
  }
  await server.client().post(`/runs/${made.id}/cancel`);
  while (state !== "canceled") state = (await server.client().get(`/runs/${made.id}`)).body.state;
  // Its place is free again for the next one.
  script("worker", ["workspace_run", { command: "echo on" }]);
  expect((await run("worker")).run.result.text).toContain("on");
});

test("a canceled run closes the request it waits for", async () => {
  const closed = new Promise<void>((done) => {
    onSlow = (response) => response.on("close", done);
  });
  script("reader", ["http_get", { url: `${web.base}/slow` }]);
  const body = { input: { type: "user.message", text: "go" } };
  const made = (await server.client().post("/agents/reader/runs", body)).body;
  await until(() => web.asked.some((line) => line.startsWith("GET /slow")));
  await server.client().post(`/runs/${made.id}/cancel`);
  await closed;
});

describe("an MCP server's tool", () => {
  test("is listed, called by an agent that has it, and named in the log", async () => {
    const tools: Anything[] = (await server.client().get("/tools")).body.data;
    expect(tools.find(({ name }) => name === "crm__search")).toMatchObject({ effect: "read" });
    script("seller", ["crm__search", { query: "ada" }]);
    const { run: made, events } = await run("seller");
    expect(made.result.text).toBe("found ada");
    expect(completed(events)).toEqual(["crm__search ok"]);
  });

  test("asks a person where the agent says so", async () => {
    script("asker", ["crm__search", { query: "ada" }]);
    const { run: made, asked } = await runUntilAsked("asker");
    expect(asked.tool).toBe("crm__search");
    await server.client().post(`/runs/${made.id}/cancel`);
  });

  test("that was never listed cannot be published", async () => {
    const draft = { name: "Hopeful", tools: [{ name: "away__search" }] };
    await server.client().post("/agents", { slug: "hopeful", draft });
    const answer = await server.client().post("/agents/hopeful/publish");
    expect(answer).toMatchObject({ status: 422, body: { error: { code: "draft_invalid" } } });
    expect(answer.text).toContain("there is no tool away__search on this server");
  });

  test("that a process was never told ends the run with the reason; one that was told goes on", async () => {
    script("seller", ["crm__search", { query: "ada" }]);
    await mcp.pause();
    const second = await server.second();
    try {
      const client = new HttpClient(second.baseUrl, { token: server.token });
      const body = { input: { type: "user.message", text: "go" } };
      const made = (await client.post("/agents/seller/runs", body, { headers: { prefer: "wait=60" } })).body;
      expect(made.error).toMatchObject({ code: "tool_missing" });
      expect(made.error.message).toContain(
        "its MCP server crm could not be listed: the MCP server crm cannot be reached",
      );
      const { run: other, events } = await run("seller");
      expect(other.state).toBe("completed");
      expect(completed(events)).toEqual(["crm__search error"]);
    } finally {
      await second.stop();
      await mcp.resume();
    }
  });
});

test("the operator's key is in no answer, no event and no line of the log", async () => {
  const said = [
    (await server.client().get("/tools")).text,
    ...(await Promise.all(
      ["reader", "seller", "sender"].map(async (agent) => {
        const threads: Anything[] = (await server.client().get(`/agents/${agent}/threads`)).body.data;
        const texts = threads.map(async ({ id, last_run_id }) => [
          (await server.client().get(`/threads/${id}/events`)).text,
          (await server.client().get(`/runs/${last_run_id}/transcript`)).text,
        ]);
        return (await Promise.all(texts)).flat().join("\n");
      }),
    )),
    ...lines,
  ].join("\n");
  expect(said).toContain("crm__search");
  expect(said).not.toContain(KEY);
});
