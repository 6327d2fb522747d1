/**
 * Follows the log of a thread or the events of a job across disconnects.
 *
 * F1 Every event after `afterSeq` is yielded once, in the order of the log.
 * F2 A reconnect asks for what comes after the last event that was yielded, so nothing is skipped.
 * F3 The first connection fails like any other call; once it stood, passing failures are waited out for as
 *    long as the caller wants (`signal`).
 * F4 A refusal that does not pass by itself (401, 403, 404 …) ends the loop with that error.
 */
import type { Event, JobEvent } from "@callboard/protocol";
import { backoffMs, sleep } from "./backoff.ts";
import { readConnection } from "./connection.ts";
import { CallboardApiError, isPassing } from "./errors.ts";
import type { Transport } from "./transport.ts";

const RETRY_MS = 500;
const RETRY_CAP_MS = 15_000;
/** Three heartbeats of the server. */
const SILENCE_MS = 45_000;
/** No content: the reader has the last event. Source: HTML standard, §9.2.3, where it ends the reconnecting. */
const NOTHING_MORE = 204;

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

export type FollowJobOptions = Pick<FollowOptions, "afterSeq" | "signal">;

type Asking = {
  query: { after_seq: number };
  headers: Record<string, string>;
  signal: AbortSignal;
  retries?: number;
};

export function followEvents(
  transport: Transport,
  threadId: string,
  { until, ...options }: FollowOptions = {},
  tuning: Tuning = {},
): AsyncGenerator<Event, void, undefined> {
  const ask = (asking: Asking) => transport.open("events.stream", { params: { thread_id: threadId }, ...asking });
  return follow(ask, lastEvent(until), options, tuning);
}

/** The server ends a job's stream behind its last event, so one that ends earlier broke off. */
export function followJob(
  transport: Transport,
  jobId: string,
  options: FollowJobOptions = {},
): AsyncGenerator<JobEvent, void, undefined> {
  const ask = (asking: Asking) => transport.open("jobs.stream", { params: { job_id: jobId }, ...asking });
  return follow(ask, isJobEnd, options, {});
}

async function* follow<E extends { seq: number }>(
  ask: (asking: Asking) => Promise<Response>,
  isLast: (event: E) => boolean,
  { afterSeq = 0, signal }: FollowJobOptions,
  { silenceMs = SILENCE_MS }: Tuning,
): AsyncGenerator<E, void, undefined> {
  let lastSeq = afterSeq;
  let baseMs = RETRY_MS;
  let stood = false;
  let over = false;

  const open = async (connection: AbortSignal) => {
    const response = await ask({
      query: { after_seq: lastSeq },
      headers: { accept: "text/event-stream", "last-event-id": String(lastSeq) },
      signal: connection,
      ...(stood ? { retries: 0 } : {}),
    });
    stood = true;
    if (response.status !== NOTHING_MORE) return response;
    over = true;
    return new Response("", { headers: { "content-type": "text/event-stream" } });
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
            const event = JSON.parse(item.data) as E;
            if (event.seq <= lastSeq) continue; // F1
            lastSeq = event.seq;
            yield event;
            if (isLast(event)) return;
          }
        }
      }
      if (over) return;
    } catch (error) {
      signal?.throwIfAborted();
      if (!stood || !isPassing(error)) throw error;
      if (error instanceof CallboardApiError) askedMs = error.retryAfterMs;
    }
    await sleep(askedMs ?? backoffMs(failures, baseMs, Math.max(baseMs, RETRY_CAP_MS)), signal);
  }
}

const isJobEnd = (event: JobEvent): boolean =>
  event.type === "job.completed" || event.type === "job.failed" || event.type === "job.canceled";

const isRunEnd = (event: Event): boolean =>
  event.type === "run.completed" || event.type === "run.failed" || event.type === "run.canceled";

function lastEvent(until: FollowUntil | undefined): (event: Event) => boolean {
  if (until === undefined) return () => false;
  if (typeof until === "function") return until;
  return until === "run-end" ? isRunEnd : (event) => isRunEnd(event) && event.run_id === until;
}
