/** JSON nested without end, through every door by which JSON comes in: an answer or a refusal, never a failure. */
import { defineEndpoint, defineTool } from "@callboard/kit";
import { type Route, routes } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type ModelStep, say } from "../../packages/server/src/testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../packages/server/src/testing/server.ts";
import { rawServer } from "../../packages/server/src/tools/mcp/fixture.ts";
import { type Anything, must } from "./hostile-world.ts";

const levels = [300, 2000, 6000, 20_000, 200_000];
const shapes = {
  objects: (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`,
  lists: (depth: number) => `{"a":${"[".repeat(depth)}1${"]".repeat(depth)}}`,
};
const cases = levels.flatMap((depth) => Object.entries(shapes).map(([shape, make]) => ({ depth, shape, make })));
const nested = (depth: number): Anything => JSON.parse(shapes.objects(depth));
const free = z.any() as Anything;

let server: TestServer;
let mcp: Awaited<ReturnType<typeof rawServer>>;
let deep = "{}";
const lines: string[] = [];

beforeAll(async () => {
  mcp = await rawServer((method) =>
    method === "tools/list"
      ? { tools: [{ name: "deep", inputSchema: { type: "object" } }] }
      : { content: [{ type: "text", text: "deep" }], structuredContent: JSON.parse(deep) },
  );
  server = await startTestServer({
    config: { mcpServers: { crm: { url: mcp.url, tools: { deep: { effect: "read" } } } } },
    tools: {
      any: defineTool({
        description: "Takes anything, and answers with it.",
        input: free,
        inputJsonSchema: { type: "object" },
        effect: "read",
        public: { input: true, output: true },
        run: (input: Anything) => input,
      }),
      asks: defineTool({
        description: "Asks about anything.",
        input: free,
        inputJsonSchema: { type: "object" },
        effect: "once",
        approval: "always",
        sensitive: ["a.a"],
        run: () => "done",
      }),
      strict: defineTool({
        description: "Takes a text.",
        input: z.strictObject({ a: z.string() }) as never,
        effect: "read",
        run: () => "done",
      }),
      made: defineTool({
        description: "Answers with depth.",
        input: z.strictObject({ depth: z.number() }) as never,
        effect: "read",
        public: { input: true, output: true },
        run: ({ depth }: Anything) => nested(depth),
      }),
    },
    agents: {
      caller: { name: "Caller", tools: ["any", "asks", "strict", "made", "crm__deep"] },
      writer: { name: "Writer", output_schema: { type: "object" } },
      recursive: {
        name: "Recursive",
        output_schema: { type: "object", properties: { a: { $ref: "#" } } },
      },
    },
    endpoints: {
      echo: defineEndpoint({ method: "POST", input: free, output: free, mode: "sync", handle: ({ input }) => input }),
      deep: defineEndpoint({
        method: "POST",
        input: free,
        output: free,
        mode: "sync",
        handle: ({ input }) => nested((input as { depth: number }).depth),
      }),
      job: defineEndpoint({
        method: "POST",
        input: free,
        output: free,
        mode: "polling",
        handle: ({ input, relayStatus }) => {
          const { depth } = input as { depth: number };
          // What the handler does about its refusal is the handler's business.
          try {
            relayStatus("deep", { data: JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`) });
          } catch {}
          return nested(depth);
        },
      }),
    },
    env: { CALLBOARD_LOG_LEVEL: "error" },
    onLog: (line) => void lines.push(line),
  });
});
afterAll(async () => {
  await server.stop();
  await mcp.stop();
});

const headers = () => ({ authorization: `Bearer ${server.token}`, "content-type": "application/json" });
const endpoint = async (path: string, body: string) => {
  const answer = await fetch(`${server.baseUrl}/endpoints/${path}`, { method: "POST", headers: headers(), body });
  return { status: answer.status, text: await answer.text() };
};

/** A run that makes these calls and then ends; whatever its log and transcript say can be read. */
async function run(agent: string, ...steps: ModelStep[][]): Promise<Anything> {
  server.model.script(agent, ({ messages }) => {
    const next = steps[messages.filter(({ role }) => role === "assistant").length];
    return next === undefined ? say("done") : { steps: next };
  });
  const body = { input: { type: "user.message", text: "go" } };
  const made = must(await server.client().post(`/agents/${agent}/runs`, body));
  for (;;) {
    const found = must(await server.client().get(`/runs/${made.id}`, { headers: { prefer: "wait=1" } }));
    if (found.state === "waiting") {
      for (const { id } of found.waiting_for) {
        must(await server.client().get(`/permissions/${id}`));
        must(await server.client().post(`/permissions/${id}/decision`, { decision: "allow_once" }));
      }
    } else if (["completed", "failed"].includes(found.state)) {
      must(await server.client().get(`/threads/${found.thread_id}/events?limit=1000`));
      must(await server.client().get(`/runs/${found.id}/transcript`));
      const stream = await server.client().stream(`/threads/${found.thread_id}/events/stream`);
      for (const { data } of await stream.until(({ event }) => /run\.(completed|failed)/.test(event))) JSON.parse(data);
      stream.close();
      return found;
    }
  }
}

