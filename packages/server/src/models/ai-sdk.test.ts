/** OpenAI, Anthropic and Google over their real wire formats. */
import { afterEach, describe, expect, test } from "vitest";
import { createAnthropic } from "./anthropic.ts";
import { createGoogle } from "./google.ts";
import type { AssistantPart, Model, ModelEnd, ModelMessage, ModelPart } from "./model.ts";
import { createOpenAi } from "./openai.ts";
import { failureOf, limits, request, run, searchTool, textOf } from "./test-kit.ts";
import { frames, namedFrames, type Script, serveScripts, type TestServer } from "./test-server.ts";

let server: TestServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** The assistant message that the engine would keep of an answer: its thinking, text and calls in one part each. */
function asMessage(provider: string, parts: readonly ModelPart[], end: ModelEnd): ModelMessage {
  const content: AssistantPart[] = [];
  for (const type of ["thinking", "text"] as const) {
    const text = textOf(parts, type);
    const data = end.providerData?.[type];
    if (text !== "" || data !== undefined)
      content.push({ type, text, ...(data !== undefined && { providerData: data }) });
  }
  for (const part of parts) {
    if (part.type !== "tool_call") continue;
    const { type, id, tool, inputText, providerData } = part;
    content.push({ type, id, tool, input: JSON.parse(inputText), ...(providerData !== undefined && { providerData }) });
  }
  return { role: "assistant", provider, content };
}

type Case = {
  create: (options: typeof limits & { baseUrl?: string; apiKey?: string }) => Model;
  basePath: string;
  modelId: string;
  path: RegExp;
  key: [header: string, value: string];
  /** Thinking "Let me see.", text "Grüße 🎉", and two calls of search in pieces. */
  full: string;
  /** Text "Hello" and a normal end. */
  plain: string;
  /** The beginning of an answer. */
  open: string;
  /** An error inside a stream that began well. */
  error: string;
};

const thinkingText = "Let me see.";

const item = { type: "response.output_item.added" };
const itemDone = { type: "response.output_item.done" };
const openAiMessage = { type: "message", id: "msg_1", role: "assistant", status: "in_progress", content: [] };
const openAiText = (index: number, ...deltas: string[]) =>
  namedFrames(
    { ...item, output_index: index, item: openAiMessage } as never,
    ...deltas.map((delta) => ({
      type: "response.output_text.delta",
      item_id: "msg_1",
      output_index: index,
      content_index: 0,
      delta,
      logprobs: [],
    })),
    { ...itemDone, output_index: index, item: { ...openAiMessage, status: "completed" } } as never,
  );
const openAiCall = (index: number, id: string, ...pieces: string[]) => {
  const call = {
    type: "function_call",
    id: `fc_${id}`,
    call_id: id,
    name: "search",
    arguments: "",
    status: "in_progress",
  };
  return namedFrames(
    { ...item, output_index: index, item: call } as never,
    ...pieces.map((delta) => ({
      type: "response.function_call_arguments.delta",
      item_id: `fc_${id}`,
      output_index: index,
      delta,
    })),
    {
      ...itemDone,
      output_index: index,
      item: { ...call, arguments: pieces.join(""), status: "completed" },
    } as never,
  );
};
const openAiCreated = namedFrames({
  type: "response.created",
  response: { id: "resp_1", created_at: 1, model: "gpt-5" },
} as never);
const openAiEnd = namedFrames({
  type: "response.completed",
  response: {
    incomplete_details: null,
    usage: {
      input_tokens: 20,
      input_tokens_details: { cached_tokens: 5 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 2 },
    },
  },
} as never);

const block = (index: number, content_block: object, deltas: object[]) =>
  namedFrames(
    { type: "content_block_start", index, content_block } as never,
    ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
    { type: "content_block_stop", index } as never,
  );
const anthropicStart = namedFrames({
  type: "message_start",
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude-sonnet-4-5",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 15, output_tokens: 1, cache_read_input_tokens: 5, cache_creation_input_tokens: 0 },
  },
} as never);
const anthropicEnd = (stop_reason: string) =>
  namedFrames(
    { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 9 } } as never,
    { type: "message_stop" },
  );
const anthropicText = (index: number, ...texts: string[]) =>
  block(
    index,
    { type: "text", text: "" },
    texts.map((text) => ({ type: "text_delta", text })),
  );
