/** `npm start`: edits take effect with the next request, and errors name their place. A process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { call, eventually } from "./fixture.ts";

const packages = join(import.meta.dirname, "../../..");
const root = dirname(packages);

let database: TestDatabase;
let folder: string;
let child: ChildProcess;
let server: { baseUrl: string; token: string };
let output = "";

const put = async (path: string, text: string) => {
  const file = join(folder, "project", path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
};
const endpoint = (output: string, body: string, more = "") => `
  import { defineEndpoint } from "@callboard/kit";
  import { z } from "zod";
  ${more}
  export default defineEndpoint({
    method: "POST", mode: "sync", input: z.strictObject({}), output: ${output},
    handle: async ({ runAgent }) => { ${body} },
  });`;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = await realpath(await mkdtemp(join(tmpdir(), "callboard-reload-")));
  await mkdir(join(folder, "project/node_modules/@callboard"), { recursive: true });
  await symlink(join(packages, "kit"), join(folder, "project/node_modules/@callboard/kit"));
  await symlink(join(root, "node_modules/zod"), join(folder, "project/node_modules/zod"));
  await put("package.json", '{"type":"module"}');
  await put("lib/word.ts", 'export const word: string = "one";');
  await put("endpoints/greet.ts", endpoint("z.string()", "return word;", 'import { word } from "../lib/word.ts";'));
  await put(
    "tools/count_words.ts",
    `import { defineTool } from "@callboard/kit";
     import { z } from "zod";
     import { word } from "../lib/word.ts";
     export default defineTool({ description: word, effect: "read", input: z.object({}), run: () => 1 });`,
  );
  await put(
    "agents/poet.ts",
    `import { defineAgent } from "@callboard/kit";
     import { z } from "zod";
     export default defineAgent({ name: "Poet", output: z.object({ title: z.string(), lines: z.array(z.string()) }) });`,
  );
  await put(
    "endpoints/poem.ts",
    endpoint(
      "z.object({ title: z.string() })",
      'const run = await runAgent(poet, { message: "spring" }); return { title: run.output().title };',
      'import poet from "../agents/poet.ts";',
    ),
  );
  child = spawn(process.execPath, [join(packages, "cli/src/bin.ts"), "dev"], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      PORT: "0",
      CALLBOARD_DATA_DIR: join(folder, "data"),
      CALLBOARD_PROJECT: join(folder, "project"),
      CALLBOARD_DEMO_DELAY_MS: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      output += chunk;
    });
  }
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(output);
    return output.includes("Try it:");
  });
  const credentials = JSON.parse(await readFile(join(folder, "data/credentials.json"), "utf8"));
  server = { baseUrl: credentials.base_url, token: credentials.token };
});
afterAll(async () => {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
  await rm(folder, { recursive: true, force: true });
  await database.drop();
});

/** The lines of the log that say this, parsed. */
const logged = (message: string): Array<Record<string, unknown>> =>
  output
    .split("\n")
    .slice(0, -1) // the last one is still coming
    .filter((line) => line.includes(message))
    .map((line) => JSON.parse(line));

const greet = async () => (await call(server, "greet", {})).body;

describe("in development", () => {
  test("an agent is meant by the default export of its file, and answers in the type of its schema", async () => {
    const poem = await call(server, "poem", {});
    expect(poem.body).toEqual({ title: expect.any(String) });
  });

  test("an edit of the file takes effect with the next request", async () => {
    expect(await greet()).toBe("one");
    await put(
      "endpoints/greet.ts",
      endpoint("z.string()", "return word.concat('!');", 'import { word } from "../lib/word.ts";'),
    );
    expect(await greet()).toBe("one!");
  });

  test("and an edit of what the file imports", async () => {
    await put("lib/word.ts", 'export const word: string = "two";');
    expect(await greet()).toBe("two!");
    await put("agents/poet.ts", `${await readFile(join(folder, "project/agents/poet.ts"), "utf8")}\n// edited`);
    expect((await call(server, "poem", {})).status).toBe(200);
  });

  test("a file that does not compile leaves the old version serving, and the log says what is wrong", async () => {
    await put("endpoints/greet.ts", "export default defineEndpoint({ this is not a program");
    expect(await greet()).toBe("two!");
    await eventually(() => output.includes("an endpoint has an error"));
    expect(output).toContain("endpoints/greet.ts");
    await put("lib/word.ts", "export const word: string = ;");
    await put("endpoints/greet.ts", endpoint("z.string()", "return word;", 'import { word } from "../lib/word.ts";'));
    expect(await greet()).toBe("two!");
    await put("lib/word.ts", 'export const word: string = "three";');
    expect(await greet()).toBe("three");
  });

  test("a new file with an error answers that it has one, until it is mended", async () => {
    await put("endpoints/half.ts", "export default define");
    const answer = await call(server, "half", {});
    expect([answer.status, answer.body.error.code]).toEqual([503, "unavailable"]);
    expect(answer.body.error.message).toBe("endpoints/half cannot be loaded; the server's log says why");
    expect(logged("an endpoint has an error").at(-1)).toMatchObject({ still_serving: false });
    await put("endpoints/half.ts", endpoint("z.string()", 'return "whole";'));
    expect((await call(server, "half", {})).body).toBe("whole");
  });

  test("a new file is there, and one that was removed is not", async () => {
    await put("endpoints/later/[name].ts", endpoint("z.string()", 'return "new";'));
    expect((await call(server, "later/x", {})).body).toBe("new");
    const described = await fetch(`${server.baseUrl}/api/v1/openapi.json`).then((answer) => answer.json());
    expect(Object.keys(described.paths)).toContain("/endpoints/later/{name}");
    await rm(join(folder, "project/endpoints/later"), { recursive: true });
    expect((await call(server, "later/x", {})).status).toBe(404);
  });
});

