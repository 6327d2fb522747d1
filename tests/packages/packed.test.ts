/**
 * What strangers get: the packages as `npm publish` would send them, in a project that `npm create callboard` made.
 * Ours are unpacked from their archives, where Node runs no TypeScript; the others' are linked from this repository,
 * so that no registry is needed.
 */
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../packages/server/src/testing/database.ts";
import { build, published } from "../../scripts/build.ts";

const imports = /(?:^(?:import|export)\b[^"';=]*?\bfrom\s*|^import\s*|\bimport\(\s*)"([^"]+)"/gm;

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const SLOW = 600_000;

let work: string;
let desk: string;
const built = (name: string) => join(work, "built", name);
const node = (args: string[], env: Record<string, string> = {}) =>
  run(process.execPath, args, { cwd: desk, env: { PATH: process.env.PATH, ...env } });
const bin = () => join(desk, "node_modules/@callboard/cli/bin/callboard.js");

beforeAll(async () => {
  work = await realpath(await mkdtemp(join(tmpdir(), "callboard-packed-")));
  await build(built);
  // What npm keeps lies here too, and it asks nobody: neither a home folder nor a network is needed.
  const env = { ...process.env, npm_config_cache: join(work, "npm"), npm_config_offline: "true" };
  await run("npm", ["pack", ...published.map(built), "--pack-destination", work, "--silent"], { cwd: work, env });
  await unpack("create-callboard", join(work, "create-callboard"));
  desk = join(work, "my-desk");
  await run(process.execPath, [join(work, "create-callboard/bin/create-callboard.js"), desk]);
  await install(join(desk, "node_modules"));
}, SLOW);
afterAll(() => rm(work, { recursive: true, force: true }));

async function unpack(name: string, folder: string): Promise<void> {
  const file = name === "create-callboard" ? name : `callboard-${name}`;
  await mkdir(folder, { recursive: true });
  await run("tar", ["-xzf", join(work, `${file}-0.1.0.tgz`), "-C", folder, "--strip-components", "1"]);
}

async function install(modules: string): Promise<void> {
  for (const name of published) {
    if (name !== "create-callboard") await unpack(name, join(modules, "@callboard", name));
  }
  const skip = new Set([".bin", ".cache", ".package-lock.json", ".vite", "@callboard", "create-callboard"]);
  for (const name of await readdir(join(root, "node_modules"))) {
    if (!skip.has(name)) await symlink(join(root, "node_modules", name), join(modules, name));
  }
}

/** The files of a folder, from it. */
async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

describe.each(published)("%s", (name) => {
  test("has everything that it says it has", async () => {
    const { messages } = await publint({ pkgDir: built(name), strict: true, pack: false });
    const manifest = JSON.parse(await readFile(join(built(name), "package.json"), "utf8"));
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
    expect(manifest).not.toHaveProperty("private");
    expect(manifest).not.toHaveProperty("devDependencies");
  });

  test("has no TypeScript but declarations, and no tests", async () => {
    const own = (await files(built(name))).filter((path) => !path.startsWith("template/"));
    expect(own.filter((path) => /(?<!\.d)\.ts$|\.test\.|(^|\/)(testing|fixture)/.test(path))).toEqual([]);
  });

  test("imports what is there, and packages that it depends on", async () => {
    const all = await files(built(name));
    const { dependencies = {} } = JSON.parse(await readFile(join(built(name), "package.json"), "utf8"));
    const known = (to: string) =>
      isBuiltin(to) || Object.keys(dependencies).some((each) => `${to}/`.startsWith(`${each}/`));
    const missing: string[] = [];
    let seen = 0;
    for (const path of all.filter((each) => /^(src|bin)\/.*\.(js|d\.ts)$/.test(each))) {
      const text = await readFile(join(built(name), path), "utf8");
      for (const [, to = ""] of text.matchAll(imports)) {
        seen++;
        const target = join(dirname(path), to);
        const found = to.startsWith(".")
          ? all.includes(path.endsWith(".js") ? target : target.replace(/\.js$/, ".d.ts"))
          : known(to);
        if (!found) missing.push(`${path}: ${to}`);
      }
    }
    expect(seen).toBeGreaterThan(4);
    expect(missing).toEqual([]);
  });
});

describe("in a new project", () => {
  test("the command says what it can do", async () => {
    const { stdout } = await node([bin(), "--help"]);
    for (const word of ["dev", "serve", "plan", "apply", "export", "generate", "threads"]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${word}\\b`, "m"));
    }
  });

  test("kit and client are imported from JavaScript", async () => {
    const source = `import { defineAgent } from "@callboard/kit";
      import { createClient } from "@callboard/client";
      console.log(defineAgent({ name: "A" }).kind, typeof createClient({ baseUrl: "http://127.0.0.1:1" }).threads.create);`;
    expect((await node(["--input-type=module", "--eval", source])).stdout).toBe("agent function\n");
  });

  test("the project's types are right, and so are the packages' own declarations", { timeout: SLOW }, async () => {
    await writeFile(
      join(desk, "strict.json"),
      JSON.stringify({
        extends: "./tsconfig.json",
        compilerOptions: { skipLibCheck: false, lib: ["es2024", "dom"] },
        files: ["ask.ts", "endpoints/answer.ts", "tools/track_parcel.ts", "test/track_parcel.test.ts"],
        include: [],
      }),
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = await node([tsc, "--project", "strict.json", "--pretty", "false"]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe("");
    await writeFile(
      join(desk, "wrong.ts"),
      'import { defineAgent } from "@callboard/kit";\ndefineAgent({ nam: "A" });\n',
    );
    const wrong = await node([tsc, "--noEmit"]).catch((error: { stdout: string }) => error);
    await rm(join(desk, "wrong.ts"));
    expect(wrong.stdout).toContain("wrong.ts");
  });

  test("its tests pass", async () => {
    expect((await node(["--test"])).stdout).toMatch(/pass 3\b/);
  });

  describe("the server", () => {
    let database: TestDatabase;
    let stop: () => Promise<void>;
    const env: Record<string, string> = { PORT: "0", CALLBOARD_DEMO_DELAY_MS: "0", CALLBOARD_LOG_LEVEL: "error" };

    beforeAll(async () => {
      database = await createTestDatabase();
      await writeFile(join(desk, ".env"), `DATABASE_URL=${database.url}\n`);
      const child = spawn(process.execPath, [bin(), "dev"], { cwd: desk, env: { ...env, PATH: process.env.PATH } });
      const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
      stop = async () => {
        child.kill("SIGTERM");
        await ended;
      };
      await new Promise<void>((resolve, reject) => {
        let output = "";
        const look = (chunk: Buffer) => {
          output += chunk;
          if (output.includes("Try it:")) resolve();
        };
        child.stdout.on("data", look);
        child.stderr.on("data", look);
        child.once("close", () => reject(new Error(`the server ended:\n${output}`)));
      });
    }, SLOW);
    afterAll(async () => {
      await stop();
      await database.drop();
    });

    test("serves the project, and its endpoint answers", async () => {
      const { stdout } = await node(["ask.ts", "Where is my parcel P-1001?"]);
      expect(stdout).toContain("demo model");
      expect(stdout).toContain("P-1001 (state on its way)");
    });

    test("has the agents of the files, so that plan finds nothing to do", async () => {
      expect((await node([bin(), "plan"])).stdout).toBe("Plan: 1 unchanged.\n");
    });

    test("is described in helpers that the project compiles with", { timeout: SLOW }, async () => {
      await node([bin(), "generate"]);
      const use = `import { createClient } from "@callboard/client";
        import { endpoints } from "./callboard.gen.ts";
        const client = createClient({ baseUrl: "" });
        export const answer: Promise<string> = client.endpoints.call(endpoints.answer, { question: "?" }).then((a) => a.answer);`;
      await writeFile(join(desk, "use.ts"), use);
      const tsc = join(root, "node_modules/typescript/bin/tsc");
      const { stdout } = await node([tsc, "--noEmit", "--pretty", "false"]).catch((error: { stdout: string }) => error);
      expect(stdout).toBe("");
    });
  });
});