const anthropicCall = (index: number, id: string, ...pieces: string[]) =>
  block(
    index,
    { type: "tool_use", id, name: "search", input: {} },
    pieces.map((partial_json) => ({ type: "input_json_delta", partial_json })),
  );

const googleParts = (parts: object[], finishReason?: string) =>
  frames({
    candidates: [{ content: { role: "model", parts }, index: 0, ...(finishReason && { finishReason }) }],
    ...(finishReason && {
      usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 9, cachedContentTokenCount: 5, totalTokenCount: 29 },
    }),
  });

const cases: Record<string, Case> = {
  openai: {
    create: createOpenAi,
    basePath: "/v1",
    modelId: "gpt-5",
    path: /^\/v1\/responses$/,
    key: ["authorization", "Bearer key-1"],
    full:
      openAiCreated +
      namedFrames(
        {
          ...item,
          output_index: 0,
          item: { type: "reasoning", id: "rs_1", summary: [], encrypted_content: null },
        } as never,
        { type: "response.reasoning_summary_part.added", item_id: "rs_1", output_index: 0, summary_index: 0 } as never,
        {
          type: "response.reasoning_summary_text.delta",
          item_id: "rs_1",
          output_index: 0,
          summary_index: 0,
          delta: thinkingText,
        } as never,
        {
          ...itemDone,
          output_index: 0,
          item: {
            type: "reasoning",
            id: "rs_1",
            summary: [{ type: "summary_text", text: thinkingText }],
            encrypted_content: "signed",
          },
        } as never,
      ) +
      openAiText(1, "Grü", "ße 🎉") +
      openAiCall(2, "a", '{"q":', '"x"}') +
      openAiCall(3, "b", '{"q":"y"', "}") +
      openAiEnd,
    plain: openAiCreated + openAiText(0, "Hel", "lo") + openAiEnd,
    open: openAiCreated + openAiText(0, "Hel"),
    error: namedFrames({
      type: "error",
      sequence_number: 9,
      code: "server_error",
      message: "the secret body",
      param: null,
    } as never),
  },
  anthropic: {
    create: createAnthropic,
    basePath: "/v1",
    modelId: "claude-sonnet-4-5",
    path: /^\/v1\/messages$/,
    key: ["x-api-key", "key-1"],
    full:
      anthropicStart +
      block(0, { type: "thinking", thinking: "", signature: "" }, [
        { type: "thinking_delta", thinking: "Let me " },
        { type: "thinking_delta", thinking: "see." },
        { type: "signature_delta", signature: "signed" },
      ]) +
      anthropicText(1, "Grü", "ße 🎉") +
      anthropicCall(2, "a", '{"q":', '"x"}') +
      anthropicCall(3, "b", '{"q":"y"', "}") +
      anthropicEnd("tool_use"),
    plain: anthropicStart + anthropicText(0, "Hel", "lo") + anthropicEnd("end_turn"),
    open: anthropicStart + anthropicText(0, "Hel"),
    error: namedFrames({ type: "error", error: { type: "overloaded_error", message: "the secret body" } } as never),
  },
  google: {
    create: createGoogle,
    basePath: "/v1beta",
    modelId: "gemini-2.5-flash",
    path: /^\/v1beta\/models\/gemini-2\.5-flash:streamGenerateContent\?alt=sse$/,
    key: ["x-goog-api-key", "key-1"],
    full:
      googleParts([{ text: thinkingText, thought: true }]) +
      googleParts([{ text: "Grü" }]) +
      googleParts([{ text: "ße 🎉" }]) +
      googleParts([{ functionCall: { id: "a", name: "search", args: { q: "x" } }, thoughtSignature: "signed" }]) +
      googleParts([{ functionCall: { id: "b", name: "search", args: { q: "y" } } }], "STOP"),
    plain: googleParts([{ text: "Hel" }]) + googleParts([{ text: "lo" }], "STOP"),
    open: googleParts([{ text: "Hel" }]),
    error: frames({ error: { code: 503, status: "UNAVAILABLE", message: "the secret body" } }),
  },
};

