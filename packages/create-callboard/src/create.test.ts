import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { nameProblem } from "./create.ts";

const bin = join(import.meta.dirname, "../bin/create-callboard.js");

let cwd: string;
beforeEach(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), "callboard-create-")));
  onTestFinished(() => rm(cwd, { recursive: true, force: true }));
});

type Outcome = { code: number; stdout: string; stderr: string };
const create = (args: string[], nodeArgs: string[] = []) =>
  new Promise<Outcome>((resolve) => {
    const child = execFile(process.execPath, [...nodeArgs, bin, ...args], { cwd }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr }),
    );
    child.stdin?.end();
  });

describe("a project", () => {
  test("is made in a new folder, with the folder's name, and what comes next is said", async () => {
    expect(await create(["my-desk"])).toEqual({
      code: 0,
      stdout: `Made my-desk in ${join(cwd, "my-desk")}: an agent, a tool, an endpoint and a test.

Next:

  cd my-desk
  npm install
  npm start

README.md says what is where.
`,
      stderr: "",
    });
    const folder = join(cwd, "my-desk");
    expect((await readdir(folder)).sort()).toEqual(
      [
        ".env.example",
        ".gitignore",
        "README.md",
        "agents",
        "ask.ts",
        "endpoints",
        "package.json",
        "test",
        "tools",
      ].concat("tsconfig.json"),
    );
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, "../package.json"), "utf8"));
    expect(JSON.parse(await readFile(join(folder, "package.json"), "utf8"))).toMatchObject({
      name: "my-desk",
      scripts: { start: "callboard dev" },
      dependencies: { "@callboard/cli": version, "@callboard/kit": version },
    });
    expect(await readFile(join(folder, "README.md"), "utf8")).toMatch(/^# my-desk\n/);
    expect(await readFile(join(folder, ".gitignore"), "utf8")).toContain(".env\n");
  });

  test("may be the folder one is in, if there is nothing but a repository in it", async () => {
    await mkdir(join(cwd, "here/.git"), { recursive: true });
    cwd = join(cwd, "here");
    const { code, stdout } = await create(["."]);
    expect(code).toBe(0);
    expect(stdout).toContain("Next:\n\n  npm install\n");
  });

  test("has a name of its own with --yes", async () => {
    expect((await create(["--yes"])).code).toBe(0);
    expect(await readdir(cwd)).toEqual(["my-desk"]);
  });

  test("without a folder and without anybody to ask is wrong usage", async () => {
    expect(await create([])).toEqual({
      code: 2,
      stdout: "",
      stderr: "create-callboard: expected a folder, or --yes\n",
    });
    expect((await create(["a", "b"])).code).toBe(2);
    expect((await create(["--wat"])).code).toBe(2);
    expect((await create(["--help"])).stdout).toContain("Usage: npm create callboard [folder]");
  });
});

describe("nothing is written", () => {
  test("into a folder with files", async () => {
    await mkdir(join(cwd, "full"));
    await writeFile(join(cwd, "full/mine.txt"), "mine");
    expect(await create(["full"])).toEqual({
      code: 1,
      stdout: "",
      stderr: `create-callboard: ${join(cwd, "full")} is not empty: it has mine.txt\n`,
    });
    expect(await readdir(join(cwd, "full"))).toEqual(["mine.txt"]);
  });

  test("in the place of a file", async () => {
    await writeFile(join(cwd, "taken"), "mine");
    expect(await create(["taken"])).toMatchObject({
      code: 1,
      stderr: `create-callboard: ${join(cwd, "taken")} is a file\n`,
    });
  });

  test("under a name that no package can have; a better one is offered", async () => {
    const { code, stderr } = await create(["My Désk!"]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'create-callboard: "My Désk!" is no name for a project: expected lower-case letters, digits, - . or _, like my-desk\n',
    );
    expect(await readdir(cwd)).toEqual([]);
  });

  test("by an old Node, which is told what to do", async () => {
    const pretend = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.2' } })";
    const { code, stderr } = await create(
      ["my-desk"],
      ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`],
    );
    expect(code).toBe(1);
    expect(stderr).toContain("needs Node 24.11 or later; this is Node 20.19.2");
  });
});

test("the name that is offered would be taken", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("node_modules", "callboard", "")), (name) => {
      const problem = nameProblem(name);
      const offered = problem?.split(", like ").at(-1);
      expect(offered === undefined ? undefined : nameProblem(offered)).toBeUndefined();
    }),
  );
});
