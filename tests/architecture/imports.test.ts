/**
 * Imports go down. A room of the server knows lower rooms, and those by their doors alone; a package knows
 * the packages it may. Tests are free to import what they need.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Lowest first. Rooms of one line do not know each other, except on the first: anyone may use those. */
const ranks = [
  ["storage", "net", "config", "log", "secrets", "limits"],
  ["events"],
  ["access"],
  ["models", "files", "documents", "tools"],
  ["agents", "identity"],
  ["threads"],
  ["runs"],
  ["calls", "budgets"],
  ["engine"],
  ["endpoints", "channels", "project"],
  ["http"],
  ["app"], // the files beside the rooms: app.ts, main.ts
] as const;

/** What a package may import of the others; `types only` leaves nothing of it at run time. */
const packages: Record<string, Record<string, "all" | "types only">> = {
  protocol: {},
  kit: { protocol: "all" },
  server: { protocol: "all", kit: "all" },
  client: { protocol: "types only" },
  cli: { protocol: "all", client: "all", server: "all" },
  console: { protocol: "all", client: "all" },
  "create-callboard": { kit: "all", client: "all" }, // its template does
  examples: { protocol: "all", kit: "all", client: "all" },
};

type Import = { specifier: string; isType: boolean };

const patterns = [
  /^[ \t]*import\s+(type\s+)?(?:[\w*{][^;"']*?\sfrom\s+)?["']([^"']+)["']/gm,
  /^[ \t]*export\s+(type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s+["']([^"']+)["']/gm,
  /\bimport\s*\((\s*)["']([^"']+)["']/g,
];

function importsOf(source: string): Import[] {
  return patterns.flatMap((pattern) =>
    [...source.matchAll(pattern)].map(([, type, specifier]) => ({
      specifier: specifier as string,
      isType: type?.startsWith("type") ?? false,
    })),
  );
}

/** `threads/store.ts` → `threads`; a file beside the rooms is `app`, `log.ts` is `log`. */
function roomOf(path: string): string {
  const [first = "", second] = path.split("/");
  if (second !== undefined) return first;
  return first === "log.ts" ? "log" : "app";
}

function rankOf(room: string): number {
  return ranks.findIndex((rooms) => (rooms as readonly string[]).includes(room));
}

/** What is wrong with an import between two files of the server (paths below `packages/server/src`). */
function roomProblem(from: string, to: string): string | undefined {
  const [mine, theirs] = [roomOf(from), roomOf(to)];
  if (mine === theirs) return undefined;
  if (theirs === "testing") return "only tests import testing";
  if (mine === "testing") return undefined;
  for (const room of [mine, theirs]) {
    if (rankOf(room) === -1) return `room ${room} has no rank; give it one in ${here}`;
  }
  if (theirs === "app") return "nobody imports the files beside the rooms";
  if (to !== `${theirs}/index.ts` && to !== "log.ts") return `other rooms use the door ${theirs}/index.ts`;
  if (rankOf(theirs) < rankOf(mine) || rankOf(theirs) === 0) return undefined;
  return `${mine} is not above ${theirs}; rooms import lower ones only`;
}

/** What is wrong with an import of another package of ours. */
function packageProblem(from: string, specifier: string, isType: boolean): string | undefined {
  const [, name = "", deeper] = specifier.split("/");
  if (name === from) return undefined;
  if (deeper !== undefined) return "a package is imported by its name alone";
  const allowed = packages[from]?.[name];
  if (allowed === undefined) return `${from} does not import ${name}`;
  if (allowed === "types only" && !isType) return `${from} imports only types from ${name}: import type`;
  return undefined;
}

/** All problems of one file; `path` is relative to the repository, with forward slashes. */
function problemsOf(path: string, source: string): string[] {
  const [kind = "", name = ""] = path.split("/");
  const owner = kind === "examples" ? "examples" : name;
  const home = `${kind}/${name}/`;
  const rooms = "packages/server/src/";
  return importsOf(source).flatMap(({ specifier, isType }) => {
    const target = posix.join(posix.dirname(path), specifier);
    let problem: string | undefined;
    if (specifier.startsWith("@callboard/")) problem = packageProblem(owner, specifier, isType);
    else if (specifier.startsWith(".") && !target.startsWith(home)) problem = `a file stays inside ${home}`;
    else if (specifier.startsWith(".") && path.startsWith(rooms) && target.startsWith(rooms)) {
      problem = roomProblem(path.slice(rooms.length), target.slice(rooms.length));
    }
    return problem === undefined ? [] : [`${path} imports ${specifier}: ${problem}`];
  });
}

const here = "tests/architecture/imports.test.ts";

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .filter((path) => /\.(ts|tsx|js|mjs)$/.test(path) && !/\/(node_modules|dist|\.callboard)\//.test(path));
}

/** A room's `fixture.ts` is what its tests stand on. */
function isTest(path: string): boolean {
  return /\.test\.tsx?$|\/fixture\.ts$/.test(path);
}

test("imports go down, through doors", () => {
  const files = [...sourceFiles("packages"), ...sourceFiles("examples")].filter((path) => !isTest(path));
  expect(files).toContain("packages/server/src/storage/index.ts");
  const problems = files.flatMap((path) => problemsOf(path, readFileSync(join(root, path), "utf8")));
  expect(problems.join("\n")).toBe("");
});

describe("the rule itself", () => {
  const server = (path: string) => `packages/server/src/${path}`;

  test.each([
    [
      "a higher room",
      server("threads/open.ts"),
      `import { start } from "../runs/index.ts";`,
      "threads is not above runs",
    ],
    ["a neighbour", server("files/disk.ts"), `import { x } from "../tools/index.ts";`, "files is not above tools"],
    ["past the door", server("runs/start.ts"), `import { x } from "../threads/store.ts";`, "the door threads/index.ts"],
    ["a type past the door", server("runs/a.ts"), `import type { X } from "../threads/store.ts";`, "the door"],
    ["the joining place", server("http/runs.ts"), `import { app } from "../app.ts";`, "nobody imports"],
    [
      "test helpers",
      server("runs/start.ts"),
      `import { x } from "../testing/database.ts";`,
      "only tests import testing",
    ],
    ["a room without a rank", server("cellar/a.ts"), `import { x } from "../storage/index.ts";`, "cellar has no rank"],
    ["on demand", server("events/a.ts"), `const x = await import("../http/index.ts");`, "events is not above http"],
    ["several lines", server("events/a.ts"), `import {\n  a,\n  b,\n} from "../http/index.ts";`, "events is not above"],
    ["passed on", server("events/index.ts"), `export { a } from "../runs/index.ts";`, "events is not above runs"],
    ["for its effect", server("events/a.ts"), `import "../runs/index.ts";`, "events is not above runs"],
    ["another package's file", "packages/cli/src/a.ts", `import { x } from "../../server/src/app.ts";`, "stays inside"],
    [
      "a higher package",
      "packages/kit/src/a.ts",
      `import { x } from "@callboard/server";`,
      "kit does not import server",
    ],
    ["a value", "packages/client/src/a.ts", `import { x } from "@callboard/protocol";`, "imports only types"],
    ["a value passed on", "packages/client/src/a.ts", `export * from "@callboard/protocol";`, "imports only types"],
    ["the inside of a package", "packages/cli/src/a.ts", `import { x } from "@callboard/server/src/app.ts";`, "alone"],
    ["the server", "examples/desk/agents/a.ts", `import { x } from "@callboard/server";`, "examples does not import"],
  ])("refuses %s", (_what, path, source, problem) => {
    const found = problemsOf(path, source);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(path);
    expect(found[0]).toContain(problem);
  });

  test.each([
    ["a lower room by its door", server("runs/start.ts"), `import { x } from "../threads/index.ts";`],
    ["its own room's files", server("runs/start.ts"), `import { x } from "./store.ts";`],
    ["a file of a folder in its own room", server("http/faces/a.ts"), `import { x } from "../errors.ts";`],
    ["the ground floor", server("net/guard.ts"), `import { x } from "../config/index.ts";`],
    ["every room in one place", server("app.ts"), `import { x } from "./http/index.ts";`],
    ["anything in test helpers", server("testing/server.ts"), `import { x } from "../runs/store.ts";`],
    ["types for the client", "packages/client/src/a.ts", `import type { X } from "@callboard/protocol";`],
    ["the kit in an example", "examples/desk/tools/a.ts", `import { defineTool } from "@callboard/kit";`],
    ["what only a comment says", server("events/a.ts"), ` * import { x } from "../http/index.ts";`],
  ])("allows %s", (_what, path, source) => {
    expect(problemsOf(path, source)).toEqual([]);
  });
});
