import { type AddressInfo, createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { ModelRequest } from "./model.ts";
import { createOpenAiCompatible } from "./openai-compatible.ts";
import { failureOf, limits, request, run, searchTool, settled, textOf } from "./test-kit.ts";
import { frames, type Script, type Step, serveScripts, type TestServer } from "./test-server.ts";

let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function modelWith(script: Script | Script[], more: Partial<typeof limits> & { apiKey?: string } = {}) {
  server = await serveScripts(...[script].flat());
  return createOpenAiCompatible({ ...limits, baseUrl: `${server.url}/v1/`, apiKey: "key-1", ...more });
}

const delta = (fields: object, finish: string | null = null) => ({
  choices: [{ index: 0, delta: fields, finish_reason: finish }],
});
const say = (content: string) => delta({ content });
const stop = delta({}, "stop");
const steps = (...list: Step[]): Script => ({ steps: list });

describe("a streamed answer", () => {
  test("text, usage and the end", async () => {
    const model = await modelWith(
      steps(
        frames(delta({ role: "assistant", content: "" }), say("Hel")),
        frames(say("lo"), stop),
        frames({
          choices: [],
          usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } },
        }),
        frames("[DONE]"),
      ),
    );
    const { parts, end } = await run(model);
    expect(textOf(parts)).toBe("Hello");
    expect(end).toEqual({
      finishReason: "stop",
      usage: { inputTokens: 12, outputTokens: 3, cachedInputTokens: 8 },
    });
    expect(server?.requests[0]?.path).toBe("/v1/chat/completions");
    expect(server?.requests[0]?.headers.authorization).toBe("Bearer key-1");
    expect(server?.requests[0]?.json).toEqual({
      model: "test-model",
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hello" },
      ],
    });
  });

  test("text that arrives while the model still speaks is handed over at once", async () => {
    const model = await modelWith(steps(frames(say("first")), "hang"));
    const control = new AbortController();
    const first = await new Promise((done) => {
      model.stream(request, { signal: control.signal, onPart: done }).catch(() => {});
    });
    expect(first).toEqual({ type: "text", text: "first" });
    control.abort();
  });

  test.each(["reasoning_content", "reasoning"])(
    "%s is thinking, and goes back under its name with tool calls",
    async (field) => {
      const model = await modelWith([
        steps(
          frames(delta({ [field]: "Let me" }), delta({ [field]: " see." }), say("Well.")),
          frames(
            delta(
              { tool_calls: [{ index: 0, id: "c1", function: { name: "search", arguments: "{}" } }] },
              "tool_calls",
            ),
          ),
          frames("[DONE]"),
        ),
        steps(frames(say("ok"), stop, "[DONE]")),
      ]);
      const { parts, end } = await run(model, { tools: [searchTool] });
      expect(textOf(parts, "thinking")).toBe("Let me see.");
      expect(parts.map((part) => part.type)).toEqual(["thinking", "text", "tool_call"]);
      const thinking = end.providerData?.thinking ?? null;
      await run(model, {
        messages: [
          ...request.messages,
          {
            role: "assistant",
            provider: "openai-compatible",
            content: [
              { type: "thinking", text: "Let me see.", providerData: thinking },
              { type: "text", text: "Well." },
              { type: "tool_call", id: "c1", tool: "search", input: {} },
            ],
          },
          { role: "tool", results: [{ callId: "c1", tool: "search", isError: false, text: "nothing" }] },
        ],
      });
      expect(server?.requests[1]?.json.messages.slice(2)).toEqual([
        {
          role: "assistant",
          content: "Well.",
          tool_calls: [{ id: "c1", type: "function", function: { name: "search", arguments: "{}" } }],
          [field]: "Let me see.",
        },
        { role: "tool", tool_call_id: "c1", content: "nothing" },
      ]);
    },
  );

  test("thinking of another provider stays away", async () => {
    const model = await modelWith(steps(frames(say("ok"), stop, "[DONE]")));
    await run(model, {
      messages: [
        ...request.messages,
        {
          role: "assistant",
          provider: "anthropic",
          content: [
            { type: "thinking", text: "secret", providerData: { reasoning_field: "x" } },
            { type: "tool_call", id: "c1", tool: "search", input: { q: 1 }, providerData: { extra_content: 1 } },
          ],
        },
      ],
    });
    expect(server?.requests[0]?.json.messages[2]).toEqual({
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "function", function: { name: "search", arguments: '{"q":1}' } }],
    });
  });

  test("parallel tool calls in pieces come out whole and in order", async () => {
    const call = (index: number, fields: object) => delta({ tool_calls: [{ index, ...fields }] });
    const model = await modelWith(
      steps(
        frames(call(0, { id: "a", type: "function", function: { name: "search", arguments: "" } })),
        frames(call(0, { function: { arguments: '{"q":' } })),
        frames(call(1, { id: "b", type: "function", function: { name: "read", arguments: '{"id"' } })),
        frames(call(0, { function: { arguments: '"x"}' } }), call(1, { function: { arguments: ":7}" } })),
        frames(delta({}, "tool_calls"), "[DONE]"),
      ),
    );
    const { parts, end } = await run(model, { tools: [searchTool] });
    expect(parts).toEqual([
      { type: "tool_call", id: "a", tool: "search", inputText: '{"q":"x"}' },
      { type: "tool_call", id: "b", tool: "read", inputText: '{"id":7}' },
    ]);
    expect(end.finishReason).toBe("tool_calls");
    expect(server?.requests[0]?.json.tools).toEqual([
      {
        type: "function",
        function: { name: "search", description: "Searches.", parameters: searchTool.inputSchema },
      },
    ]);
  });

  test("calls without an id get one, calls without arguments get an empty object", async () => {
    const model = await modelWith(
      steps(
        frames(delta({ tool_calls: [{ index: 0, function: { name: "one" } }] })),
        frames(delta({ tool_calls: [{ index: 1, function: { name: "two", arguments: { a: 1 } } }] })),
        frames(delta({}, "stop"), "[DONE]"),
      ),
    );
    const { parts, end } = await run(model);
    expect(parts).toMatchObject([
      { tool: "one", inputText: "{}", id: expect.stringMatching(/^call_./) },
      { tool: "two", inputText: '{"a":1}', id: expect.stringMatching(/^call_./) },
    ]);
    expect(new Set(parts.map((part) => part.type === "tool_call" && part.id)).size).toBe(2);
    expect(end.finishReason).toBe("tool_calls");
  });

  test("calls that share an index, or have none, are told apart by their ids", async () => {
    for (const index of [{ index: 0 }, {}]) {
      const model = await modelWith(
        steps(
          frames(delta({ tool_calls: [{ ...index, id: "a", function: { name: "one", arguments: "{}" } }] })),
          frames(
            delta({ tool_calls: [{ ...index, id: "b", function: { name: "two", arguments: "{}" } }] }, "tool_calls"),
          ),
        ),
      );
      expect((await run(model)).parts).toMatchObject([
        { id: "a", tool: "one", inputText: "{}" },
        { id: "b", tool: "two", inputText: "{}" },
      ]);
      await server?.close();
    }
  });

  test("what a server hangs on a tool call goes back to it", async () => {
    const extra_content = { google: { thought_signature: "sig" } };
    const model = await modelWith([
      steps(
        frames(
          delta(
            { tool_calls: [{ index: 0, id: "a", function: { name: "one", arguments: "{}" }, extra_content }] },
            "tool_calls",
          ),
        ),
      ),
      steps(frames(say("ok"), stop)),
    ]);
    const { parts } = await run(model);
    const call = parts[0];
    if (call?.type !== "tool_call" || call.providerData === undefined) throw new Error("expected a call with data");
    await run(model, {
      messages: [
        {
          role: "assistant",
          provider: "openai-compatible",
          content: [{ type: "tool_call", id: "a", tool: "one", input: {}, providerData: call.providerData }],
        },
      ],
    });
    expect(server?.requests[1]?.json.messages[1].tool_calls[0].extra_content).toEqual(extra_content);
  });

  test.each([
    ["stop", "stop"],
    ["length", "length"],
    ["content_filter", "content_filter"],
    ["tool_calls", "stop"],
    ["weird", "other"],
  ])("finish reason %s is %s", async (wire, finishReason) => {
    const model = await modelWith(steps(frames(say("a"), delta({}, wire), "[DONE]")));
    expect((await run(model)).end.finishReason).toBe(finishReason);
  });

  test("a missing [DONE] is fine, and so is a connection that breaks after the finish reason", async () => {
    expect((await run(await modelWith(steps(frames(say("a"), stop))))).end.finishReason).toBe("stop");
    await server?.close();
    expect((await run(await modelWith(steps(frames(say("a"), stop), "cut")))).end.finishReason).toBe("stop");
  });

  test("the answer is complete at [DONE], also when the connection stays open", async () => {
    const model = await modelWith(steps(frames(say("a"), stop, "[DONE]"), "hang"));
    expect(textOf((await run(model)).parts)).toBe("a");
  });

  test("a server without usage gets an estimate of about four characters a token", async () => {
    const model = await modelWith(steps(frames(say("x".repeat(40)), stop)));
    const { usage } = (await run(model)).end;
    expect(usage.outputTokens).toBe(10);
    expect(usage.inputTokens).toBeGreaterThan(0);
  });

  test("a character that is split between two chunks stays whole", async () => {
    const bytes = Buffer.from(frames(say("grüße 🎉"), stop));
    const at = bytes.indexOf("🎉") + 2;
    const model = await modelWith(steps(bytes.subarray(0, at), { delayMs: 10 }, bytes.subarray(at)));
    expect(textOf((await run(model)).parts)).toBe("grüße 🎉");
  });

  test("pieces of text and thinking in a list are understood", async () => {
    const content = [
      { type: "thinking", thinking: [{ type: "text", text: "hm" }] },
      { type: "text", text: "yes" },
    ];
    const { parts } = await run(await modelWith(steps(frames(delta({ content }), stop))));
    expect(parts).toEqual([
      { type: "thinking", text: "hm" },
      { type: "text", text: "yes" },
    ]);
  });

  test("one JSON document instead of a stream is read as one message", async () => {
    const message = {
      content: "Hi",
      tool_calls: [{ id: "a", type: "function", function: { name: "search", arguments: '{"q":"x"}' } }],
    };
    const body = {
      choices: [{ message, finish_reason: "tool_calls" }],
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    };
    const model = await modelWith({
      headers: { "content-type": "application/json; charset=utf-8" },
      steps: [JSON.stringify(body)],
    });
    const { parts, end } = await run(model);
    expect(parts).toEqual([
      { type: "text", text: "Hi" },
      { type: "tool_call", id: "a", tool: "search", inputText: '{"q":"x"}' },
    ]);
    expect(end).toEqual({ finishReason: "tool_calls", usage: { inputTokens: 1, outputTokens: 2 } });
  });

  test("connections are used again", async () => {
    const model = await modelWith(steps(frames(say("a"), stop, "[DONE]")));
    for (let i = 0; i < 5; i++) {
      await run(model);
      await settled();
    }
    expect(server?.connections()).toBe(1);
  });
});

