/** T4: the log as a stream carries the same bytes as the list, and can be resumed anywhere. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import type { SseFrame } from "../../packages/server/src/testing/sse-reader.ts";
import { ended, gate, message, open, openEmpty } from "./lib/talk.ts";
import { ok, openTarget, type Target, type TestAgent } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  // A first delta, later ones, a tool call and a second step: every kind of event a run writes.
  agent = await target.agent(
    ({ index }) =>
      index % 2 === 0
        ? {
            steps: [
              { thinking: "hm" },
              { text: "Let me " },
              { delayMs: 60 },
              { text: "look." },
              ...(callTool("list_files").steps ?? []),
            ],
          }
        : {
            steps: [
              { text: "Nothing\n\nhere: " },
              { delayMs: 60 },
              { text: "“…”\u2028 " },
              { delayMs: 60 },
              { text: "{}" },
            ],
          },
    { tools: [{ name: "list_files" }] },
  );
});
afterAll(() => target.stop());

const isEnd = ({ event }: SseFrame) => event === "run.completed";

/** The raw text of each event in the list. */
async function listed(path: string, query: Record<string, number> = {}): Promise<string[]> {
  const { text } = await target.client.get(`${path}/events`, { query: { limit: 1000, ...query } });
  const data = text.slice(text.indexOf("[") + 1, text.lastIndexOf("]"));
  return data === "" ? [] : data.split(/(?<=\}),(?=\{"seq":)/);
}

test("a follower sees live what a later reader sees: same numbers, names and bytes", async () => {
  const { client } = target;
  const { path } = await open(client, agent, "look");
  const live = await client.stream(`${path}/events/stream`);
  const frames = await live.until(isEnd);
  live.close();
  const later = await client.stream(`${path}/events/stream`);
  expect(await later.until(isEnd)).toEqual(frames);
  later.close();
  expect(frames.map(({ data }) => data)).toEqual(await listed(path));
  frames.forEach(({ id, event, data }, i) => {
    const parsed = JSON.parse(data);
    target.contract.fits("Event", parsed);
    expect({ id, event }).toEqual({ id: String(i + 1), event: parsed.type });
    expect(parsed.seq).toBe(i + 1);
  });
  expect(frames.map(({ event }) => event)).toContain("agent.thinking");
});

test("a reader resumes after every number, by Last-Event-ID and by after_seq", async () => {
  const { client } = target;
  const { path, run } = await open(client, agent, "look");
  await ended(client, run);
  const all = await listed(path);
  for (let seq = 0; seq < all.length; seq++) {
    for (const sending of [{ headers: { "last-event-id": String(seq) } }, { query: { after_seq: seq } }]) {
      const stream = await client.stream(`${path}/events/stream`, sending);
      expect((await stream.until(isEnd)).map(({ data }) => data)).toEqual(all.slice(seq));
      stream.close();
    }
    expect(await listed(path, { after_seq: seq })).toEqual(all.slice(seq));
  }
});

test("Last-Event-ID wins over after_seq: a client that reconnects sends its first address again", async () => {
  const { client } = target;
  const { path, run } = await open(client, agent, "look");
  await ended(client, run);
  const stream = await client.stream(`${path}/events/stream`, {
    headers: { "last-event-id": "3" },
    query: { after_seq: 0 },
  });
  expect((await stream.next())?.id).toBe("4");
  stream.close();
});

test("readers who come and go while the run is under way miss nothing", async () => {
  const { client } = target;
  const hold = [gate(), gate(), gate()];
  const own = await target.agent(() => ({
    steps: hold.flatMap((one, i) => [{ text: `part ${i} ` }, { until: one.opened }]),
  }));
  const { path, run } = await open(client, own, "go");
  const frames: SseFrame[] = [];
  for (const one of hold) {
    const stream = await client.stream(`${path}/events/stream`, { query: { after_seq: frames.length } });
    frames.push(...(await stream.until(({ event }) => event === "agent.message.delta")));
    stream.close(); // what comes now is missed by nobody who asks again
    one.open();
  }
  await ended(client, run);
  const last = await client.stream(`${path}/events/stream`, { query: { after_seq: frames.length } });
  frames.push(...(await last.until(isEnd)));
  last.close();
  expect(frames.map(({ data }) => data)).toEqual(await listed(path));
});

test("the deltas of a message add up to the message", async () => {
  const { client } = target;
  const { path, run } = await open(client, agent, "look");
  await ended(client, run);
  const events = (await listed(path)).map((text) => JSON.parse(text));
  const finals = events.filter(({ type }) => type === "agent.message");
  expect(finals).toHaveLength(2);
  for (const { data } of finals) {
    const deltas = events.filter((e) => e.type === "agent.message.delta" && e.data.message_id === data.message_id);
    expect(deltas.map((e) => e.data.text).join("")).toBe(data.text);
  }
});

