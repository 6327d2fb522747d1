import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { type McpToolRule, noProjectFile } from "../../config/index.ts";
import { use } from "../fixture.ts";
import { loadTools, type ToolRegistry } from "../registry.ts";
import { legacyServer, listen, modernServer, recordingLog, type Toolbox, until } from "./fixture.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const rule = (more: Partial<McpToolRule> = {}): McpToolRule => ({
  effect: "once",
  approval: "never",
  sensitive: false,
  public: { input: false, output: false },
  ...more,
});

type Target = { headers?: Record<string, string>; tools?: Record<string, McpToolRule>; timeoutMs?: number };

async function toolsAt(url: string, more: Target = {}, allowPrivateNetwork = true) {
  const log = recordingLog();
  const crm = { url, headers: {}, identity: false, timeoutMs: 60_000, ...more };
  const tools = await loadTools({
    project: null,
    file: { ...noProjectFile, mcpServers: { crm } },
    allowPrivateNetwork,
    log,
  });
  ends.push(() => tools.stop());
  await tools.ready();
  return { tools, log };
}

const mcpNames = (tools: ToolRegistry) => [...tools.names()].filter((name) => name.startsWith("crm__")).sort();

/** Said where a call that must not happen twice may have happened. */
const doubt = "; it may have done the work all the same";

let hold: Promise<void> = Promise.resolve();
let canceled = 0;

const crm: Toolbox = (server) => {
  server.registerTool(
    "searchCustomers",
    {
      description: "Finds customers.",
      inputSchema: z.object({ query: z.string(), limit: z.int().max(50).default(5) }),
    },
    async ({ query, limit }) => ({ content: [{ type: "text", text: `${limit} of ${query}` }] }),
  );
  server.registerTool(
    "get-customer",
    {
      title: "Get customer",
      inputSchema: z.object({ id: z.string() }),
      outputSchema: z.object({ id: z.string(), open: z.boolean() }),
      annotations: { readOnlyHint: true },
    },
    async ({ id }) => ({ content: [{ type: "text", text: "…" }], structuredContent: { id, open: true } }),
  );
  server.registerTool("fail", {}, async () => ({
    isError: true,
    content: [{ type: "text", text: "no such customer" }],
  }));
  server.registerTool("throw", {}, async () => {
    throw new Error("inside");
  });
  server.registerTool("picture", {}, async () => ({
    content: [
      { type: "text", text: "a picture" },
      { type: "image", data: Buffer.alloc(3000).toString("base64"), mimeType: "image/png" },
      { type: "resource", resource: { uri: "file:///report", mimeType: "text/plain", text: "s3cret-resource" } },
      { type: "resource_link", uri: "https://example.com/x", name: "x" },
    ],
  }));
  server.registerTool("long", {}, async () => ({ content: [{ type: "text", text: "x".repeat(150_000) }] }));
  server.registerTool("huge", {}, async () => ({ content: [{ type: "text", text: "x".repeat(6_000_000) }] }));
  server.registerTool("which-call", {}, async (ctx) => ({
    content: [{ type: "text", text: JSON.stringify(ctx.mcpReq._meta?.["callboard/call_id"] ?? null) }],
  }));
  server.registerTool("slow", {}, async (ctx) => {
    ctx.mcpReq.signal.addEventListener("abort", () => canceled++);
    await hold;
    return { content: [{ type: "text", text: "done" }] };
  });
};

const flavours = [
  ["the stateless revision", () => modernServer(crm, true)],
  ["both revisions", () => modernServer(crm)],
  ["the older revisions, with sessions", () => legacyServer(crm)],
] as const;

