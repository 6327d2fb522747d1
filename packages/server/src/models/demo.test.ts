import { describe, expect, test } from "vitest";
import { createDemo } from "./demo.ts";
import type { ModelMessage, ModelTool } from "./model.ts";
import { request, run, textOf } from "./test-kit.ts";

const model = createDemo({ delayMs: 0 });
const user = (text: string): ModelMessage => ({ role: "user", content: [{ type: "text", text }] });
const tool = (name: string, properties: object = {}): ModelTool => ({
  name,
  description: name,
  inputSchema: { type: "object", properties, required: Object.keys(properties) },
});

/** Runs the model to its end; each tool answers with its entry in `results`. */
async function converse(text: string, tools: ModelTool[], results: { [tool: string]: string }) {
  const messages = [user(text)];
  const calls: { id: string; tool: string; input: unknown }[] = [];
  for (let step = 0; step < 10; step++) {
    const { parts, end } = await run(model, { messages, tools });
    if (end.finishReason === "stop") return { calls, answer: textOf(parts) };
    for (const part of parts) {
      if (part.type !== "tool_call") continue;
      const input = JSON.parse(part.inputText);
      calls.push({ id: part.id, tool: part.tool, input });
      messages.push({
        role: "assistant",
        provider: "demo",
        content: [{ type: "tool_call", id: part.id, tool: part.tool, input }],
      });
      const result = results[part.tool];
      const text = result ?? "no such thing";
      messages.push({
        role: "tool",
        results: [{ callId: part.id, tool: part.tool, isError: result === undefined, text }],
      });
    }
  }
  throw new Error("the demo model does not come to an end");
}

describe("the demo model", () => {
  test("says first that it is not a real model, in word-sized parts", async () => {
    const { parts, end } = await run(model);
    expect(textOf(parts)).toMatch(/^This is the built-in demo model, not a real one\./);
    expect(textOf(parts)).toContain("Hello");
    expect(parts.length).toBeGreaterThan(10);
    expect(end.finishReason).toBe("stop");
    expect(end.usage.outputTokens).toBe(Math.ceil(textOf(parts).length / 4));
    expect(end.usage.inputTokens).toBeGreaterThan(0);
  });

  test("gives the same answer to the same request", async () => {
    expect(await run(model)).toEqual(await run(model));
  });

  test("calls each reading tool once, in order, and quotes what they found", async () => {
    const tools = [
      tool("search_tickets", { query: { type: "string" }, state: { enum: ["open", "closed"] } }),
      tool("get_ticket", { ticket_id: { type: "string" } }),
    ];
    const { calls, answer } = await converse("Which closed tickets are about billing?", tools, {
      search_tickets: JSON.stringify({
        tickets: [
          { id: "T-7", title: "Wrong invoice", status: "closed" },
          { id: "T-9", title: "Refund" },
        ],
      }),
      get_ticket: JSON.stringify({ id: "T-7", title: "Wrong invoice", body: "…" }),
    });
    expect(calls.map(({ tool, input }) => [tool, input])).toEqual([
      ["search_tickets", { query: "closed tickets billing", state: "closed" }],
      ["get_ticket", { ticket_id: "T-7" }],
    ]);
    expect(answer).toContain("T-7: Wrong invoice (status closed)");
    expect(answer).toContain("T-9: Refund");
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
  });

  test("calls at most three tools", async () => {
    const tools = ["find_a", "find_b", "find_c", "find_d"].map((name) => tool(name));
    const { calls } = await converse("go", tools, { find_a: "1", find_b: "2", find_c: "3", find_d: "4" });
    expect(calls.map((call) => call.tool)).toEqual(["find_a", "find_b", "find_c"]);
  });

  test("calls a tool that changes something only when the user names it", async () => {
    const tools = [tool("create_ticket", { title: { type: "string" } })];
    expect((await converse("What is new?", tools, {})).calls).toEqual([]);
    const { calls } = await converse("Please create a ticket: printer on fire", tools, {
      create_ticket: '{"id":"T-1"}',
    });
    expect(calls.map(({ tool, input }) => [tool, input])).toEqual([
      ["create_ticket", { title: "Please create a ticket: printer on fire" }],
    ]);
  });

  test("tells when a tool failed, and quotes plain text", async () => {
    const tools = [tool("read_page"), tool("read_note")];
    const { answer } = await converse("read", tools, { read_note: "The door is green." });
    expect(answer).toContain("read_page failed: no such thing");
    expect(answer).toContain("read_note answered: The door is green.");
  });

  test("starts over with the tools for the next message", async () => {
    const tools = [tool("find_a")];
    const { parts } = await run(model, {
      tools,
      messages: [
        user("one"),
        { role: "assistant", content: [{ type: "tool_call", id: "a", tool: "find_a", input: {} }] },
        { role: "tool", results: [{ callId: "a", tool: "find_a", isError: false, text: "1" }] },
        { role: "assistant", content: [{ type: "text", text: "done" }] },
        user("two"),
      ],
    });
    expect(parts).toMatchObject([{ type: "tool_call", tool: "find_a" }]);
  });

  test("answers with JSON that fits the output schema, filled from the results, and says what it is beside it", async () => {
    const outputSchema = {
      type: "object",
      properties: { ticket_id: { type: "string" }, urgent: { type: "boolean" }, topic: { enum: ["billing", "other"] } },
      required: ["ticket_id", "urgent", "topic"],
    };
    const { parts } = await run(model, {
      outputSchema,
      tools: [tool("find_ticket")],
      messages: [
        user("a billing problem"),
        { role: "assistant", content: [{ type: "tool_call", id: "a", tool: "find_ticket", input: {} }] },
        { role: "tool", results: [{ callId: "a", tool: "find_ticket", isError: false, text: '{"ticket_id":"T-3"}' }] },
      ],
    });
    expect(JSON.parse(textOf(parts))).toEqual({ ticket_id: "T-3", urgent: false, topic: "billing" });
    expect(textOf(parts, "thinking")).toContain("built-in demo model");
  });

  test("stops between two words when the signal is aborted, with its reason", async () => {
    const control = new AbortController();
    const reason = new Error("enough");
    let heard = 0;
    const call = createDemo({ delayMs: 1 }).stream(request, {
      signal: control.signal,
      onPart: () => {
        if (++heard === 3) control.abort(reason);
      },
    });
    await expect(call).rejects.toBe(reason);
    expect(heard).toBe(3);
  });
});
