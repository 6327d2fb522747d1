/** Signing in and what a session may do, over real sockets. */
import type { Role, SessionId } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operatorPassword, Passwords } from "../identity/index.ts";
import { Browser } from "../testing/browser.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";

const PASSWORD = "a horse in the kitchen";
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ agents: { helper: { name: "Helper", instructions: "Help." } } });
});
afterAll(() => server.stop());

const passwords = new Passwords();
const wakes = { send: () => undefined };
const emailOf = async (organization: TestOrganization, token: string): Promise<string> =>
  (await organization.client(token).get("/me")).body.user.email;

/** Somebody with a password that all organizations take. */
async function person(role: Role = "member", organization: TestOrganization = server) {
  const { userId, token } = await organization.person(role);
  const email = await emailOf(organization, token);
  await operatorPassword({ database: server.app.database, wakes, passwords }, email, PASSWORD);
  return { userId, token, email };
}
async function signedIn(role: Role = "member") {
  const somebody = await person(role);
  const browser = new Browser(server.baseUrl);
  const { status, body } = await browser.signIn(somebody.email, PASSWORD);
  expect(status).toBe(200);
  return { ...somebody, browser, session: body.session };
}
const codeOf = (answer: { status: number; body: { error?: { code: string } } }) =>
  answer.body?.error?.code ?? answer.status;

describe("signing in", () => {
  test("gives a session as a cookie that scripts do not see, and says who is signed in", async () => {
    const { email, userId } = await person("admin");
    const browser = new Browser(server.baseUrl);
    const answer = await browser.signIn(email, PASSWORD);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      session: { user_id: userId, organization_id: server.id, method: "password", current: true },
      user: { email, role: "admin" },
      organization: { name: "Acme" },
      organizations: [{ id: server.id, role: "admin" }],
    });
    expect(browser.lastCookies).toEqual([
      expect.stringMatching(/^callboard_session=cbn_\w+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/),
    ]);
    expect(answer.text).not.toContain("cbn_");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect((await browser.get("/session")).body.csrf_token).toBe(answer.body.csrf_token);
  });

  test("takes the address in any case, and the password as it is", async () => {
    const { email } = await person();
    const browser = new Browser(server.baseUrl);
    expect((await browser.signIn(email.toUpperCase(), PASSWORD)).status).toBe(200);
    expect(codeOf(await browser.signIn(email, PASSWORD.toUpperCase()))).toBe("sign_in_refused");
  });

  test("answers the same for an unknown address, a wrong password, somebody without one, and somebody suspended", async () => {
    const browser = new Browser(server.baseUrl);
    const known = await person();
    const without = await server.person("member");
    const suspended = await person();
    await server.client().patch(`/members/${suspended.userId}`, { suspended: true });
    const answers = [
      await browser.signIn("nobody@example.com", PASSWORD),
      await browser.signIn(known.email, "something else altogether"),
      await browser.signIn(await emailOf(server, without.token), PASSWORD),
      await browser.signIn(suspended.email, PASSWORD),
    ];
    const shapes = answers.map(({ status, body, headers }) => {
      const { request_id: _, ...error } = body.error;
      return { status, error, cookies: headers.getSetCookie() };
    });
    expect(new Set(shapes.map((shape) => JSON.stringify(shape))).size).toBe(1);
    expect(shapes[0]).toMatchObject({ status: 401, error: { code: "sign_in_refused" }, cookies: [] });
  });

  test("from a page of another site is refused", async () => {
    const { email } = await person();
    const browser = new Browser(server.baseUrl);
    const json = { email, password: PASSWORD };
    for (const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
      expect(codeOf(await browser.post("/session", json, { headers }))).toBe("csrf_refused");
    }
    expect(browser.cookies.size).toBe(0);
  });

  test("leaves an entry in the audit log, refused or done, without the password", async () => {
    const { email, userId } = await person();
    const browser = new Browser(server.baseUrl);
    await browser.signIn(email, "something else altogether");
    const { body } = await browser.signIn(email, PASSWORD);
    const { text, body: audit } = await server.client().get("/audit", { query: { limit: 20 } });
    const entries = audit.data.filter((entry: { action: string }) => entry.action === "session.sign_in");
    expect(entries[0]).toMatchObject({ actor: { kind: "user", id: userId }, outcome: "done", target: body.session.id });
    expect(entries[1]).toMatchObject({ actor: { kind: "anonymous", id: null }, outcome: "refused", target: userId });
    expect(text).not.toContain(PASSWORD);
  });

  test("hashes again when the parameters have changed", async () => {
    const { email, userId } = await person();
    const { hash } = await import("@node-rs/argon2");
    const old = await hash(PASSWORD, { memoryCost: 8192, timeCost: 1, parallelism: 1 });
    await server.row("update passwords set hash = $1", [old]);
    expect((await new Browser(server.baseUrl).signIn(email, PASSWORD)).status).toBe(200);
    const { toUuid } = await import("@callboard/protocol");
    const row = await server.row<{ hash: string }>("select hash from passwords where user_id = $1", [
      toUuid(userId as never),
    ]);
    expect(row.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect((await new Browser(server.baseUrl).signIn(email, PASSWORD)).status).toBe(200);
  });
});

