/** `plan` and `apply` as a person or a pipeline runs them, against a real server. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type CallboardClient, createClient } from "@callboard/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestOrganization, type TestServer } from "../../../server/src/testing/server.ts";
import { type Outcome, start } from "../testing/callboard.ts";
import { agentText, projectFolder, put } from "../testing/project.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

type Desk = {
  folder: string;
  client: CallboardClient;
  run(...args: string[]): Promise<Outcome>;
  slugs(): Promise<string[]>;
};

/** A project and an organization of its own. */
async function desk(files: Record<string, string>): Promise<Desk> {
  const organization: TestOrganization = await server.organization();
  const folder = await projectFolder(files);
  const { token } = organization;
  const client = createClient({ baseUrl: server.baseUrl, token });
  const env = { CALLBOARD_URL: server.baseUrl, CALLBOARD_TOKEN: token };
  return {
    folder,
    client,
    run: (...args) => start(args, env, folder).outcome,
    slugs: async () => (await client.agents.list()).data.map(({ slug }) => slug),
  };
}

const greeter = { name: "Greeter", instructions: "Greet the reader.\nBe kind.\nBe short." };

test("plan shows what apply then does, and after that there is nothing to do", async () => {
  const { run, client } = await desk({ "agents/greeter.ts": agentText({ ...greeter, limits: { max_steps: 3 } }) });
  const plan = await run("plan");
  expect(plan).toMatchObject({ code: 4, stderr: "" });
  expect(plan.stdout).toBe(`+ greeter: create, publish
    access_mode  "organization"
    api_access  true
    name  "Greeter"
    instructions
      + Greet the reader.
      + Be kind.
      + Be short.
    limits  {"max_steps":3}

Plan: 1 to create.
`);
  expect(await run("apply")).toMatchObject({
    code: 0,
    stdout: `${plan.stdout}created greeter\npublished greeter: version 1\n`,
  });
  expect(await client.agents.get("greeter")).toMatchObject({ live_version: 1, draft: greeter });
  expect(await run("plan")).toEqual({ code: 0, stdout: "Plan: 1 unchanged.\n", stderr: "" });
  expect(await run("apply")).toEqual({ code: 0, stdout: "Plan: 1 unchanged.\n", stderr: "" });
});

test("a change is shown field by field and long texts line by line", async () => {
  const { run, folder, client } = await desk({ "agents/greeter.ts": agentText(greeter) });
  await run("apply");
  const changed = { ...greeter, instructions: "Greet the reader.\nBe kind.\nBe quick.", description: "Says hello" };
  await put(folder, "agents/greeter.ts", agentText({ ...changed, tools: ["list_files"], access_mode: "invited" }));
  const plan = await run("plan");
  expect(plan).toMatchObject({ code: 4 });
  expect(plan.stdout).toBe(`~ greeter: write the draft, write the settings, publish as version 2
    access_mode  "organization" → "invited"
    description  "" → "Says hello"
    instructions
        Greet the reader.
        Be kind.
      - Be short.
      + Be quick.
    tools
      + {"name":"list_files","approval":"never"}

Plan: 1 to change.
`);
  expect(await run("apply")).toMatchObject({ code: 0 });
  expect(await client.agents.get("greeter")).toMatchObject({ live_version: 2, access_mode: "invited" });
  expect(await run("plan")).toMatchObject({ code: 0 });
});

test("--json gives the plan and what was done as one line", async () => {
  const { run } = await desk({ "agents/greeter.ts": agentText(greeter) });
  const plan = await run("plan", "--json");
  expect(plan.code).toBe(4);
  const agents = [{ slug: "greeter", action: "create", publish: true }];
  expect(JSON.parse(plan.stdout)).toMatchObject({ changed: true, agents, without_file: [] });
  expect(JSON.parse((await run("apply", "--json")).stdout)).toMatchObject({
    changed: true,
    done: [
      { slug: "greeter", did: "created" },
      { slug: "greeter", did: "published", note: "version 1" },
    ],
  });
  expect(JSON.parse((await run("plan", "--json")).stdout)).toEqual({
    changed: false,
    agents: [{ slug: "greeter", action: "none" }],
    without_file: [],
    collections: [],
  });
});

