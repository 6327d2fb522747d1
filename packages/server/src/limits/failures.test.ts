import { describe, expect, test } from "vitest";
import { network } from "./address.ts";
import { FailureLimit } from "./failures.ts";

test.each([
  ["203.0.113.7", "203.0.113.7"],
  ["::ffff:203.0.113.7", "203.0.113.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::6", "2001:db8:1:2"],
  ["2001:db8::6", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
])("%s counts as %s", (address, expected) => {
  expect(network(address)).toBe(expected);
});

describe("failures of an address", () => {
  let nowMs = 0;
  const limit = new FailureLimit({ perMinute: 6, now: () => nowMs });
  const fail = (address: string, times: number) => {
    for (let n = 0; n < times; n++) limit.failed(address);
  };

  test("are refused beyond the limit, tell when to come again, and concern nobody else", () => {
    fail("a", 5);
    expect(() => limit.require("a")).not.toThrow();
    fail("a", 3);
    expect(() => limit.require("a")).toThrow("too many requests from this address");
    try {
      limit.require("a");
    } catch (error) {
      expect(error).toMatchObject({ code: "rate_limited", details: { limit: "address", retry_after_ms: 10_000 } });
    }
    expect(() => limit.require("b")).not.toThrow();
    nowMs += 10_000;
    expect(() => limit.require("a")).not.toThrow();
    fail("a", 1);
    expect(() => limit.require("a")).toThrow();
    nowMs += 60_000;
    fail("a", 5);
    expect(() => limit.require("a")).not.toThrow();
  });

  test("are not limited with a limit of 0", () => {
    const off = new FailureLimit({ perMinute: 0 });
    for (let n = 0; n < 100; n++) off.failed("a");
    expect(() => off.require("a")).not.toThrow();
  });

  test("are remembered of a bounded number of addresses", () => {
    for (let n = 0; n < 60_000; n++) limit.failed(`10.${n}`);
    fail("last", 6);
    expect(() => limit.require("last")).toThrow();
  });
});
