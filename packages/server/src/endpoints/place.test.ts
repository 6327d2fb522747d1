import { expect, test } from "vitest";
import { projectPlace } from "./place.ts";

const withStack = (...frames: string[]) =>
  Object.assign(new Error("wrong"), { stack: ["Error: wrong", ...frames].join("\n") });

test.each([
  ["    at handle (file:///srv/project/endpoints/triage.ts:12:5)", "endpoints/triage.ts:12:5"],
  ["    at async handle (file:///srv/project/endpoints/a%20b/[id].ts?v=3:1:20)", "endpoints/a b/[id].ts:1:20"],
  ["    at file:///srv/project/lib/word.ts:7:1", "lib/word.ts:7:1"],
  ["    at Object.handle (/srv/project/endpoints/triage.js:12:5)", "endpoints/triage.js:12:5"],
  ["    at handle (file:///srv/project/node_modules/zod/index.js:1:1)", undefined],
  ["    at answerCall (file:///srv/callboard/call.ts:1:1)", undefined],
  ["    at handle (file:///srv/project-two/endpoints/triage.ts:12:5)", undefined],
  ["    at node:internal/process/task_queues:104:5", undefined],
])("%s", (frame, place) => {
  expect(projectPlace(withStack("    at inner (file:///srv/other/x.ts:9:9)", frame), "/srv/project")).toBe(place);
});

test("is the innermost one, and the cause's when the error has none", () => {
  const cause = withStack("    at a (file:///srv/project/a.ts:1:2)", "    at b (file:///srv/project/b.ts:3:4)");
  expect(projectPlace(cause, "/srv/project")).toBe("a.ts:1:2");
  const error = Object.assign(withStack("    at c (file:///srv/callboard/c.ts:5:6)"), { cause });
  expect(projectPlace(error, "/srv/project")).toBe("a.ts:1:2");
  expect(projectPlace("no error", "/srv/project")).toBeUndefined();
});
