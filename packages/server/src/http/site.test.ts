import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { Site } from "./site.ts";

const SECRET = "cbn_secret";
const request = (headers: Record<string, string>, more: object = {}) =>
  ({ method: "POST", headers, socket: { remoteAddress: "192.0.2.1" }, ...more }) as unknown as IncomingMessage;
const refused = (work: () => unknown): string => {
  try {
    work();
    return "accepted";
  } catch (error) {
    return (error as { code: string }).code;
  }
};
const tls = new Site({ publicUrl: "https://callboard.example", proxies: 0 });

describe("the session's cookie", () => {
  test("is bound to the host and to TLS", () => {
    expect(tls.sessionCookie(request({}), "s", Date.now() + 60_900)).toBe(
      "__Host-callboard_session=s; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax",
    );
    expect(tls.noSessionCookie(request({}))).toContain("__Host-callboard_session=; Path=/; Max-Age=0; Secure;");
  });

  test("has a plain name on this machine alone", () => {
    for (const publicUrl of ["http://127.0.0.1:4100", "http://localhost:4100", "http://[::1]:4100"]) {
      const cookie = new Site({ publicUrl, proxies: 0 }).sessionCookie(request({}), "s", Date.now());
      expect(cookie).toBe("callboard_session=s; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
    for (const publicUrl of ["http://callboard.example", "http://127.0.0.1.evil.example", "http://10.0.0.1"]) {
      expect(new Site({ publicUrl, proxies: 0 }).sessionCookie(request({}), "s", Date.now())).toMatch(
        /^__Host-.*Secure/,
      );
    }
  });

  test("goes by the address that the browser used where the operator named none, wherever the server listens", () => {
    const site = new Site({ publicUrl: undefined, proxies: 0 });
    site.listening("0.0.0.0", 4100);
    const given = (host: string) => site.sessionCookie(request({ host }), "s", Date.now());
    for (const host of ["127.0.0.1:4100", "localhost:4100", "[::1]:4100"]) expect(given(host)).toMatch(/^callboard_/);
    for (const host of ["callboard.example", "192.168.0.7:4100", "127.0.0.1.evil.example", "nonsense:nonsense", ""]) {
      expect(given(host), host).toMatch(/^__Host-callboard_session=s;.* Secure;/);
    }
    const cookie = "callboard_session=s";
    expect(site.sessionOf(request({ cookie, host: "localhost:4100" }))).toBe("s");
    expect(site.sessionOf(request({ cookie, host: "callboard.example" }))).toBeUndefined();
  });

  test("is read under its own name, once", () => {
    const read = (cookie: string) => tls.sessionOf(request({ cookie }));
    expect(read("a=b; __Host-callboard_session=s; c=d")).toBe("s");
    for (const cookie of [
      "callboard_session=s",
      "__Host-callboard_session=s; __Host-callboard_session=t",
      "__Host-callboard_session=",
      "x__Host-callboard_session=s",
      "",
    ]) {
      expect(read(cookie), cookie).toBeUndefined();
    }
  });
});

describe("a request by cookie", () => {
  const proof = { "x-csrf-token": tls.csrfToken(SECRET) };
  const judge = (headers: Record<string, string>, method = "POST", site = tls) =>
    refused(() => site.requireProof(request(headers, { method }), SECRET));

  test("proves with the session's token that it is from our pages", () => {
    expect(judge(proof)).toBe("accepted");
    expect(judge({ ...proof, origin: "https://callboard.example", "sec-fetch-site": "same-origin" })).toBe("accepted");
    expect(judge({})).toBe("csrf_refused");
    expect(judge({ "x-csrf-token": tls.csrfToken("cbn_other") })).toBe("csrf_refused");
  });

  test("is refused from any other origin, whatever it carries", () => {
    const origins = [
      "https://evil.example",
      "http://callboard.example",
      "https://callboard.example:444",
      "https://callboard.example.evil.example",
      "https://sub.callboard.example",
      "null",
    ];
    for (const origin of origins) expect(judge({ ...proof, origin }), origin).toBe("csrf_refused");
    for (const site of ["cross-site", "same-site", "none"]) {
      expect(judge({ ...proof, "sec-fetch-site": site }), site).toBe("csrf_refused");
    }
  });

  test("that only reads needs none", () => {
    for (const method of ["GET", "HEAD"]) expect(judge({}, method)).toBe("accepted");
    for (const method of ["PUT", "PATCH", "DELETE", "OPTIONS", "get"]) expect(judge({}, method)).toBe("csrf_refused");
  });

  test("is held against the host it was sent to where the operator named none", () => {
    const site = new Site({ publicUrl: undefined, proxies: 0 });
    expect(judge({ ...proof, origin: "http://127.0.0.1:4100", host: "127.0.0.1:4100" }, "POST", site)).toBe("accepted");
    expect(judge({ ...proof, origin: "http://localhost:4100", host: "127.0.0.1:4100" }, "POST", site)).toBe(
      "csrf_refused",
    );
  });
});

describe("the address of the other end", () => {
  const address = (proxies: number, forwarded?: string) =>
    new Site({ publicUrl: undefined, proxies }).clientOf(
      request(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }),
    ).address;

  test("is the socket's, whatever a header says", () => {
    expect(address(0, "203.0.113.9")).toBe("192.0.2.1");
  });

  test("is what the outermost of our proxies saw, not what the client wrote before it", () => {
    expect(address(1, "10.0.0.1, 203.0.113.9")).toBe("203.0.113.9");
    expect(address(2, "10.0.0.1, 203.0.113.9, 198.51.100.2")).toBe("203.0.113.9");
    expect(address(2, "203.0.113.9")).toBe("192.0.2.1");
    expect(address(1)).toBe("192.0.2.1");
  });
});
