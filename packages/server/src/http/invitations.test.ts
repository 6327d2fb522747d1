/** Invitations and links to set a password: who may make them, and what their holder gets, and what not. */
import { newId, type OrganizationId, type Role, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operatorLink, operatorPassword, Passwords } from "../identity/index.ts";
import { Browser } from "../testing/browser.ts";
import type { Answer } from "../testing/http-client.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";

const PASSWORD = "nine lives of a cat";
const OTHER = "a cat has nine lives";
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const address = () => `${newId("user")}@example.com`;
const codeOf = ({ status, body }: Answer) => body?.error?.code ?? status;
const browser = () => new Browser(server.baseUrl);
async function invited(organization: TestOrganization = server, body: object = {}) {
  const email = address();
  const answer = await organization.client().post("/invitations", { email, ...body });
  expect(answer.status, answer.text).toBe(201);
  const { invitation, token, url } = answer.body;
  return { email, token: token as string, url: url as string, id: invitation.id as string, invitation };
}
const accept = (token: string, password = PASSWORD, by = browser()) =>
  by.post("/invitations/accept", { token, password });
/** A member of the organization with this password. */
async function member(organization: TestOrganization = server, password = PASSWORD) {
  const invitation = await invited(organization);
  const by = browser();
  const { body } = await accept(invitation.token, password, by);
  return { ...invitation, browser: by, userId: body.user.user_id as string };
}
const operator = { passwords: new Passwords(), wakes: { send: () => undefined } };