describe("an agent without a file", () => {
  test("stays, and is named", async () => {
    const { run, client, slugs } = await desk({ "agents/greeter.ts": agentText(greeter) });
    await client.agents.create({ slug: "made-elsewhere", draft: { name: "Elsewhere" } });
    const { code, stdout } = await run("apply");
    expect(code).toBe(0);
    expect(stdout).toContain("Without a file, and left alone without --prune: made-elsewhere.\n");
    expect(await slugs()).toEqual(["greeter", "made-elsewhere"]);
  });

  test("is taken away by --prune only when somebody says yes", async () => {
    const { run, client, slugs } = await desk({ "agents/greeter.ts": agentText(greeter) });
    await client.agents.create({ slug: "old", draft: { name: "Old" } });
    const refused = await run("apply", "--prune");
    expect(refused).toMatchObject({
      code: 2,
      stderr: "callboard: expected --yes, because nobody can be asked to take away old\n",
    });
    expect(await slugs()).toEqual(["old"]);
    const { code, stdout } = await run("apply", "--prune", "--yes");
    expect(code).toBe(0);
    expect(stdout).toContain("- old: delete with its versions\n");
    expect(await slugs()).toEqual(["greeter"]);
  });

  test("that has threads is unpublished, and that is the end of it", async () => {
    const { run, client } = await desk({ "agents/greeter.ts": agentText(greeter) });
    await client.agents.create({ slug: "used", draft: { name: "Used" } });
    await client.agents.publish("used");
    await client.threads.create("used", {});
    const { code, stdout } = await run("apply", "--prune", "--yes");
    expect(code).toBe(0);
    expect(stdout).toContain("- used: unpublish; it has threads, so it is not deleted\n");
    expect(await client.agents.get("used")).toMatchObject({ live_version: null });
    expect(await run("plan", "--prune")).toMatchObject({ code: 0 });
  });
});

describe("documents in files", () => {
  const collection = (more: object = {}) => JSON.stringify({ name: "Handbook", language: "english", ...more });
  const project = {
    "agents/greeter.ts": agentText({ name: "Greeter" }),
    "documents/handbook/collection.json": collection({ groups: ["desk"] }),
    "documents/handbook/refunds.md": "# Refunds\n\nTen days.\n",
    "documents/handbook/tills.txt": "Tills.",
  };
  const names = async (client: CallboardClient) =>
    (await client.documents.list("handbook")).data.map(({ name }) => name).sort();

  test("are planned and applied with the agents, and after that there is nothing to do", async () => {
    const { run, client } = await desk(project);
    const plan = await run("plan");
    expect(plan).toMatchObject({ code: 4, stderr: "" });
    expect(plan.stdout).toContain(`+ documents/handbook: create
    name  "Handbook"
    language  "english"
    groups
      + "desk"
    makes the group desk, without members
    + refunds.md  21 bytes
    + tills.txt  6 bytes

Plan: 1 to create.
Documents: 2 to add.
`);
    expect((await client.collections.list()).data).toEqual([]);
    expect(await run("apply")).toMatchObject({
      code: 0,
      stdout: `${plan.stdout}created group desk
created documents/handbook
created documents/handbook/refunds.md
created documents/handbook/tills.txt
created greeter
published greeter: version 1
`,
    });
    expect(await names(client)).toEqual(["refunds.md", "tills.txt"]);
    const [group] = (await client.groups.list()).data;
    expect(await client.collections.getAccess("handbook")).toMatchObject({ organization: false, groups: [group?.id] });
    const again = { code: 0, stdout: "Plan: 1 unchanged.\nDocuments: 2 unchanged.\n", stderr: "" };
    expect(await run("plan")).toEqual(again);
    expect(await run("apply")).toEqual(again);
  });

  test("that changed are replaced, and what was made elsewhere stays until somebody asks", async () => {
    const { run, client, folder } = await desk(project);
    await run("apply");
    await client.documents.add("handbook", { name: "elsewhere.md", text: "Made by hand." });
    const before = (await client.documents.list("handbook")).data.find(({ name }) => name === "refunds.md");
    await put(folder, "documents/handbook/refunds.md", "# Card refunds\n\nFive days.\n");
    await put(folder, "documents/handbook/collection.json", collection({ organization: true }));
    const { stdout } = await run("apply");
    expect(stdout).toContain(`~ documents/handbook
    groups
      - "desk"
    organization  false → true
    ~ refunds.md  21 → 27 bytes, title "Refunds" → "Card refunds"

Plan: 1 unchanged.
Documents: 1 to replace, 1 unchanged.
Without a file, and left alone without --prune-documents: handbook/elsewhere.md.
changed documents/handbook
changed documents/handbook/refunds.md
`);
    expect(await client.documents.get(before?.id ?? "")).toMatchObject({ title: "Card refunds", revision: "2" });
    expect(await run("apply", "--prune-documents")).toMatchObject({
      code: 2,
      stderr: "callboard: expected --yes, because nobody can be asked to take away documents/handbook/elsewhere.md\n",
    });
    expect(await run("apply", "--prune-documents", "--yes")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("deleted documents/handbook/elsewhere.md\n"),
    });
    expect(await names(client)).toEqual(["refunds.md", "tills.txt"]);
  });

  test("are one line of JSON, and left alone with --no-documents", async () => {
    const { run, client } = await desk(project);
    expect(JSON.parse((await run("plan", "--json")).stdout).collections).toEqual([
      {
        slug: "handbook",
        action: "create",
        changes: [],
        creates_groups: ["desk"],
        documents: [
          { name: "refunds.md", action: "add" },
          { name: "tills.txt", action: "add" },
        ],
        without_file: [],
      },
    ]);
    expect(await run("apply", "--no-documents")).toMatchObject({ code: 0 });
    expect((await client.collections.list()).data).toEqual([]);
  });

  test("that nobody can read stop it before anything is written, all by name", async () => {
    const { run, slugs } = await desk({
      ...project,
      "documents/handbook/scan.pdf": "%PDF-1.4 nothing",
      "documents/broken/collection.json": "{",
    });
    const { code, stderr } = await run("apply");
    expect(code).toBe(1);
    expect(stderr).toMatch(/documents could not be loaded:\n.*documents\/broken.*\n.*scan\.pdf/);
    expect(await slugs()).toEqual([]);
  });
});

