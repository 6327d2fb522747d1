import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readConfig } from "./index.ts";

const serve = {
  DATABASE_URL: "postgresql://olga:s3cret@127.0.0.1:5432/callboard",
  CALLBOARD_SECRET_KEY: Buffer.alloc(32).toString("base64"),
};

function problemsOf(env: Record<string, string>, mode: "dev" | "serve" = "dev"): string[] {
  try {
    readConfig(env, mode);
    return [];
  } catch (error) {
    const [head, ...problems] = (error as Error).message.split("\n  ");
    expect(head).toBe("the server cannot start:");
    expect((error as { code?: unknown }).code).toBe("config");
    return problems;
  }
}

describe("without any variable", () => {
  test("dev has what it needs: this machine, the example project, the demo model", () => {
    expect(readConfig({}, "dev")).toMatchObject({
      host: "127.0.0.1",
      port: 4100,
      databaseUrl: undefined,
      dataDir: resolve(".callboard"),
      project: resolve("examples/support-desk"),
      role: "all",
      graceMs: 10_000,
      allowPrivateNetwork: false,
      logLevel: "warn",
      demoDelayMs: undefined,
      models: [{ slug: "demo", kind: "demo", baseUrl: null, apiKey: null, model: "demo" }],
    });
  });

  test("dev takes the folder it is started in, if that is a project", async () => {
    const before = process.cwd();
    const folder = await realpath(await mkdtemp(join(tmpdir(), "callboard-config-project-")));
    try {
      process.chdir(folder);
      await mkdir(join(folder, "endpoints"));
      expect(readConfig({}, "dev").project).toBe(folder);
      await mkdir(join(folder, "other"));
      expect(readConfig({ CALLBOARD_PROJECT: "other" }, "dev").project).toBe(join(folder, "other"));
      expect(problemsOf({ CALLBOARD_PROJECT: "misspelt" }, "dev")).toEqual([
        "CALLBOARD_PROJECT is misspelt: expected a folder; there is none",
      ]);
      expect(readConfig(serve, "serve").project).toBeNull();
    } finally {
      process.chdir(before);
      await rm(folder, { recursive: true });
    }
  });

  test("serve asks for a database and a key, both at once", () => {
    const problems = problemsOf({}, "serve");
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatch(/^DATABASE_URL is missing/);
    expect(problems[1]).toMatch(/^CALLBOARD_SECRET_KEY is missing/);
    expect(readConfig(serve, "serve")).toMatchObject({ project: null, logLevel: "info" });
  });

  test("an empty or blank variable is one that is not set", () => {
    expect(readConfig({ PORT: "", HOST: "  ", CALLBOARD_ROLE: "" }, "dev")).toMatchObject({
      port: 4100,
      host: "127.0.0.1",
    });
  });
});

describe("wrong variables", () => {
  test("are all named, with what was found and what was expected", () => {
    expect(
      problemsOf({
        PORT: "70000",
        CALLBOARD_ROLE: "boss",
        CALLBOARD_GRACE_MS: "soon",
        CALLBOARD_ALLOW_PRIVATE_NETWORK: "perhaps",
        CALLBOARD_LOG_LEVEL: "loud",
        CALLBOARD_POOL_SIZE: "1",
        CALLBOARD_MAX_FILE_BYTES: "1.5",
        DATABASE_URL: "mysql://olga:s3cret@db/x",
        OPENAI_BASE_URL: "not an address",
      }),
    ).toEqual([
      "PORT is 70000: expected a whole number from 0 to 65535",
      "CALLBOARD_ROLE is boss: expected all, api, worker",
      "CALLBOARD_GRACE_MS is soon: expected a whole number from 0 to 600000",
      "CALLBOARD_ALLOW_PRIVATE_NETWORK is perhaps: expected 1 or 0",
      "CALLBOARD_LOG_LEVEL is loud: expected debug, info, warn, error, silent",
      "CALLBOARD_POOL_SIZE is 1: expected a whole number from 2 to 500",
      "CALLBOARD_MAX_FILE_BYTES is 1.5: expected a whole number from 1 to 4294967296",
      "OPENAI_BASE_URL is not an address",
      "CALLBOARD_MODEL is missing: with OPENAI_BASE_URL it names the model to use",
      "DATABASE_URL must start with postgresql://",
    ]);
  });

  test("do not show secrets in what is said about them", () => {
    const said = problemsOf({ DATABASE_URL: "mysql://olga:s3cret@db/x", OPENAI_API_KEY: "sk-123", PORT: "x" }).join(
      "\n",
    );
    expect(said).not.toContain("s3cret");
    expect(said).not.toContain("sk-123");
  });
});

describe("models from the environment", () => {
  const modelsOf = (env: Record<string, string>) =>
    readConfig(env, "dev").models.map(({ slug, model, baseUrl, apiKey }) => [slug, model, baseUrl, apiKey]);

  test("come in the order of preference, the demo model last", () => {
    const keys = { OPENAI_API_KEY: "a", ANTHROPIC_API_KEY: "b", GEMINI_API_KEY: "c" };
    expect(modelsOf(keys).map(([slug]) => slug)).toEqual(["openai", "anthropic", "google", "demo"]);
  });

  test("with an address are any server that speaks the protocol, with or without a key", () => {
    const env = { OPENAI_BASE_URL: "http://127.0.0.1:8080/v1", CALLBOARD_MODEL: "llama" };
    expect(modelsOf(env)[0]).toEqual(["openai-compatible", "llama", "http://127.0.0.1:8080/v1", null]);
    expect(modelsOf({ ...env, OPENAI_API_KEY: "a" })[0]).toEqual([
      "openai-compatible",
      "llama",
      "http://127.0.0.1:8080/v1",
      "a",
    ]);
  });

  test("take the named model for the first of them alone", () => {
    const [anthropic, google] = modelsOf({ ANTHROPIC_API_KEY: "b", GEMINI_API_KEY: "c", CALLBOARD_MODEL: "my-model" });
    expect(anthropic?.[1]).toBe("my-model");
    expect(google?.[1]).not.toBe("my-model");
  });

  test("know Google's key by both its names", () => {
    expect(modelsOf({ GOOGLE_GENERATIVE_AI_API_KEY: "c" })[0]).toMatchObject(["google", expect.any(String), null, "c"]);
  });
});

describe("prices of the operator", () => {
  async function withFile<T>(text: string, work: (path: string) => T): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), "callboard-config-"));
    const path = join(folder, "prices.json");
    await writeFile(path, text);
    try {
      return work(path);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test("are read from a file", async () => {
    const prices = { "openai-compatible": { llama: { input: 100, cachedInput: 10, output: 200 } } };
    const read = (path: string) => readConfig({ CALLBOARD_PRICES: path }, "dev").prices;
    expect(await withFile(JSON.stringify(prices), read)).toEqual(prices);
    expect(readConfig({}, "dev").prices).toEqual({});
  });

  test.each([
    ["not JSON", "{"],
    ["a price below zero", '{"openai":{"x":{"input":-1,"output":1}}}'],
    ["a price missing", '{"openai":{"x":{"input":1}}}'],
  ])("that are %s are a problem with the file's name", async (_, text) => {
    const [problem] = await withFile(text, (path) => problemsOf({ CALLBOARD_PRICES: path }));
    expect(problem).toMatch(/^CALLBOARD_PRICES names .*prices\.json, which cannot be used: /);
  });

  test("in a file that is not there are a problem too", () => {
    expect(problemsOf({ CALLBOARD_PRICES: "/not/there.json" })).toHaveLength(1);
  });
});
