/** T3, I8: a tool that needs approval is called when a person allows it, and not otherwise. */
import type { Event } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, logOf, message, open, openEmpty, seen, sendEvents, typesOf, withoutDeltas } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent } from "./lib/target.ts";

let target: Target;
let writer: TestAgent;

/** Calls `write_file` for each message, and then repeats what the tool said. */
const asking = { tools: [{ name: "write_file", approval: "always" as const }] };
const script: Parameters<Target["agent"]>[0] = ({ toolResults, lastUser }) =>
  toolResults.length === 0
    ? callTool("write_file", { name: `${lastUser}.txt`, content: `about ${lastUser}` })
    : say(String(toolResults[0]));

beforeAll(async () => {
  target = await openTarget();
  writer = await target.agent(script, asking);
});
afterAll(() => target.stop());

/** A thread whose run waits for a decision. */
async function asked(agent: TestAgent, text = "note") {
  const { client } = target;
  const opened = await open(client, agent, text);
  const { data: request } = await seen(client, opened.path, "permission.requested");
  await seen(client, opened.path, "run.waiting");
  return { ...opened, request, id: request.permission_id as string };
}

const decide = (permission_id: string, decision: string, message?: string) => ({
  type: "permission.decision",
  permission_id,
  decision,
  ...(message === undefined ? {} : { message }),
});

const files = async (path: string): Promise<string[]> =>
  ok(await target.client.get(`${path}/files`)).data.map(({ name }: { name: string }) => name);

test("the question tells what is asked, and the run waits without being forgotten", async () => {
  const { client } = target;
  const { path, run, request, id } = await asked(writer);
  expect(request).toMatchObject({ tool: "write_file", input: { name: "note.txt", content: "about note" } });
  expect(Date.parse(request.expires_at)).toBeGreaterThan(Date.now());
  const waiting = ok(await client.get(`/runs/${run.id}`));
  expect(waiting).toMatchObject({ state: "waiting", waiting_for: [{ kind: "permission", id }] });
  expect(ok(await client.get(path)).thread).toMatchObject({ state: "waiting", active_run_id: run.id });
  expect(
    ok(await client.get("/runs", { query: { state: "waiting", thread_id: path.split("/")[2] as string } })).data,
  ).toHaveLength(1);
  expect(await files(path)).toEqual([]);
});

test("allow_once: this call is made, the next one asks again", async () => {
  const { client } = target;
  const { path, run, id } = await asked(writer, "one");
  const { events } = ok(await sendEvents(client, path, [decide(id, "allow_once")]));
  expect(events[0]).toMatchObject({ type: "permission.decision", run: { id: run.id } });
  expect((await ended(client, run)).state).toBe("completed");
  expect(await files(path)).toEqual(["one.txt"]);
  expect(typesOf(withoutDeltas(await logOf(client, path)))).toEqual([
    "user.message",
    "run.queued",
    "run.started",
    "usage.updated",
    "permission.requested",
    "run.waiting",
    "permission.decided",
    "run.resumed",
    "tool.call.started",
    "file.added",
    "tool.call.completed",
    "agent.message",
    "usage.updated",
    "run.completed",
  ]);
  ok(await client.post(`${path}/events`, message("two")));
  const second = await seen(client, path, "permission.requested", ({ data }) => data.permission_id !== id);
  expect(second.data.input).toMatchObject({ name: "two.txt" });
});

test("allow_for_thread: later calls of that tool in this thread are not asked for, in others they are", async () => {
  const { client } = target;
  const { path, run, id } = await asked(writer, "one");
  ok(await client.post(`${path}/events`, decide(id, "allow_for_thread")));
  await ended(client, run);
  const next = ok(await client.post(`${path}/events`, message("two"))).events[0].run;
  expect((await ended(client, next)).state).toBe("completed");
  expect((await files(path)).toSorted()).toEqual(["one.txt", "two.txt"]);
  expect((await logOf(client, path)).filter(({ type }) => type === "permission.requested")).toHaveLength(1);
  const other = await asked(writer, "elsewhere");
  expect(await files(other.path)).toEqual([]);
});

test("deny: the tool is not called, and the model reads why", async () => {
  const { client } = target;
  const { path, run, id } = await asked(writer);
  ok(await client.post(`${path}/events`, decide(id, "deny", "Not on a Sunday.")));
  expect((await ended(client, run)).result.text).toContain("Not on a Sunday.");
  expect(await files(path)).toEqual([]);
  const log = await logOf(client, path);
  const find = <T extends Event["type"]>(type: T) => log.find((event) => event.type === type)?.data;
  expect(find("permission.decided")).toMatchObject({
    decision: "deny",
    message: "Not on a Sunday.",
    permission_id: id,
  });
  expect(find("tool.call.completed")).toMatchObject({ outcome: "denied" });
});

test("a decision and a new message in one batch", async () => {
  const { client } = target;
  const { path, run, id } = await asked(writer, "one");
  const { events } = ok(await sendEvents(client, path, [decide(id, "allow_for_thread"), message("two")]));
  expect(events[1].run.state).toBe("queued");
  await ended(client, run);
  await ended(client, events[1].run);
  expect((await files(path)).toSorted()).toEqual(["one.txt", "two.txt"]);
});