describe("a session", () => {
  test("does what its person may do, and its things are the person's", async () => {
    const { browser, userId, token } = await signedIn();
    const made = await browser.post("/agents/helper/threads", {});
    expect(made.status).toBe(201);
    expect(made.body.thread.created_by).toEqual({ kind: "user", id: userId });
    expect((await server.client(token).get(`/threads/${made.body.thread.id}`)).status).toBe(200);
    const me = await browser.get("/me");
    expect(me.body).toMatchObject({ kind: "user", token_id: null, session_id: expect.stringMatching(/^session_/) });
    expect(codeOf(await browser.post("/agents", { slug: "mine", draft: { name: "Mine" } }))).toBe("forbidden");
  });

  test("changes nothing without the CSRF token, with another session's, or from another site", async () => {
    const { browser } = await signedIn();
    const other = await signedIn();
    const own = browser.csrfToken as string;
    const attempts: Array<[string | undefined, Record<string, string>]> = [
      [undefined, {}],
      [other.browser.csrfToken, {}],
      [`${own}x`, {}],
      [own, { origin: "https://evil.example" }],
      [own, { origin: "null" }],
      [own, { "sec-fetch-site": "cross-site" }],
      [own, { "sec-fetch-site": "same-site" }],
    ];
    for (const [csrf, headers] of attempts) {
      browser.csrfToken = csrf;
      expect(codeOf(await browser.post("/agents/helper/threads", {}, { headers }))).toBe("csrf_refused");
    }
    browser.csrfToken = own;
    expect((await browser.post("/agents/helper/threads", {})).status).toBe(201);
  });

  test("reads without a CSRF token", async () => {
    const { browser } = await signedIn();
    browser.csrfToken = undefined;
    expect((await browser.get("/agents")).status).toBe(200);
  });

  test("is not looked at beside a token: the token wins, also when it is refused", async () => {
    const { browser } = await signedIn();
    const other = await server.person("admin");
    const headers = { authorization: `Bearer ${other.token}` };
    browser.csrfToken = undefined;
    expect((await browser.get("/me", { headers })).body.user.user_id).toBe(other.userId);
    expect((await browser.post("/agents/helper/threads", {}, { headers })).status).toBe(201);
    expect(codeOf(await browser.get("/me", { headers: { authorization: "Bearer nonsense" } }))).toBe("unauthenticated");
  });

  test("is no token, and a token is no session", async () => {
    const { browser, token } = await signedIn();
    const secret = browser.cookies.get("callboard_session") as string;
    expect(codeOf(await server.client(secret).get("/me"))).toBe("unauthenticated");
    const pretender = new Browser(server.baseUrl);
    pretender.cookies.set("callboard_session", token);
    expect(codeOf(await pretender.get("/me"))).toBe("unauthenticated");
    expect(codeOf(await server.client(token).get("/session"))).toBe("forbidden");
    expect(codeOf(await server.client(token).delete("/sessions"))).toBe("forbidden");
  });

  test("that is there twice in the cookies is none", async () => {
    const { browser } = await signedIn();
    const secret = browser.cookies.get("callboard_session");
    const cookie = `callboard_session=${secret}; callboard_session=${secret}`;
    const response = await fetch(`${server.baseUrl}/api/v1/me`, { headers: { cookie } });
    expect(response.status).toBe(401);
  });

  test("ends when its person signs out, and its cookie is taken back", async () => {
    const { browser } = await signedIn();
    const stolen = new Browser(server.baseUrl);
    stolen.cookies.set("callboard_session", browser.cookies.get("callboard_session") as string);
    expect((await browser.delete("/session")).status).toBe(204);
    expect(browser.cookies.size).toBe(0);
    expect(codeOf(await stolen.get("/me"))).toBe("unauthenticated");
  });

  test("is listed to its person alone, and ended from another one", async () => {
    const first = await signedIn();
    const second = new Browser(server.baseUrl);
    await second.signIn(first.email, PASSWORD);
    const stranger = await signedIn();
    const { body } = await second.get("/sessions");
    expect(body.data.map((session: { current: boolean }) => session.current)).toEqual([true, false]);
    expect(body.data[1]).toMatchObject({ id: first.session.id, user_agent: "node" });
    expect(codeOf(await stranger.browser.delete(`/sessions/${first.session.id}`))).toBe("not_found");
    expect((await second.delete(`/sessions/${first.session.id}`)).status).toBe(204);
    expect(codeOf(await first.browser.get("/me"))).toBe("unauthenticated");
    expect((await second.get("/me")).status).toBe(200);
  });

  test("ends everywhere at once when its person says so", async () => {
    const first = await signedIn();
    const second = new Browser(server.baseUrl);
    await second.signIn(first.email, PASSWORD);
    expect((await second.delete("/sessions")).status).toBe(204);
    expect(codeOf(await first.browser.get("/me"))).toBe("unauthenticated");
    expect(second.cookies.size).toBe(0);
  });

  test("ends for good when its person is suspended, and with the membership", async () => {
    const { browser, userId } = await signedIn();
    await server.client().patch(`/members/${userId}`, { suspended: true });
    expect(codeOf(await browser.get("/me"))).toBe("unauthenticated");
    await server.client().patch(`/members/${userId}`, { suspended: false });
    expect(codeOf(await browser.get("/me"))).toBe("unauthenticated");
    const other = await signedIn();
    await server.client().delete(`/members/${other.userId}`);
    expect(codeOf(await other.browser.get("/me"))).toBe("unauthenticated");
  });

  test("ends without use, and at its latest time in any case", async () => {
    const { browser, session } = await signedIn();
    const { toUuid } = await import("@callboard/protocol");
    await server.app.authenticator.flush(); // what signing in has noted would come later and count as use
    const age = async (change: string) => {
      await server.row(`update sessions set ${change} where id = $1`, [toUuid(session.id)]);
      return expect.poll(async () => codeOf(await browser.get("/me")), { interval: 50 });
    };
    await (await age("last_used_at = now() - make_interval(mins => idle_minutes)")).toBe("unauthenticated");
    await (await age("last_used_at = now() - make_interval(mins => idle_minutes) + interval '1 minute'")).toBe(200);
    await (await age("expires_at = now()")).toBe("unauthenticated");
  });

  test("that ends closes its open streams", async () => {
    const { browser, userId } = await signedIn();
    const { body } = await browser.post("/agents/helper/threads", {});
    const response = await browser.fetch(`${server.baseUrl}/api/v1/threads/${body.thread.id}/events/stream`);
    const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    await reader.read();
    await server.client().patch(`/members/${userId}`, { suspended: true });
    for (let ended = false; !ended; ) ended = (await reader.read()).done;
  });

  test("that ends on one process ends on the others", async () => {
    const { browser } = await signedIn();
    const other = await server.second();
    const there = new Browser(other.baseUrl);
    for (const [name, value] of browser.cookies) there.cookies.set(name, value);
    expect((await there.get("/me")).status).toBe(200);
    await browser.delete("/session");
    await expect.poll(async () => codeOf(await there.get("/me")), { interval: 10 }).toBe("unauthenticated");
    await other.stop();
  });
});