test("a stream stays open after a run and shows the next one", async () => {
  const { client } = target;
  const own = await target.agent(() => say("ok"));
  const { path } = await openEmpty(client, own);
  const stream = await client.stream(`${path}/events/stream`);
  for (let i = 0; i < 3; i++) {
    ok(await client.post(`${path}/events`, message(`number ${i}`)));
    const frames = await stream.until(isEnd);
    expect(JSON.parse(frames[0]?.data ?? "").data.content[0].text).toBe(`number ${i}`);
  }
  stream.close();
});

test("many readers of one thread see the same", async () => {
  const { client } = target;
  const { path } = await open(client, agent, "look");
  const streams = await Promise.all(Array.from({ length: 12 }, () => client.stream(`${path}/events/stream`)));
  const read = await Promise.all(streams.map((stream) => stream.until(isEnd)));
  for (const stream of streams) stream.close();
  for (const frames of read) expect(frames).toEqual(read[0]);
});

describe("until a run", () => {
  test("a stream ends after the run's last event, and not before", async () => {
    const { client } = target;
    const own = await target.agent(({ lastUser }) => say(lastUser));
    const { path } = await openEmpty(client, own);
    const [one, two] = ok(await client.post(`${path}/events`, { events: [message("a"), message("b")] })).events;
    const read: SseFrame[] = [];
    const stream = await client.stream(`${path}/events/stream`, { query: { until_run: two.run.id } });
    for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) read.push(frame);
    const ends = read.filter(isEnd).map(({ data }) => JSON.parse(data).run_id);
    expect(ends).toEqual([one.run.id, two.run.id]);
    expect(read.map(({ data }) => data)).toEqual(await listed(path));
  });

  test("an id that is none is refused", async () => {
    const { path } = await openEmpty(target.client, agent);
    expect((await target.client.get(`${path}/events/stream`, { query: { until_run: "x" } })).status).toBe(422);
  });
});

describe("headers", () => {
  test("a stream says what it is, is not cached, and tells when to come back", async () => {
    const { client } = target;
    const { thread } = await openEmpty(client, agent);
    const abort = new AbortController();
    const response = await client.raw("GET", `/threads/${thread.id}/events/stream`, { signal: abort.signal });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(response.headers.get("cache-control")).toContain("no-cache");
    const chunk = await response.body?.getReader().read();
    expect(new TextDecoder().decode(chunk?.value)).toMatch(/^retry: \d+\n\n/);
    abort.abort();
  });

  test("a Last-Event-ID that is no number starts at the beginning", async () => {
    const { client } = target;
    const { path, run } = await open(client, agent, "look");
    await ended(client, run);
    const stream = await client.stream(`${path}/events/stream`, { headers: { "last-event-id": "abc" } });
    expect((await stream.next())?.id).toBe("1");
    stream.close();
  });
});

describe("until_run", () => {
  test("the stream ends with the run, and at once when the reader has its end already", async () => {
    const { client } = target;
    const { path, run } = await open(client, agent, "look");
    const live = await client.stream(`${path}/events/stream?until_run=${run.id}`);
    const frames = await live.until(isEnd);
    expect(await live.next()).toBeUndefined();

    const half = frames.length >> 1;
    const rest = await client.stream(`${path}/events/stream?until_run=${run.id}&after_seq=${half}`);
    expect(await rest.until(isEnd)).toEqual(frames.slice(half));
    expect(await rest.next()).toBeUndefined();

    const nothing = await client.stream(`${path}/events/stream?until_run=${run.id}&after_seq=${frames.length}`);
    expect(await nothing.next()).toBeUndefined();
  });

  test("a run of another thread is not found", async () => {
    const { client } = target;
    const first = await open(client, agent, "look");
    const second = await openEmpty(client, agent);
    await ended(client, first.run);
    const answer = await client.get(`${second.path}/events/stream?until_run=${first.run.id}`);
    expect(answer.status).toBe(404);
  });
});

describe("list", () => {
  test("pages follow one another by cursor and by after_seq, and know the last number", async () => {
    const { client } = target;
    const { path, run } = await open(client, agent, "look");
    await ended(client, run);
    const all = await listed(path);
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await client.get(`${path}/events`, { query: { limit: 4, ...(cursor === null ? {} : { cursor }) } });
      const { data, last_seq, next_cursor } = ok(page);
      expect(last_seq).toBe(all.length);
      expect(data.length).toBeLessThanOrEqual(4);
      found.push(...data.map((event: unknown) => JSON.stringify(event)));
      cursor = next_cursor;
    } while (cursor !== null);
    expect(found).toEqual(all);
    expect(ok(await client.get(`${path}/events`, { query: { after_seq: all.length } })).data).toEqual([]);
    expect(ok(await client.get(`${path}/events`, { query: { after_seq: 999_999 } })).data).toEqual([]);
  });

  test("types choose", async () => {
    const { client } = target;
    const { path, run } = await open(client, agent, "look");
    await ended(client, run);
    const types = ["user.message", "run.completed"];
    const { data } = ok(await client.get(`${path}/events`, { query: { types: types.join(",") } }));
    expect(data.map(({ type }: { type: string }) => type)).toEqual(types);
    expect((await client.get(`${path}/events`, { query: { types: "nonsense" } })).status).toBe(422);
  });
});