describe.each(flavours)("a server of %s", (_, start) => {
  test("has its tools listed and called", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    expect(mcpNames(tools)).toEqual(
      ["fail", "get_customer", "huge", "long", "picture", "search_customers", "slow", "throw", "which_call"].map(
        (name) => `crm__${name}`,
      ),
    );
    expect(tools.list().find(({ name }) => name === "crm__search_customers")).toMatchObject({
      description: "Finds customers.",
      effect: "once",
      input_schema: { type: "object", properties: { query: { type: "string" } }, required: ["query"] },
    });
    expect(await use(tools, "crm__search_customers", { query: "ada" })).toMatchObject({ output: "5 of ada" });
    expect(await use(tools, "crm__get_customer", { id: "7" })).toMatchObject({ output: { id: "7", open: true } });
  });

  test("checks are made before it is asked", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    const before = server.seen.length;
    for (const input of [{}, { query: 7 }, { query: "a", limit: 51 }, "text", null]) {
      expect(await use(tools, "crm__search_customers", input)).toMatchObject({ outcome: "error" });
    }
    expect(server.seen).toHaveLength(before);
  });

  test("answers with errors, pictures and too much", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    expect(await use(tools, "crm__fail", {})).toMatchObject({ outcome: "error", reason: "no such customer" });
    expect(await use(tools, "crm__throw", {})).toMatchObject({ outcome: "error" });
    const picture = await use(tools, "crm__picture", {});
    expect(picture).toMatchObject({
      output: {
        content: [
          { type: "text", text: "a picture" },
          { type: "image", media_type: "image/png", size_bytes: 3000 },
          { type: "resource", uri: "file:///report" },
          { type: "resource_link", uri: "https://example.com/x", name: "x" },
        ],
      },
    });
    expect(picture.text).not.toContain("s3cret-resource");
    const long = await use(tools, "crm__long", {});
    expect(long.text).toMatch(/\[cut after 100000 of 150000 characters\]$/);
    expect(await use(tools, "crm__huge", {})).toMatchObject({
      outcome: "error",
      reason: `the MCP server crm answered with more than is accepted${doubt}`,
    });
    // And it goes on.
    expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({ outcome: "ok" });
  });

  test("is told when a run is canceled", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    let go = () => {};
    hold = new Promise((done) => {
      go = done;
    });
    const before = canceled;
    const stop = new AbortController();
    const asked = server.seen.length;
    const call = use(tools, "crm__slow", {}, { signal: stop.signal });
    await until(() => server.seen.length > asked);
    const reason = new Error("the run was canceled");
    stop.abort(reason);
    await expect(call).rejects.toBe(reason);
    await until(() => canceled > before);
    go();
  });

  test("is told which call it is, so that it can do the same one once", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    for (const callId of ["call_a", "call_a", "call_b"]) {
      expect(await use(tools, "crm__which_call", {}, { callId })).toMatchObject({ output: JSON.stringify(callId) });
    }
  });

  test("has a time to answer in", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url, { timeoutMs: 2000 });
    let go = () => {};
    hold = new Promise((done) => {
      go = done;
    });
    expect(await use(tools, "crm__slow", {})).toMatchObject({
      outcome: "error",
      reason: `the MCP server crm did not answer in time${doubt}`,
    });
    go();
    expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({ outcome: "ok" });
  });

  test("gets the operator's headers and nothing of a caller", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools, log } = await toolsAt(server.url, { headers: { authorization: "Bearer s3cret-key" } });
    const caller = { userId: "user_canary", email: "canary@example.com", groups: ["canary"] } as never;
    await use(tools, "crm__search_customers", { query: "x" }, { caller, callId: "call_canary" });
    expect(server.seen.every(({ headers }) => headers.authorization === "Bearer s3cret-key")).toBe(true);
    expect(JSON.stringify(server.seen)).not.toContain("canary");
    expect(JSON.stringify(tools.list())).not.toContain("s3cret-key");
    expect(log.lines.join()).not.toContain("s3cret-key");
  });

  test("may be away: its tools stay known, and calls work again when it is back", async () => {
    const server = await start();
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    await server.pause();
    expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({
      outcome: "error",
      reason: expect.stringMatching(/^the MCP server crm cannot be reached/),
    });
    expect(tools.names().has("crm__search_customers")).toBe(true);
    await server.resume();
    expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({ output: "5 of x" });
  });
});

describe("a list that changes", () => {
  test.each([
    ["the stateless revision", modernServer],
    ["the older revisions", legacyServer],
  ])("is listed again when a server of %s says so", async (_, start) => {
    let more = false;
    const server = await start((box) => {
      if (more) box.registerTool("second", {}, async () => ({ content: [] }));
      else box.registerTool("first", {}, async () => ({ content: [] }));
    });
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    expect(mcpNames(tools)).toEqual(["crm__first"]);
    more = true;
    if ("forget" in server) {
      // The sessions that are open get the new tool themselves.
      server.addTo((box) => box.registerTool("second", {}, async () => ({ content: [] })));
    } else server.changed();
    await until(() => mcpNames(tools).includes("crm__second"));
  });
});

