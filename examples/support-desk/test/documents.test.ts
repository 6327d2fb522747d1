/** Two people of two teams ask the same agent the same question, on a real server. */
import { join } from "node:path";
import { createClient } from "@callboard/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, say } from "../../../packages/server/src/testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../../packages/server/src/testing/server.ts";

let server: TestServer;
let people: Record<"payments" | "devices" | "nobody", string>;

beforeAll(async () => {
  server = await startTestServer({ env: { CALLBOARD_PROJECT: join(import.meta.dirname, "..") } });
  const owner = createClient({ baseUrl: server.baseUrl, token: server.token });
  const { data: groups } = await owner.groups.list();
  const inGroup = async (slug: string) => {
    const { userId, token } = await server.person("member");
    const group = groups.find((one) => one.slug === slug);
    await owner.groups.update(group?.id ?? "", { user_ids: [userId] });
    return token;
  };
  people = {
    payments: await inGroup("payments"),
    devices: await inGroup("devices"),
    nobody: (await server.person("member")).token,
  };
  // The scripted model searches for what it is asked and says what it finds.
  server.model.script("echo", ({ lastUser, toolResults }) =>
    toolResults.length === 0 ? callTool("documents_search", { query: lastUser }) : say(toolResults.join()),
  );
});
afterAll(() => server.stop());

async function ask(token: string, text: string): Promise<string[]> {
  const client = createClient({ baseUrl: server.baseUrl, token });
  const { run } = await client.threads.run("team-runbooks", { text });
  expect(run.state).toBe("completed");
  const hits = JSON.parse(run.result?.text ?? "[]") as Array<{ citation: { title: string; passage: number } }>;
  return hits.map(({ citation }) => citation.title);
}

describe("the reader shows E-17", () => {
  const question = "reader shows E-17";

  test("the payments team is told what it checks", async () => {
    expect(new Set(await ask(people.payments, question))).toEqual(
      new Set(["Reader shows E-17: what the payments team checks"]),
    );
  });

  test("the devices team is told what it checks", async () => {
    expect(new Set(await ask(people.devices, question))).toEqual(
      new Set(["Reader shows E-17: what the devices team checks"]),
    );
  });

  test("somebody of no team is told nothing", async () => {
    expect(await ask(people.nobody, question)).toEqual([]);
  });
});
