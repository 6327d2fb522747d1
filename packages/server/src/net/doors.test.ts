/** Every door to the outside refuses what the guard refuses: tools' fetch, http_get, MCP servers, models. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noProjectFile } from "../config/index.ts";
import { createModel } from "../models/index.ts";
import { use } from "../tools/fixture.ts";
import { recordingLog } from "../tools/mcp/fixture.ts";
import { loadTools } from "../tools/registry.ts";
import { parseAllowedHost } from "./allowed.ts";
import { guardedFetch } from "./fetch.ts";

let port: number;
let connections = 0;
const server = createServer((_, response) => response.end("inside"));
beforeAll(async () => {
  server.on("connection", () => connections++);
  await new Promise<void>((done) => server.listen(0, done)); // IPv4 and, where there is any, IPv6
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Spellings of this machine, of what is inside a network, and of what hands out credentials. */
const hosts = [
  ["loopback", "127.0.0.1"],
  ["another loopback", "127.1.2.3"],
  ["a name", "localhost"],
  ["a name with the root's dot", "localhost."],
  ["a short form", "127.1"],
  ["octal", "0177.0.0.1"],
  ["hexadecimal", "0x7f.0.0.1"],
  ["one hexadecimal number", "0x7f000001"],
  ["one number", "2130706433"],
  ["a dot at the end", "127.0.0.1."],
  ["percent signs", "%31%32%37.0.0.1"],
  ["digits in circles", "①②⑦.⓪.⓪.①"],
  ["nobody", "0.0.0.0"],
  ["zero", "0"],
  ["IPv6 loopback", "[::1]"],
  ["IPv6 nobody", "[::]"],
  ["IPv4-mapped", "[::ffff:127.0.0.1]"],
  ["IPv4-mapped in hexadecimal", "[::ffff:7f00:1]"],
  ["IPv4-compatible", "[::127.0.0.1]"],
  ["NAT64", "[64:ff9b::7f00:1]"],
  ["6to4", "[2002:7f00:1::]"],
  ["link-local", "[fe80::1]"],
  ["unique local", "[fd12:3456::1]"],
  ["private", "10.0.0.1"],
  ["metadata", "169.254.169.254"],
  ["metadata by NAT64", "[64:ff9b::a9fe:a9fe]"],
] as const;

const REFUSED = /not on the public internet|address.*not.*allowed|may not be connected to|not allowed/i;

/** Each tries an address, and says why it failed. */
const doors: Record<string, (address: string) => Promise<string>> = {
  "a tool's fetch": async (address) => {
    const failure = await guardedFetch({ allowPrivate: false })(address).catch((error: Error) => error);
    return failure instanceof Error ? failure.message : "reached";
  },
  http_get: async (address) => {
    const { protocol, host } = new URL(address);
    const allowed = parseAllowedHost(`${protocol}//${host}`);
    const allow = allowed === undefined ? [] : [{ host: allowed, methods: ["GET" as const], headers: {} }];
    const file = { ...noProjectFile, http: { allow } };
    const tools = await loadTools({ project: null, file, allowPrivateNetwork: false, log: recordingLog() });
    const result = await use(tools, "http_get", { url: address });
    return result.outcome === "error" ? result.reason : "reached";
  },
  "an MCP server": async (address) => {
    const file = {
      ...noProjectFile,
      mcpServers: { crm: { url: address, headers: {}, identity: false, timeoutMs: 5000 } },
    };
    const tools = await loadTools({ project: null, file, allowPrivateNetwork: false, log: recordingLog() });
    await tools.ready();
    await tools.stop();
    return tools.missing("crm__x") ?? "reached";
  },
  "a model of a compatible server": (address) => ask("openai-compatible", address),
  "a model of a provider's package": (address) => ask("anthropic", address),
};

async function ask(kind: "openai-compatible" | "anthropic", baseUrl: string): Promise<string> {
  const target = { kind, baseUrl, apiKey: "key" } as unknown as Parameters<typeof createModel>[0];
  const model = createModel(target, { allowPrivateNetwork: false });
  const request = {
    modelId: "m",
    system: "",
    messages: [{ role: "user", content: [{ type: "text", text: "x" }] }],
    tools: [],
  };
  const options = { signal: new AbortController().signal, onPart: () => {} };
  const failure = await model.stream(request as never, options as never).catch((error: Error) => error);
  return failure instanceof Error ? failure.message : "reached";
}

describe.each(Object.entries(doors))("%s", (_, tryAddress) => {
  test.each(hosts)("refuses %s: %s", async (_name, host) => {
    const why = await tryAddress(`http://${host}:${port}/`);
    // Not every resolver knows this one.
    expect(why).toMatch(host === "localhost." ? /reached|not allowed|may not/ : REFUSED);
    expect(why).not.toBe("reached");
    expect(connections).toBe(0);
  });
});
