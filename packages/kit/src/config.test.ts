import { expect, test } from "vitest";
import { defineConfig } from "./index.ts";

test("a configuration is what was defined, with a mark that tells it from other default exports", () => {
  const definition = {
    http: { allow: ["api.example.com", { host: "crm.example.com", headers: { authorization: "Bearer key" } }] },
    mcpServers: {
      crm: { url: "https://crm.example.com/mcp", tools: { search: { effect: "read" as const } } },
      files: { command: "files-mcp", args: ["--read-only"], env: {} },
    },
    workspace: { timeoutMs: 10_000 },
  };
  expect(defineConfig(definition)).toEqual({ kind: "config", definition });
});

test("fields that are not there do not compile", () => {
  // @ts-expect-error allowed, not allow
  defineConfig({ http: { allowed: [] } });
  // @ts-expect-error an MCP server has an address or a program
  defineConfig({ mcpServers: { crm: { headers: {} } } });
  // @ts-expect-error no such effect
  defineConfig({ mcpServers: { crm: { url: "https://a.example", tools: { x: { effect: "twice" } } } } });
});
