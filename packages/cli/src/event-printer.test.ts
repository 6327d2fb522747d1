import type { Event } from "@callboard/client";
import { expect, test } from "vitest";
import { createEventPrinter } from "./event-printer.ts";
import { entry, usage } from "./testing/events.ts";

function printed(...events: Event[]): string {
  let text = "";
  const print = createEventPrinter((piece) => {
    text += piece;
  });
  for (const event of events) print(event);
  return text;
}
const delta = (text: string, message = "msg_1") => entry(1, "agent.message.delta", { message_id: message, text });
const whole = (text: string, message = "msg_1") =>
  entry(2, "agent.message", { message_id: message, text, finish_reason: "stop" });

test("deltas come out as they are, and the final message adds nothing but the line's end", () => {
  expect(printed(delta("Hel"), delta("lo"), whole("Hello"))).toBe("Hello\n");
});

test("a message whose deltas are gone comes out whole", () => {
  expect(printed(whole("Hello"))).toBe("Hello\n");
});

test("a message that was joined in its middle comes out whole on a line of its own", () => {
  expect(printed(delta("lo"), whole("Hello"))).toBe("lo\nHello\n");
});

test("a tool call between deltas has a line of its own", () => {
  const started = entry(3, "tool.call.started", { call_id: "call_1", tool: "find", input: { id: 7 } });
  const done = entry(4, "tool.call.completed", { call_id: "call_1", tool: "find", outcome: "ok", duration_ms: 5 });
  expect(printed(delta("Let me see."), started, done, delta("Found.", "msg_2"), whole("Found.", "msg_2"))).toBe(
    'Let me see.\ntool find {"id":7}\ntool find: ok after 5 ms\nFound.\n',
  );
});

test("thinking and answer of one message id are two texts", () => {
  const thought = entry(1, "agent.thinking.delta", { message_id: "msg_1", text: "Hm." });
  const thinking = entry(2, "agent.thinking", { message_id: "msg_1", text: "Hm." });
  expect(printed(thought, thinking, delta("Yes"), whole("Yes"))).toBe("Hm.\nYes\n");
});

test("a request for permission says how to answer it", () => {
  const wanted = entry(1, "permission.requested", { permission_id: "perm_1", tool: "refund", input: { cents: 5 } });
  expect(printed(wanted)).toBe(
    'permission wanted for refund {"cents":5}\n  callboard permissions approve|deny perm_1\n',
  );
});

test("a status, a second try and the end are lines", () => {
  const superseded_message_ids = ["msg_1"];
  expect(
    printed(
      entry(1, "status.relayed", { text: "Reading", progress: 0.255 }),
      delta("Hel"),
      entry(2, "run.resumed", { attempt: 2, reason: "taken_over", superseded_message_ids }),
      delta("Hi", "msg_2"),
      whole("Hi", "msg_2"),
      entry(3, "run.canceled", { error: { code: "canceled", message: "stopped", retryable: false }, usage }),
    ),
  ).toBe(
    "status: Reading (26 %)\nHel\nrun run_1 goes on (taken_over); the answer begins again\nHi\nrun run_1 canceled: canceled: stopped\n",
  );
});

test("a model cannot speak to the terminal", () => {
  expect(printed(whole("a\u001b]0;title\u0007b\rc\td"))).toBe("a]0;titlebc\td\n");
});

test("what a tool answered is cut to a line or so; what a person is to decide on is not", () => {
  const input = { text: "x".repeat(300) };
  const done = entry(1, "tool.call.completed", {
    call_id: "call_1",
    tool: "find",
    outcome: "ok",
    output: input,
    duration_ms: 5,
  });
  expect(printed(done)).toBe(`tool find: ok after 5 ms {"text":"${"x".repeat(231)}…\n`);
  expect(printed(entry(1, "permission.requested", { permission_id: "perm_1", tool: "refund", input }))).toContain(
    JSON.stringify(input),
  );
});
