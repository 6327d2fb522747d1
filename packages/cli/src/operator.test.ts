/** Commands that work on the database itself, as an operator types them. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../server/src/testing/database.ts";
import { folder, type Outcome, start } from "./testing/callboard.ts";

let database: TestDatabase;
let organization: string;
const key = () => randomBytes(32).toString("base64");

async function callboard(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return start(args, { DATABASE_URL: database.url, ...env }, await folder()).outcome;
}
const sql = async (text: string): Promise<void> => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(text).finally(() => client.end());
};

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test("admin init makes the organization that the others work on", async () => {
  const init = ["admin", "init", "--email", "ada@example.com", "--organization", "Acme", "--json"];
  organization = JSON.parse((await callboard(init)).stdout).organization_id;
  expect(organization).toMatch(/^org_/);
});

describe("audit", () => {
  test("verify says that the log is whole, and head prints an anchor that it holds", async () => {
    const verified = await callboard(["audit", "verify", "--json"]);
    expect(verified).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(verified.stdout)).toMatchObject({ organization_id: organization, ok: true, problem: null });
    const head = await callboard(["audit", "head", "--organization", organization, "--json"]);
    const { anchor } = JSON.parse(head.stdout);
    const held = await callboard(["audit", "verify", "--organization", organization, "--anchor", anchor]);
    expect(held).toMatchObject({ code: 0 });
    expect(held.stdout).toContain("ok");
  });

  test("verify ends with 1 and names the entry when somebody has changed one", async () => {
    await sql(
      "alter table audit_entries disable trigger audit_guard; update audit_entries set target = 'x' where seq = 1",
    );
    const broken = await callboard(["audit", "verify"]);
    expect(broken.code).toBe(1);
    expect(broken.stdout).toContain("BROKEN at 1: entry 1 was changed");
  });

  test.each([
    [["audit", "verify", "--anchor", "nonsense"], 2, "expected --anchor"],
    [["audit", "verify", "--organization", "org_nobody"], 1, "there is no organization org_nobody"],
  ])("refuses %j", async (args, code, words) => {
    const outcome = await callboard(args);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toContain(words);
  });

  test("without an address, and in a folder without a database, says what is missing", async () => {
    const outcome = await callboard(["audit", "head"], { DATABASE_URL: "" });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toMatch(/^callboard: There is no database in .* Set DATABASE_URL.*\n$/);
  });
});

describe("admin rotate-keys", () => {
  test("says what was moved, to which key", async () => {
    const outcome = await callboard(["admin", "rotate-keys", "--json"], { CALLBOARD_SECRET_KEY: `${key()},${key()}` });
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(outcome.stdout)).toEqual({
      key_id: expect.stringMatching(/^[0-9a-f]{8}$/),
      rotated: { model_connections: 0, sso_connections: 0, idempotency_keys: 0, jobs: 0, steps: 0, tool_calls: 0 },
      unreadable: [],
    });
  });

  test("ends with 1 and lists what no key opens", async () => {
    await sql(
      `insert into model_connections (organization_id, id, slug, kind, secret)
       select id, gen_random_uuid(), 'lost', 'openai', '{"key_id": "00000000", "iv": "", "tag": "", "data": ""}'
         from organizations`,
    );
    const outcome = await callboard(["admin", "rotate-keys"], { CALLBOARD_SECRET_KEY: key() });
    expect(outcome.code).toBe(1);
    expect(outcome.stdout).toContain("00000000");
  });

  test("does not show a key that is none", async () => {
    const outcome = await callboard(["admin", "rotate-keys"], { CALLBOARD_SECRET_KEY: "no-key-at-all" });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe("callboard: key 1 of CALLBOARD_SECRET_KEY is not 32 bytes in base64 or hex\n");
  });
});
