import type { Event } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createClient } from "./client.ts";
import { followEvents } from "./follow.ts";
import { completed, delta } from "./testing/events.ts";
import { frame, type Script, scriptedServer, sendJson, sendRefusal } from "./testing/scripted-server.ts";
import { createTransport } from "./transport.ts";

const log = [
  delta(1, "Grüß"),
  delta(2, " 🙂\r\n"),
  delta(5, "3 and 4 are gone"),
  delta(6, "data: x\n\n"),
  completed(7),
];

async function collect(events: AsyncIterable<Event>): Promise<Event[]> {
  const got: Event[] = [];
  for await (const event of events) got.push(event);
  return got;
}

describe("a log whose connection is cut at any byte, again and again", () => {
  const cut = fc.record({ at: fc.nat(900), breaks: fc.boolean(), repeats: fc.nat(2) });

  /** One connection: what follows the cursor, `repeats` events too many, of which `at` bytes arrive. */
  function serve(lastSeq: number, { at, breaks, repeats }: { at: number; breaks: boolean; repeats: number }): Response {
    const from = Math.max(0, log.findIndex((event) => event.seq > lastSeq) - repeats);
    const encoder = new TextEncoder();
    const frames = encoder.encode(log.slice(from).map(frame).join(": beat\n\n"));
    const pieces = [encoder.encode("retry: 0\n\n"), frames.slice(0, at)];
    const body = new ReadableStream<Uint8Array>({
      pull(out) {
        const piece = pieces.shift();
        if (piece) out.enqueue(piece);
        else if (breaks) out.error(new TypeError("terminated"));
        else out.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  test("comes out whole, once and in order", async () => {
    const property = fc.asyncProperty(fc.array(cut, { maxLength: 12 }), fc.nat(4), async (cuts, afterSeq) => {
      const asked: number[] = [];
      const fetch = async (_: unknown, init?: RequestInit) => {
        asked.push(Number(new Headers(init?.headers).get("last-event-id")));
        const whole = { at: Number.MAX_SAFE_INTEGER, breaks: false, repeats: 0 };
        return serve(asked.at(-1) as number, cuts[asked.length - 1] ?? whole);
      };
      const transport = createTransport({ baseUrl: "http://callboard.test", fetch });
      const got = await collect(followEvents(transport, "thread_1", { afterSeq, until: "run-end" }));
      expect(got).toEqual(log.filter((event) => event.seq > afterSeq));
      expect(asked[0]).toBe(afterSeq);
      expect(asked).toEqual(asked.toSorted((a, b) => a - b));
    });
    await fc.assert(property, { numRuns: 60 });
  });
});

describe("over a real connection", () => {
  const stream = (response: Parameters<Script>[1]) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("retry: 1\n\n");
    return response;
  };
  const client = (url: string) => createClient({ baseUrl: url, token: "cbp_secret" });

  test("a disconnect and a server that is away for a while are not noticed", async () => {
    const server = await scriptedServer(({ headers }, response, index) => {
      if (index === 1) return sendRefusal(response, 503, "unavailable", { "retry-after": "0" });
      if (index === 2) return void response.destroy();
      const events = log.filter((event) => event.seq > Number(headers["last-event-id"]));
      stream(response).write(events.slice(0, 2).map(frame).join(""));
      setTimeout(() => response.destroy(), 20);
    });
    expect(await collect(client(server.url).events.follow("thread_1", { until: "run-end" }))).toEqual(log);
    expect(server.seen[0]).toMatchObject({
      url: "/api/v1/threads/thread_1/events/stream?after_seq=0",
      headers: { "last-event-id": "0", accept: "text/event-stream", authorization: "Bearer cbp_secret" },
    });
    expect(server.seen.at(-1)?.url).toBe("/api/v1/threads/thread_1/events/stream?after_seq=6");
  });

  test.each([
    [401, "unauthenticated"],
    [403, "forbidden"],
    [404, "not_found"],
  ])("a %i ends the loop, at once and after a disconnect", async (status, code) => {
    const server = await scriptedServer((_, response, index) => {
      if (index === 1) stream(response).end(frame(delta(1, "a")));
      else sendRefusal(response, status, code);
    });
    await expect(collect(client(server.url).events.follow("thread_1"))).rejects.toMatchObject({ status, code });
    expect(server.seen).toHaveLength(1);
    await expect(collect(client(server.url).events.follow("thread_1"))).rejects.toMatchObject({ status, code });
    expect(server.seen).toHaveLength(3);
  });

  test("a first connection that fails for good is an error, not an endless wait", async () => {
    const server = await scriptedServer((_, response) => void response.destroy());
    const follow = createClient({ baseUrl: server.url, retries: 1 }).events.follow("thread_1");
    await expect(collect(follow)).rejects.toMatchObject({ name: "CallboardConnectionError" });
    expect(server.seen).toHaveLength(2);
  });

  test("an answer that is no event stream is an error", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, {}));
    const follow = client(server.url).events.follow("thread_1");
    await expect(collect(follow)).rejects.toMatchObject({ code: "unexpected_answer" });
  });

  test("an aborted signal ends the loop with its reason and closes the connection", async () => {
    const stop = new AbortController();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const server = await scriptedServer((_, response) => {
      stream(response).write(frame(delta(1, "a")));
      response.on("close", resolve);
    });
    const got: Event[] = [];
    const loop = (async () => {
      for await (const event of client(server.url).events.follow("thread_1", { signal: stop.signal })) {
        got.push(event);
        stop.abort(new Error("enough"));
      }
    })();
    await expect(loop).rejects.toThrow("enough");
    expect(got).toEqual([delta(1, "a")]);
    await closed;
  });

  test("leaving the loop closes the connection", async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const server = await scriptedServer((_, response) => {
      stream(response).write(frame(delta(1, "a")));
      response.on("close", resolve);
    });
    for await (const event of client(server.url).events.follow("thread_1")) {
      expect(event).toEqual(delta(1, "a"));
      break;
    }
    await closed;
  });

  test("a silent connection is left for a new one; heartbeats keep it", async () => {
    const server = await scriptedServer((_, response, index) => {
      stream(response);
      if (index === 0) return; // not even a heartbeat
      const beat = setInterval(() => response.write(": heartbeat\n\n"), 20);
      setTimeout(() => {
        clearInterval(beat);
        response.end(frame(completed(1)));
      }, 3500);
    });
    const follow = followEvents(
      createTransport({ baseUrl: server.url }),
      "thread_1",
      { until: "run-end" },
      { silenceMs: 2500 },
    );
    expect(await collect(follow)).toEqual([completed(1)]);
    expect(server.seen).toHaveLength(2);
  });
});