describe.each(Object.entries(cases))("%s", (provider, wire) => {
  async function modelWith(script: string | Script | Script[], more: Partial<typeof limits> = {}) {
    const scripts = typeof script === "string" ? [{ steps: [script] }] : [script].flat();
    server = await serveScripts(...scripts);
    return wire.create({ ...limits, baseUrl: `${server.url}${wire.basePath}`, apiKey: "key-1", ...more });
  }
  const ask = (model: Model, more: Parameters<typeof run>[1] = {}) => run(model, { modelId: wire.modelId, ...more });

  test("streams text and reports usage", async () => {
    const { parts, end } = await ask(await modelWith(wire.plain));
    expect(textOf(parts)).toBe("Hello");
    expect(parts.length).toBeGreaterThan(1);
    expect(end.finishReason).toBe("stop");
    expect(end.usage).toEqual({ inputTokens: 20, outputTokens: 9, cachedInputTokens: 5 });
    const [seen] = server?.requests ?? [];
    expect(seen?.path).toMatch(wire.path);
    expect(seen?.headers[wire.key[0]]).toBe(wire.key[1]);
    expect(seen?.text).toContain("Be brief.");
    expect(seen?.text).toContain("Hello");
  });

  test("gives thinking, text and parallel tool calls, and takes them back signed", async () => {
    const bytes = Buffer.from(wire.full);
    // In the middle of the emoji's four bytes.
    const at = bytes.indexOf("🎉") + 2;
    const model = await modelWith([
      { steps: [bytes.subarray(0, at), { delayMs: 5 }, bytes.subarray(at)] },
      { steps: [wire.plain] },
    ]);
    const { parts, end } = await ask(model, { tools: [searchTool] });
    expect(textOf(parts, "thinking")).toBe(thinkingText);
    expect(textOf(parts)).toBe("Grüße 🎉");
    const calls = parts.flatMap((part) => (part.type === "tool_call" ? [part] : []));
    expect(calls.map(({ tool, inputText }) => [tool, JSON.parse(inputText)])).toEqual([
      ["search", { q: "x" }],
      ["search", { q: "y" }],
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    expect(end.finishReason).toBe("tool_calls");
    expect(server?.requests[0]?.text).toContain("Searches.");

    const results = calls.map(({ id, tool }, i) => ({ callId: id, tool, isError: i === 1, text: `result-${i}` }));
    await ask(model, {
      tools: [searchTool],
      messages: [...request.messages, asMessage(provider, parts, end), { role: "tool", results }],
    });
    const again = server?.requests[1]?.text ?? "";
    for (const expected of ["signed", thinkingText, "Grüße 🎉", "result-0", "result-1"]) {
      if (provider === "google" && expected === thinkingText) continue;
      expect(again).toContain(expected);
    }
  });

  test("thinking and signatures of another provider stay away", async () => {
    const model = await modelWith(wire.plain);
    await ask(model, {
      tools: [searchTool],
      messages: [
        ...request.messages,
        {
          role: "assistant",
          provider: "somebody-else",
          content: [
            { type: "thinking", text: "foreign thought", providerData: { blocks: [{ length: 15 }] } },
            { type: "text", text: "visible" },
            { type: "tool_call", id: "c", tool: "search", input: { q: "z" }, providerData: { foreign: { a: "b" } } },
          ],
        },
        { role: "tool", results: [{ callId: "c", tool: "search", isError: false, text: "found" }] },
      ],
    });
    const sent = server?.requests[0]?.text ?? "";
    expect(sent).not.toContain("foreign");
    expect(sent).toContain("visible");
    expect(sent).toContain("found");
  });

  test("sends images and PDFs as data, text files as text, and names the rest", async () => {
    const model = await modelWith(wire.plain);
    const bytes = Buffer.from("a,b");
    await ask(model, {
      messages: [
        {
          role: "user",
          content: [
            { type: "file", name: "a.png", mediaType: "image/png", bytes },
            { type: "file", name: "b.pdf", mediaType: "application/pdf", bytes },
            { type: "file", name: "c.csv", mediaType: "text/csv", bytes },
            { type: "file", name: "d.zip", mediaType: "application/zip", bytes },
          ],
        },
      ],
    });
    const sent = server?.requests[0]?.text ?? "";
    expect(sent.match(/YSxi/g)).toHaveLength(2);
    expect(sent).toContain("c.csv");
    expect(sent).toContain("a,b");
    expect(sent).toMatch(/d\.zip[^"]*.*cannot read/);
  });

  test("an output schema reaches the model with and without tools", async () => {
    const model = await modelWith(wire.plain);
    const outputSchema = { type: "object", properties: { colour: { type: "string" } }, required: ["colour"] };
    await ask(model, { outputSchema });
    await ask(model, { outputSchema, tools: [searchTool] });
    for (const seen of server?.requests ?? []) expect(seen.text).toContain("colour");
    // The tools stay free to use.
    expect(server?.requests[1]?.json.tool_choice?.type ?? "auto").toBe("auto");
  });

  test.each([
    [400, "model_rejected", false],
    [401, "model_unauthorized", false],
    [429, "model_rate_limited", true],
    [500, "model_unavailable", true],
    [529, "model_unavailable", true],
  ])("status %i is %s", async (status, code, retryable) => {
    const model = await modelWith({
      status,
      headers: { "content-type": "application/json", "retry-after": "3" },
      steps: ['{"error":{"type":"x","message":"the secret body","code":null,"param":null}}'],
    });
    const error = await failureOf(ask(model));
    expect(error).toMatchObject({ code, retryable });
    expect(error.message).not.toContain("secret");
    if (retryable) expect(error.retryAfterMs).toBe(3000);
  });

  test("an error inside the stream is the provider's failure, and its text is not repeated", async () => {
    const error = await failureOf(ask(await modelWith(wire.open + wire.error)));
    expect(error).toMatchObject({ code: "model_unavailable", retryable: true });
    expect(error.message).not.toContain("secret");
  });

  test("garbage is a bad response", async () => {
    const error = await failureOf(ask(await modelWith(`${wire.open}data: {nope\n\n`)));
    expect(error).toMatchObject({ code: "model_bad_response", retryable: true });
  });

  test("a stream that is cut, or ends early, is model_stream_cut", async () => {
    const cut = await failureOf(ask(await modelWith({ steps: [wire.open, "cut"] })));
    expect(cut).toMatchObject({ code: "model_stream_cut", retryable: true });
    await server?.close();
    const ended = await failureOf(ask(await modelWith(wire.open)));
    expect(ended).toMatchObject({ code: "model_stream_cut", retryable: true });
  });

  test("silence is model_timeout, before and during the answer", async () => {
    for (const steps of [["hang" as const], [wire.open, "hang" as const]]) {
      const model = await modelWith({ steps }, { idleTimeoutMs: 50 });
      expect(await failureOf(ask(model))).toMatchObject({ code: "model_timeout", retryable: true });
      await server?.requests[0]?.aborted;
      await server?.close();
    }
  });

  test("an answer without end is cut off at its limit", async () => {
    const endless = Buffer.from(": keep-alive\n".repeat(5000));
    const model = await modelWith({ steps: [wire.open, { endless }] }, { maxResponseBytes: 500_000 });
    expect(await failureOf(ask(model))).toMatchObject({ code: "model_output_too_large", retryable: false });
    await server?.requests[0]?.aborted;
  });

  test("nobody listening is model_unavailable, and a private address is refused unless it is allowed", async () => {
    const gone = await modelWith(wire.plain);
    await server?.close();
    expect(await failureOf(ask(gone))).toMatchObject({ code: "model_unavailable", retryable: true });
    const refused = await modelWith(wire.plain, { allowPrivateNetwork: false });
    expect(await failureOf(ask(refused))).toMatchObject({ code: "model_unavailable", retryable: false });
    expect(server?.connections()).toBe(0);
  });

  test("an abort ends the call with the signal's reason and closes the provider's connection", async () => {
    const reason = new Error("the run was canceled");
    for (const steps of [["hang" as const], [wire.open, "hang" as const]]) {
      const control = new AbortController();
      const model = await modelWith({ steps });
      const call = model.stream(
        { ...request, modelId: wire.modelId },
        { signal: control.signal, onPart: () => control.abort(reason) },
      );
      if (steps.length === 1) {
        while (server?.requests.length === 0) await new Promise((done) => setTimeout(done, 5));
        control.abort(reason);
      }
      await expect(call).rejects.toBe(reason);
      await server?.requests[0]?.aborted;
      await server?.close();
    }
  });

  test("a connection without a key is refused before anything is sent, whatever the environment holds", async () => {
    const model = wire.create({ ...limits });
    expect(await failureOf(ask(model))).toMatchObject({ code: "model_unauthorized", retryable: false });
  });
});