describe("an invitation", () => {
  test("makes its holder a member with its role and groups, and signs in", async () => {
    const group = (await server.client().post("/groups", { slug: "sales", name: "Sales" })).body.id;
    const { email, token, url, id } = await invited(server, { role: "admin", group_ids: [group] });
    expect(url).toBe(`${server.baseUrl}/accept-invitation#${token}`);
    const by = browser();
    const { status, body } = await by.post("/invitations/accept", { token, password: PASSWORD, name: "Bo" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ user: { email, name: "Bo", role: "admin" }, organization: { id: server.id } });
    expect((await by.get("/members")).status).toBe(200);
    expect((await server.client().get("/groups")).body.data[0].user_ids).toEqual([body.user.user_id]);
    expect((await server.client().get(`/invitations/${id}`)).body).toMatchObject({
      state: "accepted",
      accepted_by: body.user.user_id,
    });
    expect((await browser().signIn(email, PASSWORD)).status).toBe(200);
  });

  test("tells its holder who invites, where to, whom and as what, as often as it is asked", async () => {
    const { email, token, invitation } = await invited(server, { role: "guest" });
    const preview = () => browser().post("/invitations/preview", { token });
    for (let times = 0; times < 2; times++) {
      const { status, body } = await preview();
      expect([status, body]).toEqual([
        200,
        {
          organization: { id: server.id, name: "Acme" },
          email,
          role: "guest",
          invited_by: { name: expect.any(String) },
          expires_at: invitation.expires_at,
        },
      ]);
    }
    expect((await accept(token)).status).toBe(200);
    expect(codeOf(await preview())).toBe("link_invalid");
    for (const other of ["cbi_nothing", `cbi_${"a".repeat(49)}`, server.token]) {
      expect(codeOf(await browser().post("/invitations/preview", { token: other }))).toMatch(
        /link_invalid|invalid_request/,
      );
    }
  });

  test("of somebody who may not invite any more tells nothing", async () => {
    const admin = await server.person("admin");
    const made = await server.client(admin.token).post("/invitations", { email: address() });
    await server.client().patch(`/members/${admin.userId}`, { role: "member" });
    expect(codeOf(await browser().post("/invitations/preview", { token: made.body.token }))).toBe("link_invalid");
  });

  test("tells no organization what a person is called in another one", async () => {
    const other = await server.organization();
    const { email, token } = await invited();
    await browser().post("/invitations/accept", { token, password: PASSWORD, name: "Secret Name" });
    const added = await other.client().post("/members", { email, name: "B" });
    expect([added.status, added.body.name]).toEqual([201, "B"]);
    const { text } = await other.client().get("/members?limit=200");
    expect(text).not.toContain("Secret Name");
    const own = (await server.client().get("/members?limit=200")).body.data;
    expect(own.find((member: { email: string }) => member.email === email).name).toBe("Secret Name");
    // Who has proved the password says who he is.
    const third = await server.organization();
    const again = await third.client().post("/invitations", { email });
    const joined = await browser().post("/invitations/accept", { token: again.body.token, password: PASSWORD });
    expect(joined.body.user.name).toBe("Secret Name");
  });

  test("works once", async () => {
    const { token } = await invited();
    expect((await accept(token)).status).toBe(200);
    expect(codeOf(await accept(token))).toBe("link_invalid");
  });

  test("has one winner of those who accept it at once", async () => {
    const { token, email } = await invited();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => accept(token, `${PASSWORD} ${i}`)));
    const winners = answers.flatMap(({ status }, i) => (status === 200 ? [i] : []));
    expect(winners).toHaveLength(1);
    const refusals = answers.filter(({ status }) => status !== 200).map(codeOf);
    for (const code of refusals) expect(["link_invalid", "sign_in_refused"]).toContain(code);
    expect((await browser().signIn(email, `${PASSWORD} ${winners[0]}`)).status).toBe(200);
  });

  test("asks for a password that is long and not easy", async () => {
    const { token, email } = await invited();
    expect(codeOf(await accept(token, "short"))).toBe("weak_password");
    expect(codeOf(await accept(token, "aaaaaaaaaaaaaaaa"))).toBe("weak_password");
    expect(codeOf(await accept(token, "password1234"))).toBe("weak_password");
    expect(codeOf(await accept(token, email))).toBe("weak_password");
    expect((await accept(token)).status).toBe(200);
  });

  test("ends when it is revoked, sent again, or out of date", async () => {
    const admin = server.client();
    const revoked = await invited();
    expect((await admin.post(`/invitations/${revoked.id}/revoke`)).body.state).toBe("revoked");
    expect((await admin.post(`/invitations/${revoked.id}/revoke`)).status).toBe(200);
    expect(codeOf(await accept(revoked.token))).toBe("link_invalid");
    expect(codeOf(await admin.post(`/invitations/${revoked.id}/resend`))).toBe("invitation_closed");
    const sent = await invited();
    const again = (await admin.post(`/invitations/${sent.id}/resend`)).body;
    expect(codeOf(await accept(sent.token))).toBe("link_invalid");
    const expired = await invited();
    await server.row("update invitations set expires_at = now() where id = $1", [toUuid(expired.invitation.id)]);
    expect(codeOf(await accept(expired.token))).toBe("link_invalid");
    expect((await admin.get("/invitations?state=expired")).body.data.map((i: { id: string }) => i.id)).toEqual([
      expired.id,
    ]);
    expect((await admin.post("/invitations", { email: expired.email })).status).toBe(201);
    expect((await accept(again.token)).status).toBe(200);
    expect(codeOf(await admin.post(`/invitations/${sent.id}/revoke`))).toBe("invitation_closed");
  });

  test("is one for an address that is open, and none for a member", async () => {
    const { email } = await invited();
    const again = await server.client().post("/invitations", { email: email.toUpperCase() });
    expect(codeOf(again)).toBe("already_exists");
    const known = await member();
    expect(codeOf(await server.client().post("/invitations", { email: known.email }))).toBe("already_exists");
  });

  test("is made by those who may manage somebody of that role", async () => {
    const roles: Role[] = ["owner", "admin", "member", "guest"];
    const asked = async (token: string) =>
      Promise.all(
        roles.map(async (role) => (await server.client(token).post("/invitations", { email: address(), role })).status),
      );
    expect(await asked(server.token)).toEqual([201, 201, 201, 201]);
    expect(await asked((await server.person("admin")).token)).toEqual([403, 403, 201, 201]);
    expect(await asked((await server.person("member")).token)).toEqual([403, 403, 403, 403]);
  });

  test("is worth no more than its maker is when it is accepted", async () => {
    const maker = await server.person("admin");
    const { body } = await server.client(maker.token).post("/invitations", { email: address() });
    await server.client().patch(`/members/${maker.userId}`, { role: "member" });
    expect(codeOf(await accept(body.token))).toBe("link_invalid");
    await server.client().patch(`/members/${maker.userId}`, { role: "admin" });
    expect((await accept(body.token)).status).toBe(200);
  });

  test("is not there for another organization, and not shown with its link", async () => {
    const { id, token } = await invited();
    const other = (await server.organization()).client();
    for (const answer of [
      await other.get(`/invitations/${id}`),
      await other.post(`/invitations/${id}/revoke`),
      await other.post(`/invitations/${id}/resend`),
      await other.get(`/invitations/${newId("invitation")}`),
    ]) {
      expect(codeOf(answer)).toBe("not_found");
    }
    expect((await server.client().get("/invitations")).text).not.toContain(token);
    expect((await server.client().get(`/invitations/${id}`)).text).not.toContain(token);
  });

  test("never changes a password: somebody who has one proves it, and keeps it", async () => {
    const { email, userId } = await member();
    const second = await server.organization("Second");
    const { token } = (await second.client().post("/invitations", { email })).body;
    expect(codeOf(await accept(token, OTHER))).toBe("sign_in_refused");
    expect((await browser().signIn(email, PASSWORD)).body.organizations).toHaveLength(1);
    const joined = await accept(token, PASSWORD);
    expect(joined.body).toMatchObject({ user: { user_id: userId }, organization: { id: second.id } });
    const organizations = joined.body.organizations.map(({ id }: { id: string }) => id).sort();
    expect(organizations).toEqual([server.id, second.id].sort());
  });
});

