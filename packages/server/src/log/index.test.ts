import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { errorFacts } from "./index.ts";

/** What a program prints that logs, as an operator would see it. */
function printed(script: string, level = "info"): string[] {
  const room = pathToFileURL(`${import.meta.dirname}/index.ts`).href;
  const code = `import { createLogger } from ${JSON.stringify(room)}; const log = createLogger(${JSON.stringify(level)}); ${script}`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((line) => line !== "");
}

const secrets = [
  "cbp_0123456789abcdefghijklmnop",
  "cbs_0123456789abcdefghijklmnop",
  "sk-proj-0123456789abcdef",
  "sk-ant-api03-0123456789",
  "AIzaSyA0123456789abcdefghijklmno",
  "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
  "Basic dXNlcjpwYXNzd29yZA==",
];

describe("what was thrown and is no error", () => {
  test("is shown without what has a secret name", () => {
    expect(errorFacts({ status: 404, body: { why: "gone", api_key: "hidden" } })).toEqual({
      message: "no error was thrown but { status: 404, body: { why: 'gone', api_key: '[redacted]' } }",
    });
    expect(errorFacts(null)).toEqual({ message: "null" });
  });

  test("does not keep the log from its line when it cannot be looked at", () => {
    const trap = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error("no");
        },
      },
    );
    expect(errorFacts(trap)).toEqual({ message: expect.stringContaining("no error was thrown but") });
  });
});

describe("errors in the log", () => {
  test.each(secrets)("do not show %s, wherever it stands", (secret) => {
    const cause = new Error(`key was ${secret}`);
    const error = new Error(`request with ${secret}, refused (${secret})`, { cause });
    const text = JSON.stringify(errorFacts(error));
    expect(text).not.toContain(secret.replace(/^(Bearer|Basic) /, ""));
    expect(text).toContain("[redacted]");
    expect(JSON.stringify(errorFacts(`just text with ${secret}`))).not.toContain(
      secret.replace(/^(Bearer|Basic) /, ""),
    );
  });

  test.each([
    ["postgresql://olga:s3cret@db.example.com:5432/callboard", "s3cret"],
    ["postgresql://olga:p%40ss:word@db/callboard", "p%40ss:word"],
    ["https://:onlypassword@example.com/", "onlypassword"],
  ])("do not show the password in %s", (address, password) => {
    const text = JSON.stringify(errorFacts(new Error(`cannot connect to ${address}`)));
    expect(text).not.toContain(password);
    expect(text).toContain("[redacted]@");
  });

  test.each([
    "token=t0psecret",
    "refused with api_key: t0psecret",
    'POST {"password": "t0psecret"}',
    "?client_secret=t0psecret&x=1",
    "x-api-key: t0psecret",
  ])("do not show what is named like a secret in a text: %s", (text) => {
    expect(JSON.stringify(errorFacts(new Error(text)))).not.toContain("t0psecret");
  });

  test.each([
    "run run_01h455vb4pex5vsknk084sn02q is completed",
    "http://127.0.0.1:4100/api/v1/threads?limit=5",
    "the task-force asked for a desk-lamp",
    "mail to olga@example.com",
    "the token was revoked",
    "input_tokens: 12000",
    "expected a password of at least 12 characters",
  ])("show what is no secret: %s", (text) => {
    expect(errorFacts(new Error(text))).toMatchObject({ message: text });
  });

  test("have a name, a code when there is one, a stack, and their causes", () => {
    const cause = Object.assign(new TypeError("refused"), { code: "ECONNREFUSED" });
    const facts = errorFacts(new Error("no database", { cause })) as { cause: object };
    expect(facts).toMatchObject({
      name: "Error",
      message: "no database",
      stack: expect.stringContaining("index.test.ts"),
    });
    expect(facts).not.toHaveProperty("code");
    expect(facts.cause).toMatchObject({ name: "TypeError", message: "refused", code: "ECONNREFUSED" });
  });
});

describe("log lines", () => {
  test("are one JSON object each, with a time and the level by name", () => {
    const [line, ...others] = printed('log.info({ run_id: "run_1" }, "a run ended"); log.debug({}, "not shown");');
    expect(others).toEqual([]);
    expect(JSON.parse(line as string)).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      run_id: "run_1",
      msg: "a run ended",
    });
  });

  test("do not show what is named like a secret, at the top and inside", () => {
    const lines = printed(`
      log.warn({ token: "t0psecret", facts: { api_key: "t0psecret", kept: 1 } }, "facts");
      log.warn({ a: { b: { password: "t0psecret" } }, headers: { authorization: "t0psecret" } }, "deeper");
      log.info({ request: { list: [{ headers: { "X-Api-Key": "t0psecret", Cookie: "t0psecret" } }] } }, "token=t0psecret");
      log.child({ secret: "t0psecret" }).error({ error: new Error("key sk-0123456789abcdef") }, "an error");
    `);
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).not.toContain("t0psecret");
      expect(line).not.toContain("sk-0123456789abcdef");
      expect(line).toContain("[redacted]");
    }
    expect(JSON.parse(lines[0] as string).facts.kept).toBe(1);
  });

  test("are none at all when the log is silent", () => {
    expect(printed('log.error({}, "nothing");', "silent")).toEqual([]);
  });
});