describe("until", () => {
  const events = [delta(1, "a"), completed(2, "run_1"), delta(3, "b", "run_2"), completed(4, "run_2"), delta(5, "c")];
  const seqs = async (options: Parameters<typeof followEvents>[2]) => {
    const fetch = async () =>
      new Response(`data: no id, no event\n\n${events.map(frame).join("")}`, {
        headers: { "content-type": "text/event-stream" },
      });
    const got = await collect(followEvents(createTransport({ baseUrl: "http://callboard.test", fetch }), "t", options));
    return got.map((event) => event.seq);
  };

  test("run-end yields up to the next end of a run", async () => {
    expect(await seqs({ until: "run-end" })).toEqual([1, 2]);
    expect(await seqs({ until: "run-end", afterSeq: 2 })).toEqual([3, 4]);
  });

  test("a run's id yields up to the end of that run", async () => {
    expect(await seqs({ until: "run_2" })).toEqual([1, 2, 3, 4]);
  });

  test("a function yields up to the first event it accepts", async () => {
    expect(await seqs({ until: (event) => event.seq === 3 })).toEqual([1, 2, 3]);
  });
});

describe("the events of a job", () => {
  const at = "2026-01-31T09:30:00.000Z";
  const event = (seq: number, type: string, data: object) => ({ seq, job_id: "job_1", type, data, created_at: at });
  const events = [
    event(1, "job.started", { attempt: 1 }),
    event(2, "job.status", { text: "reading" }),
    event(3, "job.completed", { result: 7 }),
  ];

  test("come once each, also over a connection that breaks, and end with the job", async () => {
    const server = await scriptedServer(({ headers }, response) => {
      const next = events.find(({ seq }) => seq > Number(headers["last-event-id"]));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("retry: 1\n\n");
      response.end(frame(next as (typeof events)[number]));
    });
    const got = [];
    for await (const one of createClient({ baseUrl: server.url }).jobs.follow("job_1")) got.push(one);
    expect(got).toEqual(events);
    expect(server.seen.map(({ url }) => url)).toEqual(
      [0, 1, 2].map((seq) => `/api/v1/jobs/job_1/stream?after_seq=${seq}`),
    );
  });

  test("are none for a reader that has the last one", async () => {
    const server = await scriptedServer((_, response) => void response.writeHead(204).end());
    for await (const one of createClient({ baseUrl: server.url }).jobs.follow("job_1", { afterSeq: 3 })) {
      throw new Error(`unexpected ${one.type}`);
    }
    expect(server.seen).toHaveLength(1);
  });
});