describe("a body", () => {
  const withBody = Object.entries<Route>(routes).filter(([, route]) => route.body !== undefined);

  test.each(withBody)("of %s is refused", async (_, route) => {
    const path = route.path.replace(/\{version\}/, "1").replace(/\{\w+\}/g, "nothing");
    for (const { depth, shape, make } of cases.filter(({ depth }) => depth >= 2000)) {
      const browser = { origin: server.baseUrl, "sec-fetch-site": "same-origin" };
      const answer = await server.client().send(route.method, path, {
        body: make(depth),
        headers: { ...headers(), ...browser },
      });
      expect([depth, shape, Math.floor(answer.status / 100)]).toEqual([depth, shape, 4]);
    }
  });

  test.each(["echo", "deep", "job"])("of the endpoint %s is refused", async (name) => {
    for (const { depth, make } of cases.filter(({ depth }) => depth >= 2000)) {
      expect([depth, (await endpoint(name, make(depth))).status]).toEqual([depth, 400]);
    }
  });
});

describe("an endpoint's answer", () => {
  test.each(levels)("of %i levels is JSON or an error of the endpoint", async (depth) => {
    const { status, text } = await endpoint("deep", JSON.stringify({ depth }));
    expect([200, 500]).toContain(status);
    const body = JSON.parse(text);
    if (status === 500) expect(body.error.code).toBe("endpoint_output_invalid");
  });

  test.each(levels)("of %i levels is a job's result or its error", async (depth) => {
    const { text } = await endpoint("job", JSON.stringify({ depth }));
    const { job_id: id } = JSON.parse(text);
    const job = must(await server.client().get(`/jobs/${id}?wait=60`));
    expect(["completed", "failed"]).toContain(job.state);
    if (job.state === "failed") expect(job.error.code).toBe("endpoint_output_invalid");
    const stream = await server.client().stream(`/jobs/${id}/stream`);
    for (const { data } of await stream.until(({ event }) => /job\.(completed|failed)/.test(event))) JSON.parse(data);
  });
});

describe("a model's call", () => {
  test.each(cases)("with $depth levels of $shape is made or refused", async ({ depth, make }) => {
    const calls = ["any", "asks", "strict", "crm__deep"].map((tool) => ({ tool, input: make(depth) }));
    const ended = await run("caller", calls);
    expect([ended.state, ended.error]).toEqual(["completed", undefined]);
  });

  test.each(cases)(
    "as JSON of $depth levels of $shape in the place of text, and with data beside it",
    async ({ depth, make }) => {
      const call = `{"index":0,"id":"c","function":{"name":"strict","arguments":${make(depth)}},"extra_content":${make(depth)}}`;
      const raw = `data: {"choices":[{"index":0,"delta":{"tool_calls":[${call}]}}]}\n\n`;
      const ended = await run("caller", [{ raw }]);
      expect(ended.error?.code).not.toBe("internal");
    },
  );
});

describe("a result", () => {
  test.each(levels)("of %i levels of a tool, and of an MCP server, is read or an error of the call", async (depth) => {
    deep = shapes.objects(depth);
    const ended = await run("caller", [
      { tool: "made", input: { depth } },
      { tool: "crm__deep", input: {} },
    ]);
    expect([ended.state, ended.error]).toEqual(["completed", undefined]);
  });

  test.each(cases)("of an agent, $depth levels of $shape, is its output or output_invalid", async ({ depth, make }) => {
    for (const agent of ["writer", "recursive"]) {
      const ended = await run(agent, [{ text: make(depth) }], [{ text: make(depth) }], [{ text: make(depth) }]);
      if (ended.state === "failed") expect(ended.error.code).toBe("output_invalid");
      else expect(ended.state).toBe("completed");
    }
  });
});

test("nothing of it was an error inside the server", () => {
  // What an author's handler answers is the author's error.
  const ours = lines.filter(
    (line) => /"level":"(error|fatal)"/.test(line) && !line.includes("endpoint_output_invalid"),
  );
  expect(ours).toEqual([]);
});
