/** Following a log: cut at any byte, on any process, no reader misses an event; and one that never reads is cheap. */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { between, isFull, LONG, pick, seed, size, tell } from "./harness/form.ts";
import { problemsOf } from "./harness/log.ts";
import { drip, dripWords, type Script } from "./harness/model.ts";
import { Reader } from "./harness/reader.ts";
import type { ServerProcess } from "./harness/server-process.ts";

const READERS = size(100, 1000);
const WORDS = size(80, 400);
const MEAN_CUT_MS = size(500, 4000);

const silent: Script = (_, reply) => reply.head();
let fleet: Fleet;

beforeAll(async () => {
  const agents = { drip: {}, silent: {} };
  const env = { CALLBOARD_MODEL_IDLE_MS: "600000" };
  fleet = await Fleet.start({ scripts: { drip: drip(WORDS, 60), silent }, agents, env });
});
afterAll(() => fleet?.end());

test(`${READERS} readers cut at random have the same bytes as the list (seed ${seed})`, LONG, async () => {
  const threads = await Promise.all([0, 1, 2, 3].map((i) => fleet.startRun("drip", fleet.server(i % 2))));
  const readers = Array.from({ length: READERS }, (_, i) => {
    const { threadId } = threads[i % threads.length] as { threadId: string };
    return { threadId, reader: new Reader(threadId, fleet.api.token) };
  });
  await Promise.all(readers.map(({ reader }) => readToEnd(reader)));

  for (const { threadId } of threads) {
    const log = await fleet.api.log(threadId);
    expect(problemsOf(log.events)).toEqual([]);
    for (const own of readers.filter((one) => one.threadId === threadId)) {
      // Compared as texts first: a list of a hundred events is no readable difference.
      if (own.reader.events.join(",") === log.text) continue;
      expect(own.reader.events.map((data) => JSON.parse(data).seq)).toEqual(log.events.map((event) => event.seq));
      expect(own.reader.events.join(",")).toBe(log.text);
    }
  }
  const connections = readers.reduce((sum, { reader }) => sum + reader.connections, 0);
  tell({ readers: READERS, connections });
  expect(connections).toBeGreaterThan(READERS * 2);
});

/** Follows at one process after another, cut after a random time, until the run has ended. */
async function readToEnd(reader: Reader): Promise<void> {
  while (!reader.has("run.completed")) {
    const over = reader.follow(pick(fleet.servers).url);
    // Later and later: on a slow machine too, some connection lasts until its first event.
    const patienceMs = MEAN_CUT_MS * (1 + reader.connections / 20);
    const timer = setTimeout(() => reader.cut(), between(0, 2 * patienceMs));
    const look = setInterval(() => reader.has("run.completed") && reader.cut(), 100);
    await over;
    clearTimeout(timer);
    clearInterval(look);
  }
}

test("a reader comes back to a process that was started anew", LONG, async () => {
  const { threadId } = await fleet.startRun("drip", fleet.server(1));
  const reader = new Reader(threadId, fleet.api.token);
  const over = reader.follow(fleet.server(0).url);
  while (!reader.has("agent.message.delta")) await sleep(20);
  await fleet.server(0).kill();
  expect(await over).toBe("cut");
  await fleet.server(0).start();
  while (!reader.has("run.completed")) {
    const again = reader.follow(fleet.server(0).url);
    while (!reader.has("run.completed")) await sleep(20);
    reader.cut();
    await again;
  }
  const log = await fleet.api.log(threadId);
  expect(reader.events.join(",")).toBe(log.text);
  expect(reader.events.filter((data) => data.includes(dripWords(WORDS).join("")))).toHaveLength(2);
});

const SILENT_READERS = 12;
const MESSAGES = size(20, 50);
const MESSAGE_CHARS = 1_000_000;
/** For all of them together; what a process keeps uncollected varies. Holding what they do not read would take more. */
const ALLOWED_BYTES = 160 * 1024 * 1024;

test("readers that never read cost a bounded amount of memory and are cut in the end", LONG, async () => {
  const [read, written] = [fleet.server(0), fleet.server(1)];
  const { threadId, runId } = await fleet.startRun("silent", written);
  const sockets = await Promise.all(
    Array.from({ length: SILENT_READERS }, () => openWithoutReading(read, threadId, fleet.api.token)),
  );
  await expect.poll(async () => (await figures(read)).streams).toBe(SILENT_READERS);
  await sleep(500);
  const before = await figures(read);
  for (let i = 0; i < MESSAGES; i++) {
    const message = { type: "user.message", text: "x".repeat(MESSAGE_CHARS), on_active_run: "steer" };
    await fleet.api.send("POST", `/threads/${threadId}/events`, { events: [message] }, written);
  }
  await sleep(2000);
  const after = await figures(read);
  const grownBytes = after.residentBytes - before.residentBytes;
  const { events } = await fleet.api.log(threadId, written);
  expect(events.filter((event) => event.type === "user.message")).toHaveLength(MESSAGES + 1);
  tell({ silentReaders: SILENT_READERS, megabytes: MESSAGES, grownMegabytes: Math.round(grownBytes / 2 ** 20) });
  // Who takes nothing for long is cut, which a slow machine may live to see here.
  if (isFull) expect(after.streams).toBe(SILENT_READERS);
  expect(grownBytes).toBeLessThan(ALLOWED_BYTES);

  if (isFull) while ((await figures(read)).streams > 0) await sleep(1000);
  for (const socket of sockets) socket.destroy();
  await fleet.api.send("POST", `/runs/${runId}/cancel`, undefined, written);
});

/** A stream whose bytes nobody takes. */
function openWithoutReading(server: ServerProcess, threadId: string, token: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, "127.0.0.1", () => {
      socket.pause();
      socket.write(
        `GET /api/v1/threads/${threadId}/events/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`,
      );
      resolve(socket);
    });
    socket.on("error", reject);
  });
}

async function figures(server: ServerProcess): Promise<{ residentBytes: number; streams: number }> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  return { residentBytes: read("process_resident_memory_bytes"), streams: read("callboard_streams_open") };
}
