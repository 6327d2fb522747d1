import { newId, parseId, toUuid } from "@callboard/protocol";
import { expect, test } from "vitest";
import { childIds } from "./child-id.ts";

test("a call's children have ids that are the same each time, differ, and are in their order", () => {
  const call = newId("call");
  const ids = [1, 2, 3, 300].map((number) => childIds(call, number).runId);
  expect(ids).toEqual([1, 2, 3, 300].map((number) => childIds(call, number).runId));
  expect(new Set(ids).size).toBe(4);
  expect([...ids].sort()).toEqual(ids);
  expect(childIds(newId("call"), 1).runId).not.toBe(ids[0]);
});

test("they are UUIDs of version 7 with the call's time", () => {
  const call = newId("call");
  const { runId, threadId } = childIds(call, 1);
  expect(toUuid(runId)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(toUuid(runId).slice(0, 13)).toBe(toUuid(call).slice(0, 13));
  expect(parseId("thread", threadId)).toBe(threadId);
});
