/** Facts about the checkout that a change may break without anything else noticing. */
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

test("tests run on the Node that the repository brings along, not on an older one of the system", () => {
  expect(Number.parseInt(process.versions.node, 10)).toBeGreaterThanOrEqual(24);
});

test("the lockfile names no registry, so that everyone's own is used", () => {
  const lines = readFileSync(join(root, "package-lock.json"), "utf8").split("\n");
  expect(lines.filter((line) => line.includes('"resolved": "http'))).toEqual([]);
});

test("no tracked file names a folder of somebody's machine", () => {
  // Put together here, or this file would find itself.
  const folders = ["work", "root"].map((name) => `/${name}/`);
  const pattern = new RegExp(`(?<![\\w.~*}/-])(?:${folders.join("|")})`);
  const tracked = trackedFiles();
  expect(tracked).toContain("package.json");
  const found = tracked.flatMap((path) => {
    const text = readTracked(path);
    if (text === undefined) return [];
    return text.split("\n").flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : []));
  });
  expect(found).toEqual([]);
});

/** Also in a checkout of another user's; without git or its folder, what lies here and was not made here. */
function trackedFiles(): string[] {
  const list = ["-c", "safe.directory=*", "ls-files", "-z", "--cached"];
  try {
    const text = execFileSync("git", list, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return text.split("\0").filter((path) => path !== "");
  } catch {
    const made = /(^|\/)(node_modules|dist|\.git|\.callboard)(\/|$)/;
    return globSync("**/*", { cwd: root, exclude: (path) => made.test(path) }).map(String);
  }
}

/** Undefined for what is no text, or was deleted and not yet committed. */
function readTracked(path: string): string | undefined {
  try {
    const text = readFileSync(join(root, path), "utf8");
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}