describe("somebody in two organizations", () => {
  async function inTwo() {
    const second = await server.organization("Second");
    const person = await member();
    const { token } = (await second.client().post("/invitations", { email: person.email })).body;
    await accept(token, PASSWORD);
    return { ...person, second };
  }
  const idOf = async (by: Browser) => (await by.get("/organization")).body.id as OrganizationId;

  test("works in one at a time, and goes on in the other with another session", async () => {
    const { email, second } = await inTwo();
    const by = browser();
    await by.signIn(email, PASSWORD, { organization_id: server.id });
    expect(await idOf(by)).toBe(server.id);
    const before = by.cookies.get("callboard_session") as string;
    const csrf = by.csrfToken;
    expect((await by.post("/session/organization", { organization_id: second.id })).status).toBe(200);
    expect(await idOf(by)).toBe(second.id);
    expect(by.csrfToken).not.toBe(csrf);
    const stale = browser();
    stale.cookies.set("callboard_session", before);
    expect(codeOf(await stale.get("/me"))).toBe("unauthenticated");
    expect((await browser().signIn(email, PASSWORD)).body.organization.id).toBe(second.id);
  });

  test("changes organization once of many times at once", async () => {
    const { email, second } = await inTwo();
    const by = browser();
    await by.signIn(email, PASSWORD, { organization_id: server.id });
    const secret = by.cookies.get("callboard_session") as string;
    const csrf = by.csrfToken;
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => {
        const copy = browser();
        copy.cookies.set("callboard_session", secret);
        copy.csrfToken = csrf;
        return copy.post("/session/organization", { organization_id: second.id });
      }),
    );
    expect(answers.map(({ status }) => status).filter((status) => status === 200)).toHaveLength(1);
  });

  test("enters no organization that is not the own", async () => {
    const { email } = await inTwo();
    const foreign = await server.organization();
    const by = browser();
    await by.signIn(email, PASSWORD);
    for (const organization_id of [foreign.id, newId("organization")]) {
      expect(codeOf(await by.post("/session/organization", { organization_id }))).toBe("not_found");
    }
    expect(codeOf(await browser().signIn(email, PASSWORD, { organization_id: foreign.id }))).toBe("sign_in_refused");
  });

  test("signs out everywhere, in both", async () => {
    const { email, second } = await inTwo();
    const [one, two] = [browser(), browser()];
    await one.signIn(email, PASSWORD, { organization_id: server.id });
    await two.signIn(email, PASSWORD, { organization_id: second.id });
    expect((await one.get("/sessions")).body.data.length).toBeGreaterThanOrEqual(2);
    await one.delete("/sessions");
    expect(codeOf(await two.get("/me"))).toBe("unauthenticated");
  });

  test("keeps the password when an admin of one would set it", async () => {
    const { userId } = await inTwo();
    const answer = await server.client().post("/password-links", { user_id: userId });
    expect(codeOf(answer)).toBe("password_elsewhere");
  });
});

