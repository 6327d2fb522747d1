/** Processes that come and go in order, and requests that are sent more than once. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Event } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { isFull, LONG, size } from "./harness/form.ts";
import { problemsOf, resumptions } from "./harness/log.ts";
import { drip, dripWords, type Script, WORK_ANSWER, work } from "./harness/model.ts";
import { Reader } from "./harness/reader.ts";
import type { ServerProcess } from "./harness/server-process.ts";

const RUNS = size(20, 200);
const WORDS = 40;

const asks: Script = async (ask, reply) => {
  if (ask.round === 0) reply.calls([{ tool: "send", input: { key: "asked" } }]);
  else await reply.text(["Sent."]);
};

let fleet: Fleet;
/** The words of `drip` stop in the middle until this happens. */
const goOn = Promise.withResolvers<void>();

beforeAll(async () => {
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({
    scripts: { drip: drip(WORDS, 50, () => goOn.promise), work, asks },
    agents: { drip: {}, work: { tools }, asks: { tools: [{ name: "send", approval: "always" }] } },
  });
});
afterAll(() => fleet?.end());

describe("SIGTERM", () => {
  test("hands runs over at once, ends streams that go on elsewhere, and exits with 0", LONG, async () => {
    const [leaving, staying] = [fleet.server(0), fleet.server(1)];
    const dripping = await Promise.all(Array.from({ length: RUNS }, () => fleet.startRun("drip", leaving)));
    const working = await Promise.all(Array.from({ length: RUNS }, () => fleet.startRun("work", leaving)));
    const first = dripping[0] as { threadId: string };
    const reader = new Reader(first.threadId, fleet.api.token);
    const over = reader.follow(leaving.url);
    while (!reader.has("agent.message.delta")) await sleep(20);

    leaving.send("SIGTERM");
    expect(await over).toBe("ended");
    const again = reader.follow(staying.url);
    expect(await leaving.ended).toEqual({ code: 0, signal: null });
    goOn.resolve();

    const all = [...dripping, ...working];
    const runs = await fleet.api.ended(all.map(({ runId }) => runId));
    expect(runs.map((run) => run.error ?? run.result?.text)).toEqual([
      ...dripping.map(() => dripWords(WORDS).join("")),
      ...working.map(() => WORK_ANSWER),
    ]);
    const reasons = new Set<string>();
    for (const { threadId } of all) {
      const { events } = await fleet.api.log(threadId);
      expect(problemsOf(events), threadId).toEqual([]);
      for (const reason of resumptions(events)) reasons.add(reason);
    }
    // Nobody waited for a lease to run out; a machine that stands still for seconds ends one by itself.
    if (isFull) expect([...reasons]).toEqual(["handed_over"]);
    else expect([...reasons]).toContain("handed_over");
    const log = await fleet.api.log(first.threadId);
    while (reader.events.length < log.events.length) await sleep(20);
    reader.cut();
    await again;
    expect(reader.events.join(",")).toBe(log.text);
    const sent = (await fleet.ledger()).filter(({ tool }) => tool === "send").map((entry) => entry.call_id);
    expect(new Set(sent).size).toBe(sent.length);
    expect(fleet.model.problems).toEqual([]);
    await leaving.start();
  });
});

describe("one idempotency key sent twenty times at once to two processes", () => {
  const twenty = async (path: string, body: unknown) => {
    const headers = { "idempotency-key": `key-${Math.random()}` };
    const ask = async (server: ServerProcess) => {
      for (;;) {
        const answer = await fleet.api.request(server, "POST", path, body, headers);
        // The first one is still being written: it is to be asked again, as the answer says.
        if (!answer.text.includes("idempotency_in_progress")) return answer;
        await sleep(Number(answer.headers.get("retry-after")) * 1000);
      }
    };
    return Promise.all(Array.from({ length: 20 }, (_, i) => ask(fleet.server(i % 2))));
  };

  test("opens one thread with one run and is answered alike", LONG, async () => {
    const agent = await fleet.api.send<{ id: string }>("GET", "/agents/work");
    const path = `/agents/${agent.id}/threads`;
    const body = { input: { type: "user.message", text: "Once." }, client_external_ref: "once" };
    const answers = await twenty(path, body);
    expect([...new Set(answers.map(({ status, text }) => `${status} ${text}`))]).toEqual([
      expect.stringMatching(/^20/),
    ]);
    expect(answers[0]?.status).toBe(201);
    expect(answers.filter(({ headers }) => headers.get("idempotency-replayed") !== "true")).toHaveLength(1);
    const { data } = await fleet.api.send<{ data: unknown[] }>("GET", `${path}?client_external_ref=once`);
    expect(data).toHaveLength(1);
    const { thread, run } = JSON.parse(answers[0]?.text ?? "");
    await fleet.api.ended([run.id]);
    const { events } = await fleet.api.log(thread.id);
    expect(problemsOf(events)).toEqual([]);
    expect(events.filter((event) => event.type === "run.started")).toHaveLength(1);
  });

  test("adds one message to a thread and is answered alike", LONG, async () => {
    const { threadId, runId } = await fleet.startRun("work");
    await fleet.api.ended([runId]);
    const answers = await twenty(`/threads/${threadId}/events`, { type: "user.message", text: "Once more." });
    expect([...new Set(answers.map(({ status, text }) => `${status} ${text}`))]).toEqual([
      expect.stringMatching(/^20/),
    ]);
    const sent = JSON.parse(answers[0]?.text ?? "").events;
    await fleet.api.ended([sent[0].run.id]);
    const { events } = await fleet.api.log(threadId);
    expect(problemsOf(events)).toEqual([]);
    expect(events.filter((event) => event.type === "user.message")).toHaveLength(2);
  });
});

test("what a person is asked is still asked after every process was killed and started again", LONG, async () => {
  const { threadId, runId } = await fleet.startRun("asks");
  const question = async () => {
    for (;;) {
      const found = (await fleet.api.log(threadId)).events.find((event) => event.type === "permission.requested");
      if (found !== undefined) return found as Event & { type: "permission.requested" };
      await sleep(50);
    }
  };
  const { permission_id, call_id } = (await question()).data;
  await Promise.all(fleet.servers.map((server) => server.kill()));
  await Promise.all(fleet.servers.map((server) => server.start()));
  expect(await fleet.api.send<object>("GET", `/runs/${runId}`)).toMatchObject({
    state: "waiting",
    waiting_for: [{ kind: "permission", id: permission_id }],
  });

  const decision = { type: "permission.decision", permission_id, decision: "allow_once" };
  await fleet.api.send("POST", `/threads/${threadId}/events`, decision, fleet.server(1));
  const [run] = await fleet.api.ended([runId]);
  expect(run?.result?.text).toBe("Sent.");
  const { events } = await fleet.api.log(threadId);
  expect(problemsOf(events)).toEqual([]);
  expect(resumptions(events)).toEqual(["answered"]);
  expect((await fleet.ledger()).filter((entry) => entry.key === "asked")).toMatchObject([{ call_id }]);
});