describe("tools in development", () => {
  const described = async (name: string): Promise<string | undefined> => {
    const headers = { authorization: `Bearer ${server.token}` };
    const answer = await fetch(`${server.baseUrl}/api/v1/tools`, { headers });
    const { data } = (await answer.json()) as { data: Array<{ name: string; description: string }> };
    return data.find((tool) => tool.name === name)?.description;
  };

  test("an edit of the file, and of what it imports, takes effect with the next request", async () => {
    await put("lib/word.ts", 'export const word: string = "counts";');
    expect(await described("count_words")).toBe("counts");
    const text = await readFile(join(folder, "project/tools/count_words.ts"), "utf8");
    await put("tools/count_words.ts", text.replace("description: word", 'description: word + " words"'));
    expect(await described("count_words")).toBe("counts words");
    await put("tools/new_one.ts", text);
    expect(await described("new_one")).toBe("counts");
  });

  test("a file that does not compile leaves the old tool, and the log says what is wrong", async () => {
    await put("tools/count_words.ts", "export default define oops");
    expect(await described("count_words")).toBe("counts words");
    const lines = () => logged("a tool has an error");
    const line = await eventually(() => lines().find(({ why }) => String(why).includes("tools/count_words.ts:1: ")));
    expect(line).toMatchObject({ still_serving: true, file: expect.stringContaining("tools/count_words.ts") });
    await put("lib/word.ts", 'export const word: string = "three";');
  });
});

describe("a handler that goes wrong", () => {
  test("by throwing, in a file that it imports: the log says where", async () => {
    await put("lib/deep.ts", 'export function deep(): never {\n  throw new Error("too deep");\n}');
    await put(
      "endpoints/throws.ts",
      endpoint("z.string()", "return deep();", 'import { deep } from "../lib/deep.ts";'),
    );
    const answer = await call(server, "throws", {});
    expect([answer.status, answer.body.error.code]).toEqual([500, "internal"]);
    const line = await eventually(() => logged("a call of an endpoint failed")[0]);
    expect(line).toMatchObject({ endpoint: "throws", at: "lib/deep.ts:2:9", request_id: answer.body.error.request_id });
    expect(line.file).toContain("endpoints/throws.ts");
  });

  test("by keeping the thread for a second: the log names it, and the server goes on", async () => {
    const block = "const end = Date.now() + 1000; while (Date.now() < end); return 'done';";
    await put("endpoints/blocks.ts", endpoint("z.string()", block));
    const [blocked, other] = await Promise.all([call(server, "blocks", {}), fetch(`${server.baseUrl}/health`)]);
    expect([blocked.body, other.status]).toEqual(["done", 200]);
    // A busy machine may have blocked it before.
    const line = await eventually(() =>
      logged("the event loop was blocked").find(({ endpoints }) => (endpoints as string[]).includes("blocks")),
    );
    expect(line.blocked_ms).toBeGreaterThan(500);
  });

  test("in a promise that nobody waits for: the log says where, and the server goes on", async () => {
    const forgets = 'void (async () => { throw new Error("forgotten"); })(); return "answered";';
    await put("endpoints/forgets.ts", endpoint("z.string()", forgets));
    expect((await call(server, "forgets", {})).body).toBe("answered");
    const line = await eventually(() => logged("nobody waited for it")[0]);
    expect(line.at).toMatch(/^endpoints\/forgets\.ts:\d+:\d+$/);
    expect(await greet()).toBe("three");
  });

  test.each([
    ["a file that cannot be written, without a place of its own", 'void writeFile("/nowhere/x", "");', "ENOENT"],
    ["a reason that is no error", 'void Promise.reject("only words");', "only words"],
    ["a timer that throws", 'setTimeout(() => { throw new Error("too late"); });', "too late"],
    ["a socket whose errors nobody hears", "connect(1, '127.0.0.1');", "ECONNREFUSED"],
  ])("later, by %s: the server goes on", async (_, body, words) => {
    const imports = 'import { writeFile } from "node:fs/promises"; import { connect } from "node:net";';
    await put("endpoints/later.ts", endpoint("z.string()", `${body} return "answered";`, imports));
    expect((await call(server, "later", {})).body).toBe("answered");
    await eventually(() => output.split("\n").find((line) => line.includes(words) && line.includes("of the project")));
    expect(await greet()).toBe("three");
  });
});
