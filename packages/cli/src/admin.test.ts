/** `callboard admin` on a real database: the owner of a new organization gets a password and signs in. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Browser } from "../../server/src/testing/browser.ts";
import { startTestServer, type TestServer } from "../../server/src/testing/server.ts";

const bin = join(import.meta.dirname, "../bin/callboard.js");
const email = "ada@example.com";
const PASSWORD = "nine lives of a cat";
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function admin(args: readonly string[], input = "") {
  const env = { DATABASE_URL: server.databaseUrl, CALLBOARD_PUBLIC_URL: "https://callboard.example" };
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "admin", ...args, "--json"], {
    env,
    input,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}
const signIn = async (password: string) => (await new Browser(server.baseUrl).signIn(email, password)).status;

test("an owner gets a password from standard input, or by a link, and signs in", async () => {
  const made = admin(["init", "--email", email, "--organization", "Example"]);
  expect(made.status, made.stderr).toBe(0);
  expect(await signIn(PASSWORD)).toBe(401);

  const set = admin(["set-password", "--email", email], `${PASSWORD}\n`);
  expect(set.status, set.stderr).toBe(0);
  expect(JSON.parse(set.stdout)).toEqual({ user_id: JSON.parse(made.stdout).user_id });
  expect(await signIn(PASSWORD)).toBe(200);

  const link = admin(["set-password", "--email", email, "--link"]);
  const [address, token] = JSON.parse(link.stdout).url.split("#");
  expect(address).toBe("https://callboard.example/set-password");
  const other = "a cat has nine lives";
  await new Browser(server.baseUrl).post("/password/reset", { token, password: other });
  expect([await signIn(PASSWORD), await signIn(other)]).toEqual([401, 200]);
});

test("what cannot be done is told, and nothing is changed", () => {
  const nobody = admin(["set-password", "--email", "nobody@example.com"], `${PASSWORD}\n`);
  expect(nobody).toMatchObject({ status: 1, stdout: "" });
  expect(nobody.stderr).toContain("nobody with the address nobody@example.com");
  const weak = admin(["set-password", "--email", email], "password1234\n");
  expect(weak.stderr).toContain("one of the first that are tried");
  const short = admin(["set-password", "--email", email], "short\n");
  expect(short.stderr).toContain("fewer than 12 characters");
  const empty = admin(["set-password", "--email", email], "");
  expect(empty).toMatchObject({ status: 2 });
});