describe("an organization that only names somebody's address", () => {
  test("is not entered with that person's password from elsewhere, nor the other way round", async () => {
    const hostile = await server.organization("Hostile");
    const email = address();
    // The hostile admin makes the person, and a password for it, before anybody else knows the address.
    const theirs = (await hostile.client().post("/members", { email, name: "Vic" })).body.user_id;
    const link = (await hostile.client().post("/password-links", { user_id: theirs })).body.token;
    expect((await browser().post("/password/reset", { token: link, password: OTHER })).status).toBe(204);
    await server.client().post("/members", { email, name: "Vic" });
    const by = browser();
    const { body } = await by.signIn(email, OTHER);
    expect(body.organizations.map(({ id }: { id: string }) => id)).toEqual([hostile.id]);
    expect(codeOf(await by.post("/session/organization", { organization_id: server.id }))).toBe("not_found");
    const straight = await browser().signIn(email, OTHER, { organization_id: server.id });
    expect(codeOf(straight)).toBe("sign_in_refused");
  });
});

describe("a link to set a password", () => {
  test("sets it once, and ends all sessions that the old one opened", async () => {
    const { userId, email, browser: open } = await member();
    const { url, token } = (await server.client().post("/password-links", { user_id: userId })).body;
    expect(url).toBe(`${server.baseUrl}/set-password#${token}`);
    expect((await browser().post("/password/reset", { token, password: OTHER })).status).toBe(204);
    expect(codeOf(await open.get("/me"))).toBe("unauthenticated");
    expect(codeOf(await browser().signIn(email, PASSWORD))).toBe("sign_in_refused");
    expect((await browser().signIn(email, OTHER)).status).toBe(200);
    expect(codeOf(await browser().post("/password/reset", { token, password: PASSWORD }))).toBe("link_invalid");
  });

  test("ends with a newer one, with its time, and with its maker's rank", async () => {
    const { userId } = await member();
    const maker = await server.person("admin");
    const make = async () => (await server.client(maker.token).post("/password-links", { user_id: userId })).body.token;
    const use = async (token: string) => codeOf(await browser().post("/password/reset", { token, password: OTHER }));
    const older = await make();
    const newer = await make();
    expect(await use(older)).toBe("link_invalid");
    await server.client().patch(`/members/${maker.userId}`, { suspended: true });
    expect(await use(newer)).toBe("link_invalid");
    await server.client().patch(`/members/${maker.userId}`, { suspended: false });
    await server.row("update password_links set expires_at = now() where user_id = $1", [toUuid(userId as never)]);
    expect(await use(newer)).toBe("link_invalid");
  });

  test("is made for people of lower rank in the own organization, and never for oneself", async () => {
    const admin = await server.person("admin");
    const client = server.client(admin.token);
    const ask = async (user_id: string) => codeOf(await client.post("/password-links", { user_id }));
    expect(await ask((await server.person("member")).userId)).toBe(201);
    expect(await ask((await server.person("admin")).userId)).toBe("forbidden");
    expect(await ask(server.ownerId)).toBe("forbidden");
    expect(await ask(admin.userId)).toBe("forbidden");
    expect(await ask((await (await server.organization()).person("member")).userId)).toBe("not_found");
    expect(codeOf(await server.client().post("/password-links", { user_id: server.ownerId }))).toBe("forbidden");
  });

  test("of the operator opens all organizations the person is in", async () => {
    const { email } = await member();
    const second = await server.organization();
    await second.client().post("/members", { email, name: "Bo" });
    const { database } = server.app;
    const { token } = await operatorLink({ database, publicUrl: () => "https://callboard.example" }, email);
    await browser().post("/password/reset", { token, password: OTHER });
    expect((await browser().signIn(email, OTHER)).body.organizations).toHaveLength(2);
    const unknown = operatorPassword({ ...operator, database }, "nobody@example.com", PASSWORD);
    await expect(unknown).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("a token with few scopes", () => {
  test("makes nobody an owner or admin, sets nobody's password and chooses no issuer: that would be worth all scopes", async () => {
    const owner = server.client();
    const token = async (...scopes: string[]) =>
      server.client((await owner.post("/tokens", { label: "few", scopes })).body.secret);
    const people = await token("members:write", "members:read");
    const { userId } = await server.person("member");
    const invitation = await invited(server, { role: "admin" });
    const sso = {
      slug: "few",
      name: "F",
      issuer: "https://id.example",
      client_id: "c",
      email_domains: ["example.com"],
    };
    const answers = [
      await people.post("/invitations", { email: address(), role: "owner" }),
      await people.post(`/invitations/${invitation.id}/resend`),
      await people.post("/members", { email: address(), name: "A", role: "admin" }),
      await people.patch(`/members/${userId}`, { role: "admin" }),
      await people.post("/password-links", { user_id: userId }),
      await (await token("organization:write")).post("/sso-connections", sso),
    ];
    expect(answers.map(codeOf)).toEqual(Array(6).fill("insufficient_scope"));
    expect((await people.post("/invitations", { email: address() })).status).toBe(201);
    expect((await people.patch(`/members/${userId}`, { role: "guest" })).status).toBe(200);
    expect((await people.patch(`/members/${userId}`, { suspended: true })).status).toBe(200);
  });
});

describe("one's own password", () => {
  const change = (by: Browser, old_password: string, new_password: string) =>
    by.post("/password", { old_password, new_password });

  test("is changed by giving the old one; all other sessions end, this one gets another cookie", async () => {
    const { email, browser: by } = await member();
    const other = browser();
    await other.signIn(email, PASSWORD);
    const before = by.cookies.get("callboard_session");
    expect(codeOf(await change(by, OTHER, `${OTHER}!`))).toBe("sign_in_refused");
    const { data } = (await server.client().get("/audit?action=password.change&outcome=refused&limit=1")).body;
    expect(data[0]).toMatchObject({ actor: { id: data[0].target }, details: { code: "sign_in_refused" } });
    expect(codeOf(await change(by, PASSWORD, "short"))).toBe("invalid_request");
    expect(codeOf(await change(by, PASSWORD, "aaaaaaaaaaaaaaaa"))).toBe("weak_password");
    expect((await change(by, PASSWORD, OTHER)).status).toBe(200);
    expect(by.cookies.get("callboard_session")).not.toBe(before);
    expect((await by.get("/me")).status).toBe(200);
    expect(codeOf(await other.get("/me"))).toBe("unauthenticated");
    expect((await browser().signIn(email, OTHER)).status).toBe(200);
  });

  test("changed while somebody signs in with the old one leaves no session of the old one", async () => {
    const { email, browser: by } = await member();
    const racers = Array.from({ length: 5 }, browser);
    const signIns = racers.map((racer) => racer.signIn(email, PASSWORD));
    const [changed] = await Promise.all([change(by, PASSWORD, OTHER), ...signIns]);
    expect(changed.status).toBe(200);
    for (const racer of racers) expect(codeOf(await racer.get("/me"))).toBe("unauthenticated");
  });
});

describe("an invitation under any order of acts", () => {
  type Model = { state: "open" | "expired" | "accepted" | "revoked" };
  const acts = ["accept newest", "accept oldest", "resend", "revoke", "expire"] as const;

  test("follows its state table", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...acts), { maxLength: 6 }), async (sequence) => {
        const { id, token } = await invited();
        const tokens = [token];
        const model: Model = { state: "open" };
        const admin = server.client();
        for (const act of sequence) {
          if (act === "expire") {
            await server.row("update invitations set expires_at = now() where id = $1", [toUuid(id as never)]);
            if (model.state === "open") model.state = "expired";
          } else if (act === "resend") {
            const answer = await admin.post(`/invitations/${id}/resend`);
            const may = model.state === "open" || model.state === "expired";
            expect(answer.status).toBe(may ? 200 : 409);
            if (may) {
              model.state = "open";
              tokens.push(answer.body.token);
            }
          } else if (act === "revoke") {
            const { status } = await admin.post(`/invitations/${id}/revoke`);
            expect(status).toBe(model.state === "accepted" ? 409 : 200);
            if (status === 200) model.state = "revoked";
          } else {
            const isNewest = act === "accept newest" || tokens.length === 1;
            const { status } = await accept((isNewest ? tokens.at(-1) : tokens[0]) as string);
            const may = isNewest && model.state === "open";
            expect(status).toBe(may ? 200 : 409);
            if (may) model.state = "accepted";
          }
          expect((await admin.get(`/invitations/${id}`)).body.state).toBe(model.state);
        }
      }),
      { numRuns: 12 },
    );
  });
});
