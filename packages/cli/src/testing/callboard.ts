/** Runs the real command as a child process. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const bin = join(import.meta.dirname, "../../bin/callboard.js");

export type Outcome = { code: number | null; stdout: string; stderr: string };
export type Running = { child: ChildProcess; outcome: Promise<Outcome>; stdoutHas: (text: string) => Promise<void> };

/** Starts it in a folder; the environment is the given one alone, so nothing of this machine's gets in. */
export function start(
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
  nodeArgs: string[] = [],
): Running {
  const child = spawn(process.execPath, [...nodeArgs, bin, ...args], { env, cwd, stdio: ["ignore", "pipe", "pipe"] });
  const out = { stdout: "", stderr: "" };
  const waiting: (() => void)[] = [];
  child.stdout.on("data", (chunk) => {
    out.stdout += chunk;
    for (const look of waiting) look();
  });
  child.stderr.on("data", (chunk) => {
    out.stderr += chunk;
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...out }));
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const stdoutHas = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => out.stdout.includes(text) && resolve();
      waiting.push(look);
      look();
    });
  return { child, outcome, stdoutHas };
}

/** Runs it to its end, against a server, in a folder of its own unless one is given. */
export async function callboard(url: string, args: readonly string[], cwd?: string): Promise<Outcome> {
  const env = { CALLBOARD_URL: url, CALLBOARD_TOKEN: "cbp_secret" };
  return start(args, env, cwd ?? (await folder())).outcome;
}

/** An empty folder that goes with the test. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "callboard-cli-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}
