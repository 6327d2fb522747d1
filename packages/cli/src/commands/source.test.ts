// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the placeholders of the server
/** `export` and `generate`, against a real server: what they write is loaded, compiled and used. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CallboardClient, createClient } from "@callboard/client";
import { defineEndpoint } from "@callboard/kit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { say } from "../../../server/src/testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../../server/src/testing/server.ts";
import { type Outcome, start } from "../testing/callboard.ts";
import { projectFolder, put } from "../testing/project.ts";
import { typeProblems } from "../testing/tsc.ts";

const node: z.ZodType<{ label: string; children: unknown[] }> = z.lazy(() =>
  z.object({ label: z.string(), children: z.array(node) }),
);
const endpoints = {
  "sort-ticket": defineEndpoint({
    summary: "Sorts a ticket.",
    method: "POST",
    mode: "sync",
    input: z.strictObject({ text: z.string(), product: z.enum(["till", "shop"]).default("till") }),
    output: z.object({ product: z.enum(["till", "shop"]), tree: node.optional() }),
    handle: ({ input }) => ({ product: input.product }),
  }),
  "tickets/[id]": defineEndpoint({
    method: "GET",
    mode: "sync",
    input: z.strictObject({ verbose: z.string().optional() }),
    output: z.object({ id: z.string(), verbose: z.string().nullable() }),
    handle: ({ input, params }) => ({ id: params.id as string, verbose: input.verbose ?? null }),
  }),
  search: defineEndpoint({
    method: "GET",
    mode: "sync",
    input: z.object({ since: z.coerce.date(), tag: z.array(z.string()).optional() }),
    output: z.object({ since: z.date(), tags: z.number() }),
    handle: ({ input }) => ({ since: input.since, tags: input.tag?.length ?? 0 }),
  }),
  later: defineEndpoint({
    method: "POST",
    mode: "polling",
    input: z.strictObject({ n: z.number() }),
    output: z.object({ doubled: z.number() }),
    handle: ({ input }) => ({ doubled: input.n * 2 }),
  }),
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ endpoints });
});
afterAll(() => server.stop());

let client: CallboardClient;
let token: string;
let folder: string;
beforeEach(async () => {
  ({ token } = await server.organization());
  client = createClient({ baseUrl: server.baseUrl, token });
  folder = await projectFolder();
});
const run = (...args: string[]): Promise<Outcome> =>
  start(args, { CALLBOARD_URL: server.baseUrl, CALLBOARD_TOKEN: token }, folder).outcome;

const hostile = "Say `hi` to ${NAME:-you}.\r\nNot \\$${X}, $${Y}: */ \"quotes\" \u2028 'and' 👩‍👩‍👧\n`${" + "\u202e";
const draft = {
  name: 'The "Desk" */',
  instructions: hostile,
  variables: { NAME: { schema: { type: "string" as const, enum: ["you", "`"] }, default: "you" } },
  tools: [{ name: "list_files" }, { name: "write_file", approval: "always" as const }],
  output_schema: { type: "object", properties: { "a-b": { const: "${x}" }, constructor: { type: "null" } } },
};

