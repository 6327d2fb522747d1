/** The pages behind one-time links: what they may load, and that their script spends the link. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { runInNewContext } from "node:vm";
import { newId } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Browser } from "../testing/browser.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

const PASSWORD = "nine lives of a cat";
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

type Submit = (event: { preventDefault: () => void }) => Promise<void>;

/** Opens a link's page as far as its script can tell; `submit` fills the form in and sends it. */
async function open(link: string) {
  const url = new URL(link);
  const page = await fetch(url);
  const html = await page.text();
  const script = /<script>(.*)<\/script>/s.exec(html)?.[1] ?? "";
  const [, route, done] = /data-route="([^"]+)" data-done="([^"]+)"/.exec(html) ?? [];
  const preview = /data-preview="([^"]+)"/.exec(html)?.[1];
  const [note, about] = [{ textContent: "" }, { textContent: "" }];
  let listener: Submit | undefined;
  const form = {
    hidden: false,
    dataset: { route, done, preview },
    addEventListener: (_: string, added: Submit) => {
      listener = added;
    },
  };
  let fields: Record<string, string> = {};
  const sent: Array<Promise<Response>> = [];
  runInNewContext(script, {
    document: { querySelector: (name: string) => ({ form, p: about, output: note })[name] },
    location: url,
    fetch: (path: string, init: RequestInit) => {
      const answer = fetch(new URL(path, url), init);
      sent.push(answer);
      return answer;
    },
    FormData: class {
      [Symbol.iterator]() {
        return Object.entries(fields)[Symbol.iterator]();
      }
    },
  });
  const submit = async (given: Record<string, string>) => {
    fields = given;
    await listener?.({ preventDefault: () => undefined });
    return note.textContent;
  };
  await Promise.all(sent);
  for (let turns = 0; turns < 50 && sent.length > 0 && about.textContent + note.textContent === ""; turns++) {
    await sleep(10);
  }
  return { page, html, script, form, note, about, submit };
}
async function invite() {
  const email = `${newId("user")}@example.com`;
  const { body } = await server.client().post("/invitations", { email });
  return { email, url: body.url as string, invitation: body.invitation };
}

test("an invitation's link leads to a page that makes its holder a member, and says what is wrong until then", async () => {
  const { email, url } = await invite();
  const { form, submit } = await open(url);
  expect(await submit({ name: "Bo", password: "short" })).toContain("12 characters");
  expect(form.hidden).toBe(false);
  expect(await submit({ name: "Bo", password: PASSWORD })).toContain("You are a member now");
  expect(form.hidden).toBe(true);
  expect((await new Browser(server.baseUrl).signIn(email, PASSWORD)).body.user.name).toBe("Bo");
  expect(await (await open(url)).submit({ name: "", password: PASSWORD })).not.toContain("You are a member now");
});

test("an invitation's page says who invites whom to what, and that a link is spent", async () => {
  const { email, url } = await invite();
  const { about, form } = await open(url);
  expect(about.textContent).toMatch(new RegExp(`^\\S.* invites ${email} to Acme as member\\. The link works until .+`));
  expect(form.hidden).toBe(false);
  await (await open(url)).submit({ name: "Bo", password: PASSWORD });
  const spent = await open(url);
  expect([spent.about.textContent, spent.form.hidden]).toEqual(["", true]);
  expect(spent.note.textContent).toContain("ask for a new one");
});

test("a password's link leads to a page that sets it", async () => {
  const { email, url } = await invite();
  const accepted = await new Browser(server.baseUrl).post("/invitations/accept", {
    token: new URL(url).hash.slice(1),
    password: PASSWORD,
  });
  const user_id = accepted.body.user.user_id;
  const made = await server.client().post("/password-links", { user_id });
  expect(made.status, made.text).toBe(201);
  const other = "a cat has nine lives";
  expect(await (await open(made.body.url)).submit({ password: other })).toContain("Your password is set");
  expect((await new Browser(server.baseUrl).signIn(email, other)).status).toBe(200);
});

test("a page runs its own script alone, is kept by nobody, and hides the form when the link was cut off", async () => {
  const { page, script, form, note } = await open(`${server.baseUrl}/set-password`);
  const hash = createHash("sha256").update(script).digest("base64");
  expect(page.headers.get("content-security-policy")).toContain(
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'`,
  );
  expect(page.headers.get("cache-control")).toBe("no-store");
  expect(page.headers.get("referrer-policy")).toBe("no-referrer");
  expect([form.hidden, note.textContent]).toEqual([true, "This link is incomplete: copy all of it."]);
});
