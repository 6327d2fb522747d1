/** The moves that most tests make: open a thread, send, wait, read the log. */
import type { Event } from "@callboard/protocol";
import type { HttpClient, Sending } from "../../../packages/server/src/testing/http-client.ts";
import { ok, type TestAgent } from "./target.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers are held against the contract, and read as what they are
type Anything = any;

export const message = (text: string): { type: "user.message"; text: string } => ({ type: "user.message", text });

/** Opens a thread with a first message. */
export async function open(
  client: HttpClient,
  agent: TestAgent,
  text: string,
  more: Record<string, unknown> = {},
): Promise<{ thread: Anything; run: Anything; path: string }> {
  const { thread, run } = ok(await client.post(`${agent.path}/threads`, { input: message(text), ...more }), 201);
  return { thread, run, path: `/threads/${thread.id}` };
}

/** Opens a thread without a run. */
export async function openEmpty(
  client: HttpClient,
  agent: TestAgent,
  more: Record<string, unknown> = {},
): Promise<{ thread: Anything; path: string }> {
  const { thread } = ok(await client.post(`${agent.path}/threads`, more), 201);
  return { thread, path: `/threads/${thread.id}` };
}

export const sendEvents = (client: HttpClient, path: string, events: unknown[], more: Sending = {}) =>
  client.post(`${path}/events`, { events }, more);

/** The run once it has ended. */
export async function ended(client: HttpClient, run: { id: string }): Promise<Anything> {
  const answer = ok(await client.get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } }));
  if (answer.ended_at === null) throw new Error(`run ${run.id} is still ${answer.state}`);
  return answer;
}

/** The whole log. */
export async function logOf(client: HttpClient, path: string): Promise<Event[]> {
  const events: Event[] = [];
  for (;;) {
    const page = ok(await client.get(`${path}/events`, { query: { after_seq: events.at(-1)?.seq ?? 0, limit: 1000 } }));
    events.push(...page.data);
    if (page.next_cursor === null) return events;
  }
}

/** Follows the log from its start until an event fits, and gives it. */
export async function seen<T extends Event["type"]>(
  client: HttpClient,
  path: string,
  type: T,
  fits: (event: Extract<Event, { type: T }>) => boolean = () => true,
): Promise<Extract<Event, { type: T }>> {
  const stream = await client.stream(`${path}/events/stream`);
  try {
    const frames = await stream.until(({ event, data }) => event === type && fits(JSON.parse(data)));
    return JSON.parse((frames.at(-1) as { data: string }).data);
  } finally {
    stream.close();
  }
}

export const typesOf = (events: readonly Event[]): string[] => events.map(({ type }) => type);

/** The log without deltas, whose number depends on time. */
export const withoutDeltas = (events: readonly Event[]): Event[] =>
  events.filter(({ type }) => !type.endsWith(".delta"));

/** A promise that a test keeps when it wants to: holds a scripted model back. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
