import { expect, test } from "vitest";
import { isProjects, projectPlace } from "./place.ts";

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

test.each([
  [
    "thrown in the project",
    "Error: x\n    at f (file:///project/tools/a.ts:1:1)\n    at g (file:///server/src/b.ts:1:1)",
    true,
  ],
  ["thrown in the server", "Error: x\n    at g (file:///server/src/b.ts:1:1)\n    at h (node:net:1:1)", false],
  ["of a socket", "Error: connect ECONNREFUSED\n    at afterConnect (node:net:1:1)", true],
  ["without a stack", "", true],
] as const)("an error that nobody caught, %s, is judged by where it passed", (_, stack, is) => {
  const error = Object.assign(new Error("x"), { stack });
  expect(isProjects(error, "/project", "/server")).toBe(is);
  expect(isProjects(error, "", "/server")).toBe(false);
});

test("words that were thrown in the place of an error are the project's: the server throws errors", () => {
  expect(isProjects("words", "/project", "/server")).toBe(true);
});
