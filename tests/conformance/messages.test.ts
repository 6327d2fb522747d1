/** T3: messages, interrupts and what happens to them while a run is active. */
import type { Event } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, gate, logOf, message, open, openEmpty, seen, sendEvents, typesOf, withoutDeltas } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(({ lastUser }) => say(`(${lastUser})`));
});
afterAll(() => target.stop());

/** An agent that answers its first request only when told, and a thread where it is at work. */
async function busy() {
  const hold = gate();
  const own = await target.agent(({ index, lastUser }) =>
    index === 0 ? { steps: [{ text: "thinking " }, { until: hold.opened }, { text: "done" }] } : say(`(${lastUser})`),
  );
  const opened = await open(target.client, own, "first");
  await seen(target.client, opened.path, "agent.message.delta");
  return { ...opened, agent: own, release: hold.open };
}

const later = (text: string, mode: string) => ({ ...message(text), on_active_run: mode });
const userTexts = (events: readonly Event[]) =>
  events.flatMap((event) =>
    event.type === "user.message" ? event.data.content.map((part) => "text" in part && part.text) : [],
  );

describe("on an idle thread", () => {
  test.each(["enqueue", "reject", "interrupt", "steer"])("a message with %s starts a run", async (mode) => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const { events, thread } = ok(await client.post(`${path}/events`, later("go", mode)));
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ type: "user.message", seq: 1 });
    expect(thread).toMatchObject({ active_run_id: events[0].run.id, state: "running" });
    expect((await ended(client, events[0].run)).result.text).toBe("(go)");
    const [first] = await logOf(client, path);
    expect(first).toMatchObject({ id: events[0].event_id, seq: 1, run_id: events[0].run.id });
  });

  test("a batch and the short form of one event do the same", async () => {
    const { client } = target;
    for (const body of [
      message("a"),
      { events: [message("a")] },
      { type: "user.message", content: [{ type: "text", text: "a" }] },
    ]) {
      const { path } = await openEmpty(client, agent);
      const { events } = ok(await client.post(`${path}/events`, body));
      await ended(client, events[0].run);
      expect(userTexts(await logOf(client, path))).toEqual(["a"]);
    }
  });

  test("the model reads the conversation in order", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    for (const text of ["one", "two"])
      await ended(client, ok(await client.post(`${path}/events`, message(text))).events[0].run);
    expect(
      agent
        .calls()
        .at(-1)
        ?.messages.map(({ content }) => content),
    ).toEqual(["one", "(one)", "two"]);
  });
});

describe("while a run is active", () => {
  test("enqueue: messages wait and run one after another, in the order sent", async () => {
    const { client } = target;
    const { path, agent: own, run, release } = await busy();
    const queued = [];
    for (const text of ["second", "third", "fourth"]) {
      const { events } = ok(await client.post(`${path}/events`, later(text, "enqueue")));
      expect(events[0].run.state).toBe("queued");
      queued.push(events[0].run);
    }
    release();
    for (const one of [run, ...queued]) expect((await ended(client, one)).state).toBe("completed");
    expect(own.calls().map(({ lastUser }) => lastUser)).toEqual(["first", "second", "third", "fourth"]);
    const log = await logOf(client, path);
    const ends = log.filter(({ type }) => type === "run.completed").map(({ run_id }) => run_id);
    expect(ends).toEqual([run, ...queued].map(({ id }) => id));
    // One at a time: no run starts before the one before it has ended.
    const steps = log.filter(({ type }) => type === "run.started" || type === "run.completed").map(({ type }) => type);
    expect(steps).toEqual(Array.from({ length: 4 }, () => ["run.started", "run.completed"]).flat());
  });

  test("a batch of messages is as many runs", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const { events } = ok(await sendEvents(client, path, [message("a"), message("b"), message("c")]));
    for (const { run } of events) await ended(client, run);
    expect(new Set(events.map(({ run }: { run: { id: string } }) => run.id)).size).toBe(3);
    expect(userTexts(await logOf(client, path))).toEqual(["a", "b", "c"]);
  });

  test("reject: 409, and nothing is written", async () => {
    const { client } = target;
    const { path, run, release, thread } = await busy();
    const before = await logOf(client, path);
    expect(refusal(await client.post(`${path}/events`, later("no", "reject")))).toBe("409 run_active");
    const input = message("no");
    const body = { input, thread_id: thread.id, on_active_run: "reject" };
    expect(refusal(await client.post(`/agents/${thread.agent_id}/runs`, body))).toBe("409 run_active");
    expect(await logOf(client, path)).toEqual(before);
    release();
    await ended(client, run);
    ok(await client.post(`${path}/events`, later("now", "reject")));
  });

  test("interrupt: the active run ends as canceled, the message runs next", async () => {
    const { client } = target;
    const { path, run, agent: own } = await busy();
    const waiting = ok(await client.post(`${path}/events`, later("queued", "enqueue"))).events[0].run;
    const next = ok(await client.post(`${path}/events`, later("instead", "interrupt"))).events[0].run;
    expect(await ended(client, run)).toMatchObject({ state: "canceled", error: { code: "interrupted" } });
    expect(next.trigger).toBe("interrupt");
    await own.calls()[0]?.left;
    expect((await ended(client, waiting)).state).toBe("completed");
    expect((await ended(client, next)).state).toBe("completed");
    const log = await logOf(client, path);
    const after = log.slice(log.findIndex(({ type }) => type === "run.canceled") + 1);
    expect(after.some(({ run_id }) => run_id === run.id)).toBe(false);
  });

  test("steer: the message joins the active run at its next step", async () => {
    const { client } = target;
    const hold = gate();
    const own = await target.agent(
      ({ index, messages }) =>
        index === 0
          ? { steps: [{ text: "…" }, { until: hold.opened }, ...(callTool("list_files").steps ?? [])] }
          : say(`last: ${messages.at(-1).content}`),
      { tools: [{ name: "list_files" }] },
    );
    const { path, run } = await open(client, own, "first");
    await seen(client, path, "agent.message.delta");
    const sent = ok(await client.post(`${path}/events`, later("also this", "steer"))).events[0];
    expect(sent.run.id).toBe(run.id);
    hold.open();
    expect((await ended(client, run)).result.text).toBe("last: also this");
    expect(own.calls()).toHaveLength(2);
    const { steps } = ok(await client.get(`/runs/${run.id}/transcript`));
    expect(steps[1].joined).toEqual([{ content: [{ type: "text", text: "also this" }] }]);
    expect((await logOf(client, path)).filter(({ type }) => type === "run.queued")).toHaveLength(1);
  });

  test("steer: a message that comes during the last answer is answered by the same run", async () => {
    const { client } = target;
    const { path, run, agent: own, release } = await busy();
    for (const text of ["wait", "one more"]) ok(await client.post(`${path}/events`, later(text, "steer")));
    release();
    expect((await ended(client, run)).result.text).toBe("(one more)");
    expect(own.calls()[1]?.messages.map(({ content }) => content)).toEqual([
      "first",
      "thinking done",
      "wait",
      "one more",
    ]);
    expect(withoutDeltas(await logOf(client, path)).filter(({ type }) => type === "agent.message")).toHaveLength(2);
  });
});

