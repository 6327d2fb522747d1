/** `npm start` stands between whoever stops it and the server. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { createTestDatabase } from "../testing/database.ts";
import { eventually } from "./fixture.ts";

const packages = join(import.meta.dirname, "../../..");

test.skipIf(process.platform === "win32")("a server whose npm script was killed stops too, in order", async () => {
  const database = await createTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), "callboard-npm-"));
  await mkdir(join(folder, "project"));
  // A shell that stays, as npm's does: a signal to it does not reach the server.
  const script = `"${process.execPath}" "${join(packages, "cli/src/bin.ts")}" dev; echo "ended with $?"`;
  const shell = spawn("sh", ["-c", script], {
    cwd: dirname(packages),
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      PORT: "0",
      CALLBOARD_DATA_DIR: join(folder, "data"),
      CALLBOARD_PROJECT: join(folder, "project"),
      CALLBOARD_LOG_LEVEL: "info",
      npm_lifecycle_event: "start",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (chunk) => (output += chunk));
  try {
    await eventually(() => {
      if (shell.exitCode !== null) throw new Error(output);
      return output.includes("Try it:") || output.includes("/events/stream");
    });
    const closed = new Promise((resolve) => shell.stdout.once("close", resolve)); // the server holds it
    shell.kill("SIGKILL");
    await closed;
    expect(output).toContain("the npm script ended");
  } finally {
    await rm(folder, { recursive: true, force: true });
    await database.drop();
  }
});
