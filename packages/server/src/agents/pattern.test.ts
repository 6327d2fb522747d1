import { afterEach, expect, test, vi } from "vitest";
import { testPattern } from "./pattern.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const endless = ["^(a+)+$", `${"a".repeat(60)}!`] as const;

test("a pattern that is kept busy is stopped", () => {
  expect(testPattern(...endless)).toBe("too_slow");
  expect(testPattern("^(a|b)+$", "abba")).toBe("match");
});

test("time that the machine gave to others does not count", () => {
  const spent = [0, 1, 2, 20].map((ms) => ({ user: ms * 1000, system: 0 }));
  const used = vi.spyOn(process, "threadCpuUsage").mockImplementation(() => spent.shift() ?? { user: 0, system: 0 });
  expect(testPattern(...endless)).toBe("too_slow");
  expect(used).toHaveBeenCalledTimes(4);
});
