/** Follows a thread's log or a job on the terminal. */
import type { Event, FollowJobOptions, FollowOptions } from "@callboard/client";
import type { Context } from "./context.ts";
import { exitCode } from "./errors.ts";
import { createEventPrinter } from "./event-printer.ts";
import { createJobPrinter } from "./job-printer.ts";
import { printJson, write } from "./output.ts";

/**
 * Prints events until the last one that is asked for, or until Ctrl-C. Sets the exit code: a run that was
 * waited for and failed or was canceled, or the Ctrl-C.
 */
export async function followOnTerminal(
  { client, json }: Context,
  threadId: string,
  options: Pick<FollowOptions, "afterSeq" | "until">,
): Promise<void> {
  const print = json ? printJson : createEventPrinter(write);
  await untilInterrupted(json, async (signal) => {
    let last: Event | undefined;
    for await (const event of client.events.follow(threadId, { ...options, signal })) {
      print(event);
      last = event;
    }
    if (last?.type === "run.failed" || last?.type === "run.canceled") process.exitCode = exitCode.runFailed;
  });
}

/** Prints what a job's handler says, and its end. Sets the exit code as above. */
export async function followJobOnTerminal(
  { client, json }: Context,
  jobId: string,
  options: Pick<FollowJobOptions, "afterSeq">,
): Promise<void> {
  const print = json ? printJson : createJobPrinter(write);
  await untilInterrupted(json, async (signal) => {
    for await (const event of client.jobs.follow(jobId, { ...options, signal })) {
      print(event);
      if (event.type === "job.failed" || event.type === "job.canceled") process.exitCode = exitCode.runFailed;
    }
  });
}

/** Work that Ctrl-C ends, with the exit code for it. */
export async function untilInterrupted(json: boolean, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await work(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    if (!json && process.stdout.isTTY) write("\n"); // behind the ^C
    process.exitCode = exitCode.interrupted;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}