describe("export", () => {
  test("writes an agent as a file that plans no change and can be compiled", async () => {
    await client.agents.create({ slug: "desk", draft, access_mode: "invited", api_access: false });
    await client.agents.publish("desk");
    const file = join(folder, "agents/desk.ts");
    expect(await run("export", "desk")).toEqual({ code: 0, stdout: `created ${file}\n`, stderr: "" });
    expect(await run("plan")).toEqual({ code: 0, stdout: "Plan: 1 unchanged.\n", stderr: "" });
    expect(await run("export", "desk")).toEqual({ code: 0, stdout: `unchanged ${file}\n`, stderr: "" });
    expect((await run("export", "desk", "--out", "-")).stdout).toBe(await readFile(file, "utf8"));
    expect(await typeProblems(folder)).toEqual([]);
  });

  test("does not write over a file that says something else, unless forced to", async () => {
    await client.agents.create({ slug: "desk", draft });
    await put(folder, "agents/desk.ts", "// mine\n");
    const refused = await run("export", "desk");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("desk.ts says something else; --force writes over it");
    expect(await readFile(join(folder, "agents/desk.ts"), "utf8")).toBe("// mine\n");
    expect((await run("export", "desk", "--force")).stdout).toMatch(/^updated /);
  });

  test("takes the live version, and with --draft the draft", async () => {
    await client.agents.create({ slug: "desk", draft });
    await client.agents.publish("desk");
    await client.agents.update("desk", { draft: { name: "Begun" } });
    const live = await run("export", "desk", "--out", "-");
    expect(live.stdout).toContain("NAME");
    expect(live.stderr).toBe("this is version 1; the draft differs: --draft\n");
    expect((await run("export", "desk", "--out", "-", "--draft")).stdout).toContain('name: "Begun"');
  });

  test("of an agent that is not there is refused", async () => {
    expect(await run("export", "nobody")).toMatchObject({ code: 1, stderr: expect.stringContaining("not_found") });
  });
});