describe("what a session began", () => {
  test("goes on when its person has signed out, and stops when the session is revoked", async () => {
    const begun = { organizationId: server.id };
    const [left, revoked, removed] = [await signedIn(), await signedIn(), await signedIn()];
    const standing = ({ session }: { session: { id: SessionId } }) =>
      server.app.authenticator.callerOf({ ...begun, tokenId: session.id }, true).then(
        ({ userId }) => userId,
        (error) => error.code,
      );
    await left.browser.delete("/session");
    await revoked.browser.delete("/sessions");
    await server.client().delete(`/members/${removed.userId}`);
    expect(await standing(left)).toBe(left.userId);
    expect(await standing(revoked)).toBe("unauthenticated");
    expect(await standing(removed)).toBe("unauthenticated");
    await server.client().patch(`/members/${left.userId}`, { suspended: true });
    expect(await standing(left)).toBe("unauthenticated");
  });

  test("is on this side of the sign-out or not at all", async () => {
    for (let round = 0; round < 8; round++) {
      const { browser, token } = await signedIn();
      const copies = Array.from({ length: 4 }, () => {
        const copy = new Browser(server.baseUrl);
        for (const [name, value] of browser.cookies) copy.cookies.set(name, value);
        copy.csrfToken = browser.csrfToken;
        return copy;
      });
      const uses = copies.map((copy) => copy.post("/agents/helper/threads", {}));
      const [out] = await Promise.all([browser.delete("/session"), ...uses]);
      expect(out.status).toBe(204);
      const accepted = (await Promise.all(uses)).filter(({ status }) => status === 201);
      const late = await Promise.all(copies.map((copy) => copy.post("/agents/helper/threads", {})));
      expect(new Set(late.map(codeOf))).toEqual(new Set(["unauthenticated"]));
      const { data } = (await server.client(token).get("/agents/helper/threads?limit=100")).body;
      expect(data).toHaveLength(accepted.length);
    }
  });
});

