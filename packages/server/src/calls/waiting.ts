/** `Prefer: wait=N`: an answer that waits for a run's end. Source: RFC 7240, section 4.3. */
import { isTerminal, type OrganizationId, type Run, terminalEventTypes, toUuid } from "@callboard/protocol";
import type { Feed, LoggedEvent, LogKey } from "../events/index.ts";
import { findRun, toRun } from "../runs/index.ts";
import type { Database } from "../storage/index.ts";

/** Seconds a request may wait at most. */
const MAX_WAIT_SECONDS = 60;

/** Seconds from the header, 0 without it. */
export function waitSeconds(prefer: string | string[] | undefined): number {
  const seconds = /(?:^|[,;\s])wait\s*=\s*("?)(\d{1,5})\1(?:$|[,;\s])/i.exec(String(prefer ?? ""))?.[2];
  return seconds === undefined ? 0 : Math.min(MAX_WAIT_SECONDS, Number(seconds));
}

const TERMINAL: ReadonlySet<string> = new Set(terminalEventTypes);

/**
 * The run once it has ended, or as it is when the time is up or the client is gone.
 *
 * @param afterSeq a place in the log before the run's end
 */
export async function waitForEnd(
  database: Database,
  feed: Feed,
  organizationId: OrganizationId,
  run: Run,
  afterSeq: number,
  seconds: number,
  signal: AbortSignal,
): Promise<Run> {
  if (isTerminal(run.state) || seconds === 0) return run;
  const mark = `"run_id":"${run.id}"`;
  const key = { organization: toUuid(organizationId), thread: toUuid(run.thread_id) };
  const isEnd = ({ type, body }: LoggedEvent) => TERMINAL.has(type) && body.includes(mark);
  await waitForEvent(feed, key, afterSeq, isEnd, seconds, signal);
  const row = await findRun(database, organizationId, run.id);
  return row === undefined ? run : toRun(row);
}

/** Resolves when the log has such an event after `afterSeq`, when the time is up, or when the client is gone. */
export function waitForEvent(
  feed: Feed,
  key: LogKey,
  afterSeq: number,
  isIt: (event: LoggedEvent) => boolean,
  seconds: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      follower.close();
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done, { once: true });
    // The first events may come before `follow` returns, hence the turn in between.
    const follower = feed.follow(key, afterSeq, {
      deliver: (events) => {
        if (events.some(isIt)) queueMicrotask(done);
        return true;
      },
      end: () => queueMicrotask(done),
    });
  });
}