describe("generate", () => {
  const sorter = {
    name: "Sorter",
    instructions: "Sort.",
    variables: {
      PRODUCT: { schema: { type: "string" as const, enum: ["till", "shop"] } },
      LOUD: { schema: { type: "boolean" as const } },
    },
    output_schema: { type: "object", properties: { product: { enum: ["till", "shop"] } }, required: ["product"] },
  };
  const publish = async (slug: string, config: Parameters<typeof client.agents.create>[0]["draft"] = sorter) => {
    await client.agents.create({ slug, draft: config });
    await client.agents.publish(slug);
  };

  const consumer = `import { createClient } from "@callboard/client";
import { defineAgent, defineEndpoint, type RunAgent } from "@callboard/kit";
import { agents, endpoints, models, tools } from "./callboard.gen.ts";

export async function inAnEndpoint(runAgent: RunAgent): Promise<"till" | "shop"> {
  const run = await runAgent(agents.sorter, { message: "E-17", variables: { PRODUCT: "till", LOUD: true } });
  return run.output().product;
}
export const plain = async (runAgent: RunAgent): Promise<string> =>
  (await runAgent(agents["just-text"], { message: "Hello" })).output();
export const desk = defineAgent({ name: "Desk", tools: [tools.list_files], model: { connection: models.scripted } });

export async function fromAnywhere(client: ReturnType<typeof createClient>) {
  const sorted = await client.endpoints.call(endpoints["sort-ticket"], { text: "E-17" });
  const product: "till" | "shop" = sorted.product;
  const label: string | undefined = sorted.tree?.label;
  const { id } = await client.endpoints.call(endpoints["tickets/[id]"]({ id: "a/b c" }), { verbose: "yes" });
  const { doubled } = await client.endpoints.call(endpoints.later, { n: 2 });
  const found = await client.endpoints.call(endpoints.search, { since: "1970-01-01", tag: ["a", "b"] });
  const since: string = found.since;
  return { product, label, id, doubled };
}
`;
  const mistakes = `import type { RunAgent } from "@callboard/kit";
import type { CallboardClient } from "@callboard/client";
import { agents, endpoints } from "./callboard.gen.ts";
declare const runAgent: RunAgent;
declare const client: CallboardClient;
// @ts-expect-error a variable that the agent does not have
runAgent(agents.sorter, { message: "", variables: { COLOUR: "red" } });
// @ts-expect-error a value that the variable does not take
runAgent(agents.sorter, { message: "", variables: { PRODUCT: "desk" } });
// @ts-expect-error an agent without variables takes none
runAgent(agents["just-text"], { message: "", variables: { PRODUCT: "till" } });
// @ts-expect-error a field of the input is missing
client.endpoints.call(endpoints["sort-ticket"], {});
// @ts-expect-error an input that does not fit
client.endpoints.call(endpoints.later, { n: "2" });
// @ts-expect-error a parameter of the path is missing
client.endpoints.call(endpoints["tickets/[id]"]({}), {});
// @ts-expect-error what the answer does not have
client.endpoints.call(endpoints.later, { n: 2 }).then(({ halved }) => halved);
`;

  test("writes what a consumer compiles with, and a renamed agent does not compile any more", {
    timeout: 600_000,
  }, async () => {
    await publish("sorter");
    await publish("just-text", { name: "Text" });
    expect(await run("generate")).toMatchObject({ code: 0, stderr: "" });
    await writeFile(join(folder, "consumer.ts"), consumer);
    await writeFile(join(folder, "mistakes.ts"), mistakes);
    expect(await typeProblems(folder)).toEqual([]);
    await client.agents.update("sorter", { slug: "classifier" });
    expect(await run("generate", "--check")).toMatchObject({ code: 4, stdout: expect.stringMatching(/^outdated /) });
    expect(await run("generate")).toMatchObject({ code: 0, stdout: expect.stringMatching(/^updated /) });
    expect(await run("generate", "--check")).toMatchObject({ code: 0 });
    const problems = await typeProblems(folder);
    expect(problems[0]).toMatch(/^consumer\.ts\(6,37\): .* Property 'sorter' does not exist/);
  });

  test("the written endpoints are called in one line, polling included", async () => {
    await run("generate");
    const { endpoints: all } = await import(join(folder, "callboard.gen.ts"));
    expect(await client.endpoints.call(all["sort-ticket"], { text: "E-17" })).toEqual({ product: "till" });
    expect(await client.endpoints.call(all["tickets/[id]"]({ id: "a/b c" }), { verbose: "x" })).toEqual({
      id: "a/b c",
      verbose: "x",
    });
    expect(await client.endpoints.call(all.later, { n: 21 })).toEqual({ doubled: 42 });
    expect(await client.endpoints.call(all.search, { since: "1970-01-01", tag: ["a", "b"] })).toEqual({
      since: "1970-01-01T00:00:00.000Z",
      tags: 2,
    });
  });

  test("is the same text for the same server, and names live agents only", async () => {
    await publish("b");
    await publish("a");
    await client.agents.create({ slug: "draft-only", draft: { name: "Draft" } });
    const first = await run("generate", "--out", "-");
    expect(first.stdout).not.toContain("draft-only");
    expect(first.stdout.indexOf('slug: "a"')).toBeLessThan(first.stdout.indexOf('slug: "b"'));
    expect(await run("generate", "--out", "-")).toEqual(first);
  });

  test("survives names and texts that try to be code", async () => {
    await publish("desk", { ...draft, name: "*/ export const x = 1; /*", description: "`${process.exit(1)}`" });
    await run("generate");
    expect(await typeProblems(folder)).toEqual([]);
    const { agents } = await import(join(folder, "callboard.gen.ts"));
    expect(agents).toEqual({ desk: { slug: "desk" } });
  });
});

test("an endpoint runs a generated agent by its slug, and gets its output", async () => {
  const sorter = { slug: "sorter" };
  const other = await startTestServer({
    agents: { sorter: { name: "Sorter", output_schema: { type: "object", required: ["product"] } } },
    endpoints: {
      run: defineEndpoint({
        method: "POST",
        mode: "sync",
        input: z.strictObject({}),
        output: z.unknown(),
        handle: async ({ runAgent }) => (await runAgent(sorter, { message: "E-17" })).output(),
      }),
    },
  });
  try {
    other.model.script("sorter", () => say('{"product":"till"}'));
    const caller = createClient({ baseUrl: other.baseUrl, token: other.token });
    expect(await caller.endpoints.call("run", {})).toEqual({ product: "till" });
  } finally {
    await other.stop();
  }
});
