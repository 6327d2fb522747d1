import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clientEvent, createThread, sendEvents, userMessageInput } from "./threads.ts";

const file = "file_01h455vb4pex5vsknk084sn02q";
const permission = "perm_01h455vb4pex5vsknk084sn02q";

describe("the short and the long form of a message", () => {
  test("say the same wherever a message is accepted", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 200 }), (text) => {
        const content = [{ type: "text", text }];
        const type = "user.message";
        const long = userMessageInput.parse({ type, content });
        expect(userMessageInput.parse({ type, text })).toEqual(long);
        expect(createThread.parse({ input: { type, text } })).toEqual(createThread.parse({ input: { type, content } }));
        expect(sendEvents.parse({ type, text })).toEqual(sendEvents.parse({ type, content }));
        expect(sendEvents.parse({ events: [{ type, text }] })).toEqual(sendEvents.parse({ type, content }));
      }),
    );
  });

  test("are not mixed and not both left out", () => {
    for (const body of [{}, { text: "Hello", content: [{ type: "text", text: "Hello" }] }]) {
      const parsed = userMessageInput.safeParse({ type: "user.message", ...body });
      expect(parsed.error?.issues).toMatchObject([
        { path: ["content"], message: "expected exactly one of content and text" },
      ]);
    }
  });

  test("files come in the long form, in the order given", () => {
    const content = [
      { type: "file", file_id: file },
      { type: "text", text: "What is this?" },
    ];
    expect(userMessageInput.parse({ type: "user.message", content })).toEqual({ type: "user.message", content });
  });
});

describe("what is sent to a thread", () => {
  test("one event alone is a batch of one", () => {
    expect(sendEvents.parse({ type: "user.interrupt" })).toEqual({ events: [{ type: "user.interrupt" }] });
  });

  test("a message follows the active run unless it says otherwise", () => {
    expect(clientEvent.parse({ type: "user.message", text: "Hi" })).toMatchObject({ on_active_run: "enqueue" });
    expect(clientEvent.parse({ type: "user.message", text: "Hi", on_active_run: "steer" })).toMatchObject({
      on_active_run: "steer",
    });
  });

  test.each([
    ["an empty batch", { events: [] }],
    ["more than 100 events", { events: Array.from({ length: 101 }, () => ({ type: "user.interrupt" })) }],
    ["an event of the server", { type: "agent.message", text: "Hi" }],
    ["an unknown field", { type: "user.message", text: "Hi", user_id: "me" }],
    ["an unknown way to meet an active run", { type: "user.message", text: "Hi", on_active_run: "wait" }],
    ["an empty text", { type: "user.message", text: "" }],
    ["a decision that is none", { type: "permission.decision", permission_id: permission, decision: "maybe" }],
    ["another kind of id", { type: "permission.decision", permission_id: file, decision: "deny" }],
  ])("%s is refused", (_, body) => {
    expect(sendEvents.safeParse(body).success).toBe(false);
  });
});
