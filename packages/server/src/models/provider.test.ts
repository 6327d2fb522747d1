import { describe, expect, test } from "vitest";
import { ModelError } from "./model.ts";
import { createModel } from "./provider.ts";
import { run, settled, textOf } from "./test-kit.ts";
import { frames, serveScripts } from "./test-server.ts";

describe("createModel", () => {
  test.each(["openai", "anthropic", "google", "demo"] as const)("kind %s needs no address", (kind) => {
    expect(createModel({ kind, baseUrl: null, apiKey: "k" }).provider).toBe(kind);
  });

  test("Models of one process share their connections", async () => {
    const chunk = { choices: [{ delta: { content: "a" }, finish_reason: "stop" }] };
    const server = await serveScripts({ steps: [frames(chunk, "[DONE]")] });
    try {
      for (let i = 0; i < 3; i++) {
        const model = createModel(
          { kind: "openai-compatible", baseUrl: server.url, apiKey: null },
          { allowPrivateNetwork: true },
        );
        expect(textOf((await run(model)).parts)).toBe("a");
        await settled();
      }
      expect(server.connections()).toBe(1);
    } finally {
      await server.close();
    }
  });

  test("the demo model speaks without a network", async () => {
    expect(textOf((await run(createModel({ kind: "demo" }, { demoDelayMs: 0 }))).parts)).toContain("demo");
  });

  test.each([null, "", "not a url", "file:///etc/passwd"])("an address like %j is refused", (baseUrl) => {
    expect(() => createModel({ kind: "openai-compatible", baseUrl })).toThrow(ModelError);
  });
});
