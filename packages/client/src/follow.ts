/**
 * Follows a thread's log across disconnects.
 *
 * F1 Every event after `afterSeq` is yielded once, in the order of the log.
 * F2 A reconnect asks for what comes after the last event that was yielded, so nothing is skipped.
 * F3 The first connection fails like any other call; once it stood, passing failures are waited out for as
 *    long as the caller wants (`signal`).
 * F4 A refusal that does not pass by itself (401, 403, 404 …) ends the loop with that error.
 */
import type { Event } from "@callboard/protocol";
import { backoffMs, sleep } from "./backoff.ts";
import { readConnection } from "./connection.ts";
import { CallboardApiError, isPassing } from "./errors.ts";
import type { Transport } from "./transport.ts";

const RETRY_MS = 500;
const RETRY_CAP_MS = 15_000;
/** Three heartbeats of the server. */
const SILENCE_MS = 45_000;

export type FollowUntil = "run-end" | (string & {}) | ((event: Event) => boolean);

export type FollowOptions = {
  /** Seq of the last event that the reader holds. Default 0: from the beginning. */
  afterSeq?: number | undefined;
  /** Ends the loop; it rejects with the signal's reason. Leaving the loop with `break` is silent. */
  signal?: AbortSignal | undefined;
  /**
   * The last event to yield: the next end of any run, the end of the run with this id, or the first event
   * for which a function returns true. Default: follow until aborted.
   */
  until?: FollowUntil | undefined;
};

type Tuning = { silenceMs?: number };

export async function* followEvents(
  transport: Transport,
  threadId: string,
  { afterSeq = 0, signal, until }: FollowOptions = {},
  { silenceMs = SILENCE_MS }: Tuning = {},
): AsyncGenerator<Event, void, undefined> {
  const isLast = lastEvent(until);
  let lastSeq = afterSeq;
  let baseMs = RETRY_MS;
  let stood = false;

  const open = async (connection: AbortSignal) => {
    const response = await transport.open("events.stream", {
      params: { thread_id: threadId },
      query: { after_seq: lastSeq },
      headers: { accept: "text/event-stream", "last-event-id": String(lastSeq) },
      signal: connection,
      ...(stood ? { retries: 0 } : {}),
    });
    stood = true;
    return response;
  };

  for (let failures = 0; ; ) {
    let askedMs: number | undefined;
    failures++;
    try {
      for await (const items of readConnection({ open, signal, silenceMs })) {
        failures = 0; // it spoke, so the next pause is a short one
        for (const item of items) {
          if ("retryMs" in item) baseMs = item.retryMs;
          else if (item.id !== undefined) {
            const event = JSON.parse(item.data) as Event;
            if (event.seq <= lastSeq) continue; // F1
            lastSeq = event.seq;
            yield event;
            if (isLast(event)) return;
          }
        }
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!stood || !isPassing(error)) throw error;
      if (error instanceof CallboardApiError) askedMs = error.retryAfterMs;
    }
    await sleep(askedMs ?? backoffMs(failures, baseMs, Math.max(baseMs, RETRY_CAP_MS)), signal);
  }
}

const isRunEnd = (event: Event): boolean =>
  event.type === "run.completed" || event.type === "run.failed" || event.type === "run.canceled";

function lastEvent(until: FollowUntil | undefined): (event: Event) => boolean {
  if (until === undefined) return () => false;
  if (typeof until === "function") return until;
  return until === "run-end" ? isRunEnd : (event) => isRunEnd(event) && event.run_id === until;
}