describe("a request", () => {
  test("takes images and PDFs as data, text files as text, and names the rest", async () => {
    const model = await modelWith(steps(frames(say("ok"), stop)));
    const bytes = Buffer.from("a,b");
    await run(model, {
      system: "",
      maxOutputTokens: 50,
      outputSchema: { type: "object" },
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "See:" },
            { type: "file", name: "a.png", mediaType: "image/png", bytes },
            { type: "file", name: "b.pdf", mediaType: "application/pdf", bytes },
            { type: "file", name: "c.csv", mediaType: "text/csv", bytes },
            { type: "file", name: "d.zip", mediaType: "application/zip", bytes },
          ],
        },
      ],
    } satisfies Partial<ModelRequest>);
    const { json } = server?.requests[0] ?? {};
    expect(json.max_tokens).toBe(50);
    expect(json.response_format).toEqual({
      type: "json_schema",
      json_schema: { name: "output", schema: { type: "object" } },
    });
    expect(json.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "See:" },
          { type: "image_url", image_url: { url: "data:image/png;base64,YSxi" } },
          { type: "file", file: { filename: "b.pdf", file_data: "data:application/pdf;base64,YSxi" } },
          { type: "text", text: expect.stringMatching(/"c\.csv".*text\/csv[\s\S]*a,b/) },
          { type: "text", text: expect.stringMatching(/"d\.zip".*cannot read/) },
        ],
      },
    ]);
  });

  test("a key that would write headers of its own is refused", () => {
    const options = { ...limits, baseUrl: "https://example.com/v1" };
    for (const apiKey of ["a\r\nx-own: 1", "", "größe"]) {
      expect(() => createOpenAiCompatible({ ...options, apiKey })).toThrow(
        expect.objectContaining({ code: "model_unauthorized" }),
      );
    }
  });

  test("goes out without a key where there is none", async () => {
    server = await serveScripts(steps(frames(say("ok"), stop)));
    await run(createOpenAiCompatible({ ...limits, baseUrl: `${server.url}/v1` }));
    expect(server.requests[0]?.headers).not.toHaveProperty("authorization");
  });
});