test("a session that the server forgot is begun anew, without the call failing", async () => {
  const server = await legacyServer(crm);
  ends.push(server.stop);
  const { tools } = await toolsAt(server.url);
  server.forget();
  expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({ output: "5 of x" });
});

describe("what the operator says", () => {
  test("is the effect and the approval, whatever the server says about itself", async () => {
    const server = await modernServer(crm);
    ends.push(server.stop);
    const { tools, log } = await toolsAt(server.url, {
      tools: { searchCustomers: rule({ effect: "read" }), fail: rule({ approval: "always" }), gone: rule() },
    });
    expect(mcpNames(tools)).toEqual(["crm__fail", "crm__search_customers"]);
    expect(tools.get("crm__search_customers")?.definition).toMatchObject({ effect: "read", approval: "never" });
    expect(tools.get("crm__fail")?.definition).toMatchObject({ effect: "once", approval: "always" });
    expect(log.lines.join()).toContain("the server does not have it");
    const everything = await toolsAt(server.url);
    expect(everything.tools.get("crm__get_customer")?.definition.effect).toBe("once"); // readOnlyHint is not believed
  });
});

describe("a server that is not there", () => {
  test("keeps nobody from starting, and says why its tools are not known", async () => {
    const server = await modernServer(crm);
    await server.pause();
    ends.push(() => Promise.resolve());
    const { tools, log } = await toolsAt(server.url);
    expect(mcpNames(tools)).toEqual([]);
    expect(tools.missing("crm__search_customers")).toBe(
      "its MCP server crm could not be listed: the MCP server crm cannot be reached",
    );
    expect(tools.missing("other__tool")).toBeUndefined();
    expect(tools.missing("read_file")).toBeUndefined();
    expect(log.lines.join()).toContain("cannot be reached");
    await server.resume();
    ends.push(server.stop);
    await tools.ready(["crm__search_customers"]);
    expect(tools.get("crm__search_customers")).toBeDefined();
    expect(tools.missing("crm__search_customers")).toBeUndefined();
  });

  test("is not reached at an internal address unless those are allowed", async () => {
    const server = await modernServer(crm);
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url, {}, false);
    expect(tools.missing("crm__x")).toContain("has an address that may not be connected to");
    expect(server.seen).toEqual([]);
  });

  test("or that answers with a secret in an error, is not quoted", async () => {
    const server = await listen((_, response) => {
      response.writeHead(500, { "content-type": "text/plain" }).end("s3cret-body");
    });
    ends.push(server.stop);
    const { tools, log } = await toolsAt(server.url, { headers: { authorization: "Bearer s3cret-key" } });
    expect(tools.missing("crm__x")).toContain("answered with status 500");
    expect(log.lines.join()).not.toContain("s3cret");
    expect(tools.missing("crm__x")).not.toContain("s3cret");
  });

  test.each([
    ["asks for a sign-in", 401, {}],
    ["redirects elsewhere", 307, { location: "http://127.0.0.1:9/mcp" }],
    ["speaks something else", 200, { "content-type": "text/html" }],
  ])("or that %s, is told so", async (_, status, headers) => {
    const server = await listen((_request, response) => void response.writeHead(status, headers).end("<p>s3cret</p>"));
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    expect(tools.missing("crm__x")).toMatch(/could not be listed: the MCP server crm /);
    expect(tools.missing("crm__x")).not.toContain("s3cret");
  });

  test("or that sends without end, is cut off", async () => {
    const server = await listen((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, " ")));
      };
      response.on("drain", more);
      more();
    });
    ends.push(server.stop);
    const { tools } = await toolsAt(server.url);
    expect(tools.missing("crm__x")).toContain("answered with more than is accepted");
  });
});

test("nothing is left open when the server stops", async () => {
  const server = await modernServer(crm);
  ends.push(server.stop);
  const { tools } = await toolsAt(server.url);
  await tools.stop();
  const seen = server.seen.length;
  expect(await use(tools, "crm__search_customers", { query: "x" })).toMatchObject({
    outcome: "error",
    reason: "the MCP server crm is not used any more",
  });
  expect(server.seen).toHaveLength(seen);
});
