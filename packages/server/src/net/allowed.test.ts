import { describe, expect, test } from "vitest";
import { isAllowed, parseAllowedHost } from "./allowed.ts";

function allows(entry: string, address: string): boolean {
  const host = parseAllowedHost(entry);
  if (host === undefined) throw new Error(`${entry} is not an entry`);
  return isAllowed(host, new URL(address));
}

describe("an entry of a list of hosts", () => {
  test.each([
    ["api.example.com", "https://api.example.com/v1?a=b"],
    ["API.Example.com", "https://api.example.com/"],
    ["api.example.com", "https://api.example.com:443/"],
    ["api.example.com", "https://api.example.com./"],
    ["api.example.com.", "https://api.example.com/"],
    ["api.example.com:8443", "https://api.example.com:8443/"],
    ["*.example.com", "https://a.example.com/"],
    ["*.example.com", "https://a.b.example.com/"],
    ["http://intranet.example:8080", "http://intranet.example:8080/x"],
    ["https://api.example.com", "https://api.example.com/"],
    ["bücher.example", "https://xn--bcher-kva.example/"],
    ["192.0.2.7", "https://192.0.2.7/"],
    ["[2001:db8::1]:8443", "https://[2001:db8::1]:8443/"],
  ])("%s lets %s through", (entry, address) => {
    expect(allows(entry, address)).toBe(true);
  });

  test.each([
    ["api.example.com", "http://api.example.com/"],
    ["api.example.com", "https://api.example.com:8443/"],
    ["api.example.com", "https://example.com/"],
    ["api.example.com", "https://x.api.example.com/"],
    ["api.example.com", "https://api.example.com.evil.test/"],
    ["api.example.com", "https://evil.test/api.example.com"],
    ["*.example.com", "https://example.com/"],
    ["*.example.com", "https://evilexample.com/"],
    ["*.example.com", "https://a.example.com:444/"],
    ["192.0.2.7", "https://192.0.2.8/"],
  ])("%s does not let %s through", (entry, address) => {
    expect(allows(entry, address)).toBe(false);
  });

  test.each([
    "",
    "*",
    "*.com",
    "*.0.0.1",
    "a.*.example.com",
    "*example.com",
    "api.example.com/v1",
    "api.example.com?x",
    "user@api.example.com",
    "user:pw@api.example.com",
    "ftp://api.example.com",
    "https://",
    "api example.com",
    "api.example.com:99999",
    "api.example.com\\x",
  ])("%j is none", (entry) => {
    expect(parseAllowedHost(entry)).toBeUndefined();
  });
});