describe("a failure", () => {
  test.each([
    [400, "model_rejected", false],
    [401, "model_unauthorized", false],
    [403, "model_unauthorized", false],
    [404, "model_rejected", false],
    [408, "model_unavailable", true],
    [409, "model_unavailable", true],
    [413, "model_rejected", false],
    [425, "model_unavailable", true],
    [429, "model_rate_limited", true],
    [500, "model_unavailable", true],
    [503, "model_unavailable", true],
    [529, "model_unavailable", true],
    [307, "model_rejected", false],
    [204, "model_bad_response", true],
  ])("status %i is %s, and neither body nor key is in the message", async (status, code, retryable) => {
    const model = await modelWith({
      status,
      headers: { "content-type": "application/json" },
      steps: status === 204 ? [] : ['{"error":{"message":"bad key key-1"}}'],
    });
    const error = await failureOf(run(model));
    expect(error).toMatchObject({ code, retryable });
    expect(`${error.message}${error.stack}`).not.toContain("key-1");
    expect(error.message).toContain(String(status));
  });

  test("an error answer leaves its connection usable", async () => {
    const model = await modelWith([{ status: 500, steps: ["{}"] }, steps(frames(say("a"), stop, "[DONE]"))]);
    await failureOf(run(model));
    await settled();
    await run(model);
    expect(server?.connections()).toBe(1);
  });

  test.each([
    [{ "retry-after": "7" }, 7000],
    [{ "retry-after-ms": "250", "retry-after": "1" }, 250],
    [{ "retry-after": "soon" }, undefined],
  ])("Retry-After %j is %s ms", async (headers, retryAfterMs) => {
    const error = await failureOf(run(await modelWith({ status: 429, headers, steps: [] })));
    expect(error.retryAfterMs).toBe(retryAfterMs);
  });

  test("an error inside the stream is the provider's failure", async () => {
    const plain = await failureOf(run(await modelWith(steps(frames(say("a"), { error: { message: "overloaded" } })))));
    expect(plain).toMatchObject({ code: "model_unavailable", retryable: true });
    await server?.close();
    const limited = await failureOf(run(await modelWith(steps(frames({ error: { code: 429, message: "slow" } })))));
    expect(limited).toMatchObject({ code: "model_rate_limited", retryable: true });
  });

  test.each<[string, Script]>([
    ["garbage instead of JSON", steps(frames("{nope"))],
    ["JSON that is no object", steps(frames("7"))],
    ["an HTML page", { headers: { "content-type": "text/html" }, steps: ["<html>"] }],
    ["a document that is no JSON", { headers: { "content-type": "application/json" }, steps: ["<html>"] }],
    ["a document without a choice", { headers: { "content-type": "application/json" }, steps: ["{}"] }],
    ["an empty stream with an end", steps(frames("[DONE]"))],
    ["a compressed stream", { headers: { "content-encoding": "gzip" }, steps: ["xx"] }],
    ["a tool call without a name", steps(frames(delta({ tool_calls: [{ index: 0, id: "a" }] }, "tool_calls")))],
  ])("%s is a bad response", async (_name, script) => {
    expect(await failureOf(run(await modelWith(script)))).toMatchObject({
      code: "model_bad_response",
      retryable: true,
    });
  });

  test.each<[string, Script]>([
    ["cut in the middle", steps(frames(say("a")), "cut")],
    ["ended in the middle", steps(frames(say("a")))],
    ["ended before the first byte", steps()],
    ["cut within an event", steps(frames(say("a")), 'data: {"choices":[{"del', "cut")],
  ])("a stream that is %s is model_stream_cut", async (_name, script) => {
    expect(await failureOf(run(await modelWith(script)))).toMatchObject({ code: "model_stream_cut", retryable: true });
  });

  test.each<[string, Script]>([
    ["before the first byte", steps("hang")],
    ["in the middle", steps(frames(say("a")), "hang")],
  ])("silence %s is model_timeout, and the provider's connection is closed", async (_name, script) => {
    const model = await modelWith(script, { idleTimeoutMs: 50 });
    expect(await failureOf(run(model))).toMatchObject({ code: "model_timeout", retryable: true });
    await server?.requests[0]?.aborted;
  });

  test("an answer without end is cut off at its limit and takes no memory with it", async () => {
    const endless = Buffer.from(frames(say("x".repeat(1000))).repeat(60));
    const model = await modelWith(steps({ endless }), { maxResponseBytes: 3_000_000 });
    const error = await failureOf(run(model));
    expect(error).toMatchObject({ code: "model_output_too_large", retryable: false });
    await server?.requests[0]?.aborted;
    expect(server?.written()).toBeLessThan(20_000_000);
  });

  test("one line without end is cut off at the same limit", async () => {
    const model = await modelWith(steps({ endless: Buffer.alloc(65_536, "x") }), { maxResponseBytes: 1_000_000 });
    expect(await failureOf(run(model))).toMatchObject({ code: "model_output_too_large" });
    await server?.requests[0]?.aborted;
  });

  test("a kept connection that closes as it is used again asks for another try at once", async () => {
    const body = frames(say("a"), stop, "[DONE]");
    let calls = 0;
    const raw = createServer((socket) => {
      socket.on("data", () => {
        if (++calls === 2) socket.destroy();
        else socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      });
    });
    await new Promise<void>((done) => raw.listen(0, "127.0.0.1", done));
    try {
      const { port } = raw.address() as AddressInfo;
      const model = createOpenAiCompatible({ ...limits, baseUrl: `http://127.0.0.1:${port}` });
      await run(model);
      expect(await failureOf(run(model))).toMatchObject({
        code: "model_unavailable",
        retryable: true,
        retryAfterMs: 0,
      });
      expect(textOf((await run(model)).parts)).toBe("a");
    } finally {
      raw.close();
    }
  });

  test("an answer that is not HTTP is a bad response", async () => {
    const raw = createServer((socket) => socket.end("220 mail.example ESMTP\r\n\r\n"));
    await new Promise<void>((done) => raw.listen(0, "127.0.0.1", done));
    try {
      const model = createOpenAiCompatible({
        ...limits,
        baseUrl: `http://127.0.0.1:${(raw.address() as AddressInfo).port}`,
      });
      expect(await failureOf(run(model))).toMatchObject({ code: "model_bad_response", retryable: true });
    } finally {
      raw.close();
    }
  });

  test("nobody listening is model_unavailable", async () => {
    const model = await modelWith(steps());
    await server?.close();
    expect(await failureOf(run(model))).toMatchObject({ code: "model_unavailable", retryable: true });
  });

  test("a private address is refused unless it is allowed, for good", async () => {
    const model = await modelWith(steps(frames(say("a"), stop)), { allowPrivateNetwork: false });
    expect(await failureOf(run(model))).toMatchObject({ code: "model_unavailable", retryable: false });
    expect(server?.connections()).toBe(0);
  });

  test("an abort ends the call with the signal's reason and closes the provider's connection", async () => {
    const model = await modelWith(steps(frames(say("a")), "hang"));
    const control = new AbortController();
    const reason = new Error("the run was canceled");
    const call = model.stream(request, { signal: control.signal, onPart: () => control.abort(reason) });
    await expect(call).rejects.toBe(reason);
    await server?.requests[0]?.aborted;
  });

  test("a call with an aborted signal sends nothing", async () => {
    const model = await modelWith(steps(frames(say("a"), stop)));
    const reason = new Error("too late");
    await expect(run(model, {}, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(server?.connections()).toBe(0);
  });
});
