/** A server that cannot start says why in a line or two and ends, with nothing left running. */
import { mkdir, realpath, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createTestDatabase } from "../../server/src/testing/database.ts";
import { folder, type Outcome, start } from "./testing/callboard.ts";

const packages = join(import.meta.dirname, "../..");

/** Starts `dev` on an empty database in a folder with these files, and waits until it has ended. */
async function dev(files: Record<string, string>, env: Record<string, string> = {}): Promise<Outcome> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const project = await realpath(await folder());
  await mkdir(join(project, "node_modules/@callboard"), { recursive: true });
  await symlink(join(packages, "kit"), join(project, "node_modules/@callboard/kit"));
  await mkdir(join(project, "agents"));
  for (const [name, text] of Object.entries({ "package.json": '{"type":"module"}', ...files })) {
    await writeFile(join(project, name), text);
  }
  const settings = { DATABASE_URL: database.url, PORT: "0", CALLBOARD_DATA_DIR: join(project, "data"), ...env };
  return start(["dev"], settings, project).outcome;
}

test("a port that is taken is named, with what to do", async () => {
  const other = createServer();
  await new Promise<void>((listening) => void other.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void other.close());
  const { port } = other.address() as { port: number };
  expect(await dev({}, { PORT: `${port}` })).toEqual({
    code: 1,
    stdout: "",
    stderr: `callboard: port ${port} of 127.0.0.1 is in use. Stop what listens there, or set PORT to another one.\n`,
  });
});

test("an agent that cannot be published is told with all that is wrong", async () => {
  const text = `
    import { defineAgent } from "@callboard/kit";
    export default defineAgent({ name: "Guide", instructions: "Greet \${WHO}.", tools: ["nope"] });`;
  const { code, stderr } = await dev({ "agents/guide.ts": text });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^callboard: [^\n]*guide[^\n]*\n$/);
  expect(stderr).toContain("WHO");
  expect(stderr).toContain("nope");
});

test("an agent's file that does not compile is told with its path", async () => {
  const { code, stderr } = await dev({ "agents/guide.ts": "export default {{" });
  expect(code).toBe(1);
  expect(stderr).toContain("agents/guide.ts:1: ");
});

test("a configuration with an unknown field is told with its path, and so is a folder that is not there", async () => {
  const { code, stderr } = await dev({
    "callboard.config.ts": `
    import { defineConfig } from "@callboard/kit";
    export default defineConfig({ http: { alow: ["x.example"] } } as never);`,
  });
  expect(code).toBe(1);
  expect(stderr).toContain("alow");
  const misspelt = await dev({}, { CALLBOARD_PROJECT: "misspelt" });
  expect(misspelt).toMatchObject({ code: 1, stdout: "" });
  expect(misspelt.stderr).toContain("CALLBOARD_PROJECT is misspelt: expected a folder; there is none");
});