describe("several questions at once", () => {
  test("the run goes on when the last one is answered", async () => {
    const { client } = target;
    const two = await target.agent(
      ({ toolResults }) =>
        toolResults.length === 0
          ? {
              steps: [
                { tool: "write_file", input: { name: "a.txt", content: "a" } },
                { tool: "write_file", input: { name: "b.txt", content: "b" } },
                { tool: "list_files", input: {} },
              ],
            }
          : say(`${toolResults.length} results`),
      { tools: [...asking.tools, { name: "list_files" }] },
    );
    const { path, run } = await open(client, two, "go");
    await seen(client, path, "run.waiting");
    const requests = (await logOf(client, path)).filter((event) => event.type === "permission.requested");
    expect(requests).toHaveLength(2);
    const ids = requests.map(({ data }) => data.permission_id);
    const first = ok(await client.post(`${path}/events`, decide(ids[0] as string, "allow_once"))).events[0];
    expect(first.run).toMatchObject({ state: "waiting", waiting_for: [{ kind: "permission", id: ids[1] }] });
    ok(await client.post(`${path}/events`, decide(ids[1] as string, "deny")));
    expect((await ended(client, run)).result.text).toBe("3 results");
    expect(await files(path)).toEqual(["a.txt"]);
  });
});

describe("refused", () => {
  test("a second decision: one wins", async () => {
    const { client } = target;
    const { path, run, id } = await asked(writer);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        client.post(`${path}/events`, decide(id, i % 2 === 0 ? "allow_once" : "deny")),
      ),
    );
    expect(answers.map(refusal).toSorted()).toEqual(["200 accepted", ...Array(7).fill("409 permission_decided")]);
    await ended(client, run);
    expect(refusal(await client.post(`${path}/events`, decide(id, "deny")))).toBe("409 permission_decided");
    expect((await logOf(client, path)).filter(({ type }) => type === "permission.decided")).toHaveLength(1);
  });

  test("two decisions of one question in one batch", async () => {
    const { client } = target;
    const { path, id } = await asked(writer);
    const before = await logOf(client, path);
    const answer = await sendEvents(client, path, [decide(id, "allow_once"), decide(id, "deny")]);
    expect(refusal(answer)).toBe("409 permission_decided");
    expect(await logOf(client, path)).toEqual(before);
  });

  test("a decision sent to another thread", async () => {
    const { client } = target;
    const { path, id, run } = await asked(writer);
    const other = await openEmpty(client, writer);
    expect(refusal(await client.post(`${other.path}/events`, decide(id, "allow_once")))).toBe("404 not_found");
    expect(ok(await client.get(`/runs/${run.id}`)).state).toBe("waiting");
    expect(await files(path)).toEqual([]);
  });

  test("a decision after the run was canceled", async () => {
    const { client } = target;
    const { path, id, run } = await asked(writer);
    ok(await client.post(`/runs/${run.id}/cancel`), 202);
    expect(refusal(await client.post(`${path}/events`, decide(id, "allow_once")))).toBe("409 permission_expired");
    expect(ok(await client.get(path)).thread.state).toBe("idle");
    expect(typesOf(await logOf(client, path)).slice(-2)).toEqual(["permission.decided", "run.canceled"]);
  });
});

describe("while a run waits", () => {
  test("a message waits behind it, and an interrupt ends it", async () => {
    const { client } = target;
    const { path, run } = await asked(writer, "one");
    const queued = ok(await client.post(`${path}/events`, message("two"))).events[0].run;
    expect(queued.state).toBe("queued");
    ok(await client.post(`${path}/events`, { type: "user.interrupt" }));
    expect((await ended(client, run)).state).toBe("canceled");
    const second = await seen(client, path, "permission.requested", ({ run_id }) => run_id === queued.id);
    ok(await client.post(`${path}/events`, decide(second.data.permission_id, "allow_once")));
    expect((await ended(client, queued)).state).toBe("completed");
    expect(await files(path)).toEqual(["two.txt"]);
  });

  test("publishing a new version changes nothing for it", async () => {
    const { client } = target;
    const own = await target.agent(script, asking);
    const { path, run, id } = await asked(own);
    ok(
      await client.patch(own.path, {
        draft: { name: "No tools", model: { connection: target.connection, id: own.slug } },
      }),
    );
    ok(await client.post(`${own.path}/publish`), 201);
    ok(await client.post(`${path}/events`, decide(id, "allow_once")));
    expect(await ended(client, run)).toMatchObject({ state: "completed", agent_version: 1 });
    expect(await files(path)).toEqual(["note.txt"]);
  });
});

test("a question that nobody answers in time ends the run", async () => {
  const { client } = target;
  const own = await target.agent(script, { ...asking, limits: { permission_timeout_ms: 4000 } });
  const { path, run, id } = await asked(own);
  const failed = await ended(client, run);
  expect(failed).toMatchObject({ state: "failed", error: { code: "permission_expired", retryable: true } });
  expect(refusal(await client.post(`${path}/events`, decide(id, "allow_once")))).toBe("409 permission_expired");
  expect(await files(path)).toEqual([]);
  const log = await logOf(client, path);
  expect(log.find((event) => event.type === "permission.decided")?.data).toMatchObject({ decision: "expired" });
});
