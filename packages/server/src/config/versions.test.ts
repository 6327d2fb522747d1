import { expect, test } from "vitest";
import { whyNotLoaded } from "./versions.ts";

const withStack = (message: string, stack: string) => Object.assign(new Error(message), { stack });

test.each([
  ["file:///srv/desk/tools/a.ts?v=7:12\nexport default oops\n", "/srv/desk/tools/a.ts:12: wrong"],
  ["/srv/desk/tools/a.ts:1\nenum A {}\n", "/srv/desk/tools/a.ts:1: wrong"],
  ["file:///srv/desk/lib/b.ts:3\nexport default oops\n", "/srv/desk/tools/a.ts: /srv/desk/lib/b.ts:3: wrong"],
  ["Error: wrong\n    at file:///srv/desk/tools/a.ts:2:7", "/srv/desk/tools/a.ts: wrong"],
])("a file that cannot be loaded is named with its line where Node knows it: %j", (stack, why) => {
  expect(whyNotLoaded("/srv/desk/tools/a.ts", withStack("wrong", stack))).toBe(why);
});

test("a file may throw anything", () => {
  expect(whyNotLoaded("/srv/a.ts", "words")).toBe("/srv/a.ts: words");
});
