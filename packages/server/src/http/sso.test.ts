/** Single sign-on against a real issuer, over sockets with real redirects, and against one that lies. */
import { newId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operatorPassword, Passwords } from "../identity/index.ts";
import { Browser } from "../testing/browser.ts";
import type { Answer } from "../testing/http-client.ts";
import { type Account, startCrookedIssuer, startIssuer } from "../testing/issuer.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";

let server: TestServer;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
let crooked: Awaited<ReturnType<typeof startCrookedIssuer>>;
beforeAll(async () => {
  [server, issuer, crooked] = await Promise.all([startTestServer(), startIssuer(), startCrookedIssuer()]);
});
afterAll(async () => {
  await Promise.all([issuer.stop(), crooked.stop()]);
  await server.stop();
});

const codeOf = ({ status, body }: Answer) => body?.error?.code ?? status;
const newSlug = () => `s${newId("user").slice(-20)}`;
const newAccount = (more: Record<string, unknown> = {}): Account => {
  const sub = newId("user");
  return { sub, email: `${sub}@example.com`, email_verified: true, name: "Ida", ...more };
};

/** A connection of an organization to the real issuer, with a client of its own there. */
async function connect(organization: TestOrganization = server, more: object = {}) {
  const slug = newSlug();
  const client = { id: slug, secret: `secret of ${slug}, long enough for anybody` };
  const { status, body, text } = await organization.client().post("/sso-connections", {
    slug,
    name: "Acme",
    issuer: issuer.issuer,
    client_id: client.id,
    client_secret: client.secret,
    email_domains: ["example.com"],
    provisioning: true,
    ...more,
  });
  expect(status, text).toBe(201);
  issuer.register({ ...client, redirectUri: body.redirect_uri });
  return { id: body.id as string, slug, secret: client.secret };
}

/** Where the server sends a browser that begins. */
async function begin(by: Browser, slug: string, returnTo?: string): Promise<string> {
  const query = returnTo === undefined ? "" : `?return_to=${encodeURIComponent(returnTo)}`;
  const response = await by.fetch(`${server.baseUrl}/api/v1/sso/${slug}/start${query}`);
  expect(response.status, await response.text()).toBe(303);
  return response.headers.get("location") as string;
}
/** What the server says to the answer of an issuer. */
async function comeBack(by: Browser, url: string) {
  const response = await by.fetch(url);
  const text = await response.text();
  const code = text === "" ? undefined : (JSON.parse(text).error.code as string);
  return { status: response.status, location: response.headers.get("location"), code };
}
/** The whole way. */
async function signIn(slug: string, account: Account, by = new Browser(server.baseUrl)) {
  const answer = await comeBack(by, await issuer.logIn(await begin(by, slug), account));
  if (answer.status === 303) await by.get("/session"); // its page reads the CSRF token
  return { ...answer, by };
}