describe("interrupt", () => {
  test("stops the active run; what waits behind it goes on", async () => {
    const { client } = target;
    const { path, run, agent: own } = await busy();
    const waiting = ok(await client.post(`${path}/events`, message("next"))).events[0].run;
    const { events, thread } = ok(await client.post(`${path}/events`, { type: "user.interrupt" }));
    expect(events[0]).toMatchObject({ type: "user.interrupt", run: { id: run.id, state: "canceled" } });
    expect(thread.active_run_id).not.toBe(run.id);
    await own.calls()[0]?.left;
    expect((await ended(client, waiting)).state).toBe("completed");
    expect(typesOf(await logOf(client, path)).filter((type) => type === "run.canceled")).toHaveLength(1);
  });

  test("and a new message in one batch", async () => {
    const { client } = target;
    const { path, run } = await busy();
    const { events } = ok(
      await sendEvents(client, path, [{ type: "user.interrupt", run_id: run.id }, message("instead")]),
    );
    expect((await ended(client, run)).state).toBe("canceled");
    expect((await ended(client, events[1].run)).result.text).toBe("(instead)");
  });

  test("a message and its interrupt in one batch: nothing is asked of the model", async () => {
    const { client } = target;
    const own = await target.agent(() => say("never"));
    const { path } = await openEmpty(client, own);
    const { events } = ok(await sendEvents(client, path, [message("oops"), { type: "user.interrupt" }]));
    expect((await ended(client, events[0].run)).state).toBe("canceled");
    const next = ok(await client.post(`${path}/events`, message("now"))).events[0].run;
    expect((await ended(client, next)).state).toBe("completed");
    expect(own.calls().map(({ lastUser }) => lastUser)).toEqual(["now"]);
  });

  test("without an active run, or of another run, is refused", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    expect(refusal(await client.post(`${path}/events`, { type: "user.interrupt" }))).toBe("409 no_active_run");
    const { path: other, run, release } = await busy();
    const wrong = { type: "user.interrupt", run_id: "run_01h455vb4pex5vsknk084sn02q" };
    expect(refusal(await client.post(`${other}/events`, wrong))).toBe("409 no_active_run");
    release();
    expect((await ended(client, run)).state).toBe("completed");
    expect(refusal(await client.post(`${other}/events`, { type: "user.interrupt", run_id: run.id }))).toBe(
      "409 no_active_run",
    );
  });
});

test("many senders at once: every message is in the log once, and each has its run", async () => {
  const { client } = target;
  const { path } = await openEmpty(client, agent);
  const texts = Array.from({ length: 20 }, () => unique("m"));
  const answers = await Promise.all(texts.map((text) => client.post(`${path}/events`, message(text))));
  for (const answer of answers) await ended(client, ok(answer).events[0].run);
  const log = await logOf(client, path);
  expect(userTexts(log).toSorted()).toEqual(texts.toSorted());
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1));
});
