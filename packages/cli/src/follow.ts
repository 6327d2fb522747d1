/** Follows a thread's log on the terminal. */
import type { Event, FollowOptions } from "@callboard/client";
import type { Context } from "./context.ts";
import { exitCode } from "./errors.ts";
import { createEventPrinter } from "./event-printer.ts";
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
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  const print = json ? printJson : createEventPrinter(write);
  let last: Event | undefined;
  try {
    for await (const event of client.events.follow(threadId, { ...options, signal: stop.signal })) {
      print(event);
      last = event;
    }
    if (last?.type === "run.failed" || last?.type === "run.canceled") process.exitCode = exitCode.runFailed;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    if (!json && process.stdout.isTTY) write("\n"); // behind the ^C
    process.exitCode = exitCode.interrupted;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}