test("a server that started with a project has nothing to plan for it, documents and all", async () => {
  const project = join(import.meta.dirname, "../../../../examples/support-desk");
  const started = await startTestServer({ env: { CALLBOARD_PROJECT: project } });
  try {
    const env = { CALLBOARD_URL: started.baseUrl, CALLBOARD_TOKEN: started.token };
    const outcome = await start(["plan"], env, project).outcome;
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^Plan: \d+ unchanged\.\nDocuments: 6 unchanged\.\n$/);
  } finally {
    await started.stop();
  }
});

describe("apply refuses", () => {
  test("an agent that the server cannot publish, after the others, and says which were written", async () => {
    const { run } = await desk({
      "agents/good.ts": agentText({ name: "Good" }),
      "agents/a-wrong.ts": agentText({ name: "Wrong", tools: ["not_here"] }),
    });
    const { code, stdout, stderr } = await run("apply");
    expect(code).toBe(1);
    expect(stdout).toContain("created a-wrong\ncreated good\npublished good: version 1\n");
    expect(stderr).toContain("draft_invalid: agent a-wrong: tools[0].name: there is no tool not_here on this server");
    expect((await run("plan")).stdout).toContain("~ a-wrong: publish as version 1\n");
  });

  test("files that cannot be loaded, all by name", async () => {
    const { run, slugs } = await desk({
      "agents/no-name.ts": agentText({ instructions: "Hm." }),
      "agents/Bad_Slug.ts": agentText({ name: "Slug" }),
    });
    const { code, stderr } = await run("apply");
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^callboard: agents could not be loaded:\n {2}.*Bad_Slug\.ts: the file's name: .*\n {2}.*no-name\.ts: name: /,
    );
    expect(await slugs()).toEqual([]);
  });

  test("a folder without agents, which with --prune would mean to take all away", async () => {
    const { run, folder, slugs } = await desk({ "agents/greeter.ts": agentText(greeter) });
    await run("apply");
    await rm(join(folder, "agents/greeter.ts"));
    expect(await run("apply", "--prune", "--yes")).toMatchObject({ code: 2 });
    expect(await slugs()).toEqual(["greeter"]);
  });
});
