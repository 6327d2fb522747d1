/** `Prefer: wait=N`: an answer that waits for a run's end. Source: RFC 7240, section 4.3. */
import { fromUuid, isTerminal, type Run, terminalEventTypes } from "@callboard/protocol";
import type { Feed } from "../events/index.ts";
import { findRun, type RunRow, toRun } from "../runs/index.ts";
import type { Database } from "../storage/index.ts";

/** Seconds a request may wait at most. */
export const MAX_WAIT_SECONDS = 60;

/** Seconds from the header, 0 without it. */
export function waitSeconds(prefer: string | string[] | undefined): number {
  const seconds = /(?:^|[,;\s])wait=(\d{1,5})(?:$|[,;\s])/.exec(String(prefer ?? ""))?.[1];
  return seconds === undefined ? 0 : Math.min(MAX_WAIT_SECONDS, Number(seconds));
}

const TERMINAL: ReadonlySet<string> = new Set(terminalEventTypes);

/** The run once it has ended, or as it is when the time is up or the client is gone. */
export async function waitForEnd(
  database: Database,
  feed: Feed,
  row: RunRow,
  seconds: number,
  signal: AbortSignal,
): Promise<Run> {
  if (isTerminal(row.state) || seconds === 0) return toRun(row);
  const mark = `"run_id":"${toRun(row).id}"`;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      follower.close();
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done, { once: true });
    const key = { organization: row.organization_id, thread: row.thread_id };
    const follower = feed.follow(key, row.queued_seq, {
      deliver: (events) => {
        if (events.some((event) => TERMINAL.has(event.type) && event.body.includes(mark))) queueMicrotask(done);
        return true;
      },
      end: () => queueMicrotask(done),
    });
  });
  const now = await findRun(database, fromUuid("organization", row.organization_id), fromUuid("run", row.id));
  return toRun(now ?? row);
}