describe("single sign-on", () => {
  test("brings somebody new in, with a session of the organization, and back to the page", async () => {
    const { slug, id } = await connect();
    const account = newAccount();
    const by = new Browser(server.baseUrl);
    const url = await begin(by, slug, "/threads?open=1");
    expect(by.lastCookies).toEqual([
      expect.stringMatching(/^callboard_sso=\w{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/),
    ]);
    const asked = new URL(url).searchParams;
    expect(asked.get("code_challenge_method")).toBe("S256");
    expect(asked.get("nonce")).not.toBe(asked.get("state"));
    const answer = await comeBack(by, await issuer.logIn(url, account));
    expect(answer).toMatchObject({ status: 303, location: "/threads?open=1" });
    const { body } = await by.get("/session");
    expect(body).toMatchObject({
      session: { method: "sso", organization_id: server.id },
      user: { email: account.email, name: "Ida", role: "member" },
      organizations: [{ id: server.id }],
    });
    expect((await by.get("/agents")).status).toBe(200);
    const { data } = (await server.client().get("/audit?action=session.sign_in&limit=1")).body;
    expect(data[0]).toMatchObject({ outcome: "done", details: { method: "sso", sso_connection: id } });
  });

  test("knows a person again by the issuer's subject, also under another address", async () => {
    const { slug } = await connect();
    const account = newAccount();
    const first = (await (await signIn(slug, account)).by.get("/me")).body.user.user_id;
    const moved = { ...account, email: `moved-${account.sub}@example.com` };
    expect((await (await signIn(slug, moved)).by.get("/me")).body.user.user_id).toBe(first);
  });

  test("that does not work is told to a browser as a page with a way to begin again, to programs as JSON", async () => {
    const { slug } = await connect();
    const by = new Browser(server.baseUrl);
    const headers = { accept: "text/html,application/xhtml+xml" };
    const url = await issuer.logIn(await begin(by, slug), newAccount({ email: "ida@evil.example" }));
    const page = await by.fetch(url, { headers });
    expect([page.status, page.headers.get("content-type")]).toEqual([403, "text/html; charset=utf-8"]);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(page.headers.get("cache-control")).toBe("no-store");
    const text = await page.text();
    expect(text).toContain("the address is in another domain");
    expect(text).toContain(`href="/api/v1/sso/${slug}/start"`);
    expect(text).toContain("sso_refused");
    expect(text).toContain(page.headers.get("x-request-id"));
    const nonsense = `${server.baseUrl}/api/v1/sso/${encodeURIComponent('x"><script>alert(1)</script>')}/start`;
    const none = await by.fetch(nonsense, { headers });
    expect([none.status, none.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    expect(await none.text()).not.toContain("<script");
    const told = await by.fetch(nonsense, { headers: { accept: "application/json" } });
    expect(((await told.json()) as { error: { code: string } }).error.code).toBe("not_found");
  });

  test("is one person for two first sign-ins at once", async () => {
    const { slug } = await connect();
    const account = newAccount();
    const browsers = [new Browser(server.baseUrl), new Browser(server.baseUrl)];
    const urls: string[] = [];
    for (const by of browsers) urls.push(await issuer.logIn(await begin(by, slug), account));
    const answers = await Promise.all(browsers.map((by, i) => comeBack(by, urls[i] as string)));
    expect(answers.map(({ status }) => status)).toEqual([303, 303]);
    const users = await Promise.all(browsers.map(async (by) => (await by.get("/me")).body.user.user_id));
    expect(new Set(users).size).toBe(1);
  });

  test("links a member with that address, and takes the invitation of it", async () => {
    const { slug } = await connect(server, { provisioning: false });
    const member = newAccount();
    const added = await server.client().post("/members", { email: member.email, name: "M", role: "admin" });
    const linked = (await (await signIn(slug, member)).by.get("/me")).body.user;
    expect(linked).toMatchObject({ user_id: added.body.user_id, role: "admin" });
    const guest = newAccount();
    const { id } = (await server.client().post("/invitations", { email: guest.email, role: "guest" })).body.invitation;
    expect((await (await signIn(slug, guest)).by.get("/me")).body.user.role).toBe("guest");
    expect((await server.client().get(`/invitations/${id}`)).body.state).toBe("accepted");
    expect(await signIn(slug, newAccount())).toMatchObject({ status: 403, code: "sso_refused" });
  });

  test("lets nobody in whose address is not verified, missing, or in another domain", async () => {
    const { slug } = await connect();
    const wrong: Array<Record<string, unknown>> = [
      { email_verified: false },
      { email_verified: undefined },
      { email_verified: "yes" },
      { email: undefined },
      { email: "ida@evil.example" },
      { email: "ida@example.com.evil.example" },
      { email: "ida@evil.example@example.com" },
      { email: "ida@sub.example.com" },
    ];
    for (const claims of wrong) {
      const answer = await signIn(slug, newAccount(claims));
      expect(answer, JSON.stringify(claims)).toMatchObject({ status: 403, code: "sso_refused" });
      expect(answer.by.cookies.has("callboard_session")).toBe(false);
    }
  });

  test("lets a suspended member in no more, and ends the sessions there are", async () => {
    const { slug } = await connect();
    const account = newAccount();
    const { by } = await signIn(slug, account);
    const { user_id } = (await by.get("/me")).body.user;
    await server.client().patch(`/members/${user_id}`, { suspended: true });
    expect(codeOf(await by.get("/me"))).toBe("unauthenticated");
    expect(await signIn(slug, account)).toMatchObject({ code: "sso_refused" });
  });

  test("makes group membership follow the claim, for the mapped groups", async () => {
    const admin = server.client();
    const make = async () => (await admin.post("/groups", { slug: newSlug(), name: "G" })).body.id;
    const [sales, support, free] = [await make(), await make(), await make()];
    const mapping = { groups_claim: "groups", group_mapping: { sales, support } };
    const { slug } = await connect(server, mapping);
    const account = newAccount({ groups: ["sales", "unknown"] });
    const { by } = await signIn(slug, account);
    const { user_id } = (await by.get("/me")).body.user;
    await admin.patch(`/groups/${free}`, { user_ids: [user_id] });
    const groups = async () => {
      const { data } = (await admin.get("/groups?limit=200")).body;
      const own = data.filter((group: { user_ids: string[] }) => group.user_ids.includes(user_id));
      return new Set(own.map(({ id }: { id: string }) => id));
    };
    expect(await groups()).toEqual(new Set([sales, free]));
    await signIn(slug, { ...account, groups: ["support"] });
    expect(await groups()).toEqual(new Set([support, free]));
    await signIn(slug, { ...account, groups: undefined });
    expect(await groups()).toEqual(new Set([free]));
  });

  test("sends nobody to another site afterwards", async () => {
    const { slug } = await connect();
    for (const returnTo of ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "x"]) {
      const query = `?return_to=${encodeURIComponent(returnTo)}`;
      const response = await fetch(`${server.baseUrl}/api/v1/sso/${slug}/start${query}`, { redirect: "manual" });
      expect(response.status, returnTo).toBe(422);
    }
  });

  test("is not there under an unknown slug, and not when it is switched off", async () => {
    const { slug, id } = await connect();
    const by = new Browser(server.baseUrl);
    const url = await issuer.logIn(await begin(by, slug), newAccount());
    await server.client().patch(`/sso-connections/${id}`, { enabled: false });
    expect((await by.fetch(`${server.baseUrl}/api/v1/sso/${slug}/start`)).status).toBe(404);
    expect(await comeBack(by, url)).toMatchObject({ code: "sso_refused" });
    expect((await by.fetch(`${server.baseUrl}/api/v1/sso/none/start`)).status).toBe(404);
  });
});

describe("an issuer's answer", () => {
  test("is taken once", async () => {
    const { slug } = await connect();
    const by = new Browser(server.baseUrl);
    const url = await issuer.logIn(await begin(by, slug), newAccount());
    expect((await comeBack(by, url)).status).toBe(303);
    expect(await comeBack(by, url)).toMatchObject({ status: 403, code: "sso_refused" });
  });

  test("is taken once of many times at once", async () => {
    const { slug } = await connect();
    const by = new Browser(server.baseUrl);
    const url = await issuer.logIn(await begin(by, slug), newAccount());
    const answers = await Promise.all(Array.from({ length: 6 }, () => comeBack(by, url)));
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
  });

  test("is taken in the browser that began, and in no other", async () => {
    const { slug } = await connect();
    const attacker = new Browser(server.baseUrl);
    const url = await issuer.logIn(await begin(attacker, slug), newAccount());
    const victim = new Browser(server.baseUrl);
    expect(await comeBack(victim, url)).toMatchObject({ code: "sso_refused" });
    await begin(victim, slug);
    expect(await comeBack(victim, url)).toMatchObject({ code: "sso_refused" });
    expect(victim.cookies.has("callboard_session")).toBe(false);
    expect((await comeBack(attacker, url)).status).toBe(303); // others' attempts took nothing away
  });

  test("is taken for either of two tabs that began", async () => {
    const { slug } = await connect();
    const by = new Browser(server.baseUrl);
    const [one, two] = [await begin(by, slug), await begin(by, slug)];
    for (const url of [one, two]) {
      expect((await comeBack(by, await issuer.logIn(url, newAccount()))).status).toBe(303);
    }
  });

  test("with another state, without one, with a code that has ended, or after ten minutes is refused", async () => {
    const { slug } = await connect();
    const by = new Browser(server.baseUrl);
    const fresh = async () => new URL(await issuer.logIn(await begin(by, slug), newAccount()));
    const other = await fresh();
    other.searchParams.set("state", "x".repeat(43));
    const none = await fresh();
    none.searchParams.delete("state");
    const ended = await fresh();
    await issuer.expire(ended.searchParams.get("code") as string);
    const refusedThere = await fresh();
    refusedThere.searchParams.delete("code");
    refusedThere.searchParams.set("error", "access_denied");
    const late = await fresh();
    await server.row("update sso_attempts set expires_at = now()");
    for (const url of [other, none, ended, refusedThere, late]) {
      expect(await comeBack(by, url.href)).toMatchObject({ status: 403, code: "sso_refused" });
    }
  });

  test("of one connection is not taken at another's address", async () => {
    const [one, two] = [await connect(), await connect(await server.organization())];
    const by = new Browser(server.baseUrl);
    const url = await issuer.logIn(await begin(by, one.slug), newAccount());
    await begin(by, two.slug);
    expect(await comeBack(by, url.replace(`/sso/${one.slug}/`, `/sso/${two.slug}/`))).toMatchObject({
      code: "sso_refused",
    });
  });

  test("with a code of another sign-in is refused: the verifier is not that one's", async () => {
    const { slug } = await connect();
    const [attacker, victim] = [new Browser(server.baseUrl), new Browser(server.baseUrl)];
    const stolen = new URL(await issuer.logIn(await begin(victim, slug), newAccount())).searchParams.get("code");
    const own = new URL(await issuer.logIn(await begin(attacker, slug), newAccount()));
    own.searchParams.set("code", stolen as string);
    expect(await comeBack(attacker, own.href)).toMatchObject({ code: "sso_refused" });
  });
});

describe("an ID token", () => {
  async function begun() {
    const slug = newSlug();
    const { status } = await server.client().post("/sso-connections", {
      slug,
      name: "Crooked",
      issuer: crooked.issuer,
      client_id: "client",
      email_domains: ["example.com"],
      provisioning: true,
    });
    expect(status).toBe(201);
    const by = new Browser(server.baseUrl);
    const asked = new URL(await begin(by, slug)).searchParams;
    const back = (iss: string | null = crooked.issuer) => {
      const query = new URLSearchParams({ code: "c", state: asked.get("state") as string, ...(iss && { iss }) });
      return comeBack(by, `${server.baseUrl}/api/v1/sso/${slug}/callback?${query}`);
    };
    const nowS = Math.floor(Date.now() / 1000);
    const right = {
      ...newAccount(),
      iss: crooked.issuer,
      aud: "client",
      nonce: asked.get("nonce") as string,
      iat: nowS,
      exp: nowS + 300,
    };
    crooked.told.forged = false;
    return { right, back, nowS };
  }

  test("that is right lets its person in", async () => {
    const { right, back } = await begun();
    crooked.told.claims = right;
    expect((await back()).status).toBe(303);
  });

  test.each<[string, (right: Record<string, unknown>, nowS: number) => Record<string, unknown>]>([
    ["another nonce", () => ({ nonce: "n".repeat(43) })],
    ["no nonce", () => ({ nonce: undefined })],
    ["another audience", () => ({ aud: "somebody else" })],
    ["a second audience and no word whose it is", () => ({ aud: ["client", "somebody else"] })],
    ["another issuer", () => ({ iss: "https://id.example.com" })],
    ["a time that is over", (_, nowS) => ({ iat: nowS - 7200, exp: nowS - 3600 })],
    ["no subject", () => ({ sub: undefined })],
  ])("with %s is refused", async (_, wrong) => {
    const { right, back, nowS } = await begun();
    crooked.told.claims = { ...right, ...wrong(right, nowS) };
    expect(await back()).toMatchObject({ status: 403, code: "sso_refused" });
  });

  test("signed with another key is refused", async () => {
    const { right, back } = await begun();
    crooked.told.claims = right;
    crooked.told.forged = true;
    expect(await back()).toMatchObject({ code: "sso_refused" });
  });

  test("comes with the name of the issuer that sent the browser back, and with no other or none", async () => {
    for (const iss of ["https://id.example.com", null]) {
      const { right, back } = await begun();
      crooked.told.claims = right;
      expect(await back(iss)).toMatchObject({ code: "sso_refused" });
    }
  });

  test("of an issuer that is away is none: try again later", async () => {
    const { back } = await begun();
    crooked.told.down = true;
    expect(await back()).toMatchObject({ status: 502, code: "sso_failed" });
    crooked.told.down = false;
  });
});

describe("the issuer of one organization", () => {
  test("gains nothing in another: not by the address, not by the same subject, not by the password", async () => {
    const hostile = await server.organization("Hostile");
    const victim = newAccount();
    const home = await connect();
    const { by } = await signIn(home.slug, victim);
    const { user_id: userId } = (await by.get("/me")).body.user;
    const theirs = await connect(hostile);
    const intruder = await signIn(theirs.slug, victim);
    const { body } = await intruder.by.get("/session");
    expect(body).toMatchObject({ organization: { id: hostile.id }, organizations: [{ id: hostile.id }] });
    expect(body.organizations).toHaveLength(1);
    const enter = await intruder.by.post("/session/organization", { organization_id: server.id });
    expect(codeOf(enter)).toBe("not_found");
    expect((await intruder.by.get("/sessions")).body.data).toHaveLength(1);
    const change = { old_password: "whatever it is", new_password: "nine lives of a cat" };
    expect(codeOf(await intruder.by.post("/password", change))).toBe("forbidden");
    await intruder.by.delete("/sessions");
    expect((await by.get("/me")).status).toBe(200);
    const link = (await hostile.client().post("/password-links", { user_id: userId })).body.token;
    await new Browser(server.baseUrl).post("/password/reset", { token: link, password: "nine lives of a cat" });
    const direct = await new Browser(server.baseUrl).signIn(victim.email as string, "nine lives of a cat", {
      organization_id: server.id,
    });
    expect(codeOf(direct)).toBe("sign_in_refused");
  });

  test("does not change the password of somebody who came by it", async () => {
    const account = newAccount();
    await server.client().post("/members", { email: account.email, name: "M" });
    const { database } = server.app;
    const operator = { database, passwords: new Passwords(), wakes: { send: () => undefined } };
    await operatorPassword(operator, account.email as string, "nine lives of a cat");
    const { by } = await signIn((await connect()).slug, account);
    const change = { old_password: "nine lives of a cat", new_password: "a cat has nine lives" };
    expect(codeOf(await by.post("/password", change))).toBe("forbidden");
  });
});

describe("a connection", () => {
  test("is for owners alone, and keeps its secret", async () => {
    const { id, secret } = await connect();
    const admin = server.client((await server.person("admin")).token);
    expect(codeOf(await admin.get("/sso-connections"))).toBe("forbidden");
    expect(codeOf(await admin.patch(`/sso-connections/${id}`, { name: "x" }))).toBe("forbidden");
    const shown = await server.client().get(`/sso-connections/${id}`);
    expect(shown.body).toMatchObject({ has_secret: true });
    expect(shown.text).not.toContain(secret);
    const row = await server.row<{ secret: object }>("select secret from sso_connections where id = $1", [
      toUuid(id as never),
    ]);
    expect(JSON.stringify(row)).not.toContain(secret);
    const other = (await server.organization()).client();
    expect(codeOf(await other.get(`/sso-connections/${id}`))).toBe("not_found");
    expect(codeOf(await other.delete(`/sso-connections/${id}`))).toBe("not_found");
  });

  test("asks for the secret again when its issuer changes, and has a slug of its own on the server", async () => {
    const { id, slug } = await connect();
    const client = server.client();
    const issuer = "https://id.example.com";
    expect(codeOf(await client.patch(`/sso-connections/${id}`, { issuer }))).toBe("invalid_request");
    const moved = await client.patch(`/sso-connections/${id}`, { issuer, client_secret: null });
    expect(moved.body).toMatchObject({ issuer, has_secret: false });
    const other = (await server.organization()).client();
    const body = { slug, name: "A", issuer, client_id: "c", email_domains: ["example.com"] };
    expect(codeOf(await other.post("/sso-connections", body))).toBe("slug_taken");
  });

  test("ends the sessions that came by it when it is changed or deleted", async () => {
    const { id, slug } = await connect();
    const first = (await signIn(slug, newAccount())).by;
    await server.client().patch(`/sso-connections/${id}`, { name: "New" });
    expect(codeOf(await first.get("/me"))).toBe("unauthenticated");
    const second = (await signIn(slug, newAccount())).by;
    await server.client().delete(`/sso-connections/${id}`);
    expect(codeOf(await second.get("/me"))).toBe("unauthenticated");
  });

  test("to an internal address is not asked where that is not allowed", async () => {
    let log = "";
    const closed = await startTestServer({
      env: { CALLBOARD_ALLOW_PRIVATE_NETWORK: "0" },
      onLog: (line) => {
        log += line;
      },
    });
    const slug = newSlug();
    const address = issuer.issuer.replace("http:", "https:");
    const body = { slug, name: "A", issuer: address, client_id: "c", email_domains: ["example.com"] };
    await closed.client().post("/sso-connections", body);
    const response = await fetch(`${closed.baseUrl}/api/v1/sso/${slug}/start`, { redirect: "manual" });
    expect(response.status).toBe(502);
    expect((await response.json()).error.code).toBe("sso_failed");
    expect(log).toContain("is not on the public internet");
    await closed.stop();
  });
});