describe("sessions under any order of acts", () => {
  const acts = ["sign in", "sign out", "end oldest", "end all", "switch", "suspend", "use"] as const;

  test("never come back, and each works until it was ended", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...acts), { maxLength: 7 }), async (sequence) => {
        const somebody = await person();
        const open: Browser[] = [];
        const ended: Browser[] = [];
        const copyOf = (browser: Browser) => {
          const copy = new Browser(server.baseUrl);
          for (const [name, value] of browser.cookies) copy.cookies.set(name, value);
          return copy;
        };
        const newest = () => open.at(-1);
        for (const act of sequence) {
          const by = newest();
          if (act === "sign in") {
            const browser = new Browser(server.baseUrl);
            await browser.signIn(somebody.email, PASSWORD);
            open.push(browser);
          } else if (act === "suspend") {
            const member = server.client();
            await member.patch(`/members/${somebody.userId}`, { suspended: true });
            await member.patch(`/members/${somebody.userId}`, { suspended: false });
            ended.push(...open.splice(0).map(copyOf));
          } else if (by === undefined) continue;
          else if (act === "sign out") {
            ended.push(copyOf(by));
            expect((await by.delete("/session")).status).toBe(204);
            open.pop();
          } else if (act === "end oldest") {
            const oldest = open.shift() as Browser;
            const { id } = (await oldest.get("/session")).body.session;
            expect((await by.delete(`/sessions/${id}`)).status).toBe(204);
            ended.push(copyOf(oldest));
          } else if (act === "end all") {
            ended.push(...open.map(copyOf));
            expect((await by.delete("/sessions")).status).toBe(204);
            open.length = 0;
          } else if (act === "switch") {
            ended.push(copyOf(by));
            expect((await by.post("/session/organization", { organization_id: server.id })).status).toBe(200);
          }
          for (const browser of open) expect((await browser.get("/me")).status).toBe(200);
          for (const browser of ended) expect((await browser.get("/me")).status).toBe(401);
          const by2 = newest();
          if (by2 !== undefined) expect((await by2.get("/sessions")).body.data).toHaveLength(open.length);
        }
      }),
      { numRuns: 10 },
    );
  });
});
