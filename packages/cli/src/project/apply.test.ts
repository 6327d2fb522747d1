import { createClient } from "@callboard/client";
import { createAgent } from "@callboard/protocol";
import { planAgents } from "@callboard/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../server/src/testing/server.ts";
import { applyPlans, type Done } from "./apply.ts";
import { findAgents } from "./found.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const file = (slug: string, description: string) => createAgent.parse({ slug, draft: { name: slug, description } });

async function organization() {
  const { token } = await server.organization();
  const client = createClient({ baseUrl: server.baseUrl, token });
  const plan = async (...files: ReturnType<typeof file>[]) =>
    planAgents(files, await findAgents(client), { prune: true });
  return { client, plan };
}

test("what somebody changed after the plan is not written over", async () => {
  const { client, plan } = await organization();
  await applyPlans(client, await plan(file("desk", "one")), () => {});
  const plans = await plan(file("another", ""), file("desk", "two"));
  await client.agents.update("desk", { draft: { name: "desk", description: "by hand" } });
  const done: Done[] = [];
  await expect(applyPlans(client, plans, (one) => done.push(one))).rejects.toMatchObject({
    code: "precondition_failed",
    message: expect.stringContaining("agent desk has changed"),
  });
  expect(done).toEqual([{ slug: "another", did: "created" }]);
  expect((await client.agents.get("desk")).draft.description).toBe("by hand");
});

test("an edit between the write and the publishing is not published", async () => {
  const { client, plan } = await organization();
  const plans = await plan(file("desk", "one"));
  const sabotage = async () => void (await client.agents.update("desk", { draft: { name: "desk" } }));
  let after: Promise<void> | undefined;
  const slow = {
    ...client,
    agents: {
      ...client.agents,
      publish: async (...args: Parameters<typeof client.agents.publish>) => {
        after ??= sabotage();
        await after;
        return client.agents.publish(...args);
      },
    },
  };
  await expect(applyPlans(slow, plans, () => {})).rejects.toMatchObject({ code: "precondition_failed" });
  expect((await client.agents.get("desk")).live_version).toBeNull();
});

test("an agent with threads that nobody could see before is unpublished in the place of deleted", async () => {
  const { client, plan } = await organization();
  await applyPlans(client, await plan(file("desk", "")), () => {});
  await client.threads.create("desk", {});
  const done: Done[] = [];
  await applyPlans(client, await plan(file("other", "")), (one) => done.push(one));
  expect(done.at(-1)).toEqual({ slug: "desk", did: "unpublished", note: "it has threads, so it was not deleted" });
});

test("more agents than one page holds are all found", async () => {
  const { client, plan } = await organization();
  const files = Array.from({ length: 203 }, (_, i) => file(`a-${String(i).padStart(3, "0")}`, ""));
  await Promise.all(files.map((body) => client.agents.create(body)));
  const plans = await plan(...files);
  expect(plans.map(({ action }) => action)).toEqual(files.map(() => "update"));
});
