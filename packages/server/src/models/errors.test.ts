import { describe, expect, test } from "vitest";
import { parseRetryAfter } from "./errors.ts";

const now = Date.parse("2026-01-01T00:00:00Z");
const from = (headers: { [name: string]: string }) => parseRetryAfter((name) => headers[name], now);

describe("parseRetryAfter", () => {
  test.each([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after": " 1.5 " }, 1500],
    [{ "retry-after": "Thu, 01 Jan 2026 00:00:10 GMT" }, 10_000],
    [{ "retry-after": "Wed, 31 Dec 2025 23:59:00 GMT" }, 0],
    [{ "retry-after-ms": "150", "retry-after": "9" }, 150],
    [{ "retry-after-ms": "x", "retry-after": "9" }, 9000],
    [{ "retry-after": "-5 minutes" }, undefined],
    [{ "retry-after": "" }, undefined],
    [{}, undefined],
  ])("%j is %s", (headers, expected) => {
    expect(from(headers as { [name: string]: string })).toBe(expected);
  });
});
