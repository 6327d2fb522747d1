/** The rules every log keeps, whatever happened to the processes that wrote it. */
import { type Event, terminalEventTypes } from "@callboard/protocol";

const TERMINAL: ReadonlySet<string> = new Set(terminalEventTypes);

/**
 * What is wrong with a thread's whole log; empty when nothing is.
 *
 * - `seq` counts from 1 without a gap; no event twice.
 * - Each run that has ended has one terminal event, and nothing of the run follows it.
 * - Each tool call has one id for ever: one start, one completion, in this order.
 * - A message that was superseded gets nothing more; every other one is its deltas joined.
 */
export function problemsOf(events: readonly Event[]): string[] {
  const problems: string[] = [];
  events.forEach((event, i) => {
    if (event.seq !== i + 1) problems.push(`event ${i + 1} has seq ${event.seq}`);
  });
  if (new Set(events.map((event) => event.id)).size !== events.length) problems.push("an event id occurs twice");
  for (const run of new Set(events.map((event) => event.run_id))) {
    if (run === null) continue;
    const own = events.filter((event) => event.run_id === run);
    const ends = own.filter((event) => TERMINAL.has(event.type));
    if (ends.length !== 1) problems.push(`${run} has ${ends.length} terminal events`);
    else if (own.at(-1) !== ends[0]) problems.push(`${own.at(-1)?.type} follows the end of ${run}`);
    problems.push(...callProblems(own), ...messageProblems(own));
  }
  return problems;
}

function callProblems(events: readonly Event[]): string[] {
  const problems: string[] = [];
  const started = new Set<string>();
  const completed = new Set<string>();
  for (const event of events) {
    if (event.type === "tool.call.started") {
      const id = event.data.call_id;
      if (started.has(id)) problems.push(`${id} was started twice`);
      started.add(id);
    } else if (event.type === "tool.call.completed") {
      const id = event.data.call_id;
      if (!started.has(id)) problems.push(`${id} was completed before it was started`);
      if (completed.has(id)) problems.push(`${id} was completed twice`);
      completed.add(id);
    }
  }
  for (const id of started) if (!completed.has(id)) problems.push(`${id} was never completed`);
  return problems;
}

function messageProblems(events: readonly Event[]): string[] {
  const problems: string[] = [];
  const pieces = new Map<string, string>();
  const superseded = new Set<string>();
  for (const event of events) {
    if (event.type === "run.resumed") for (const id of event.data.superseded_message_ids ?? []) superseded.add(id);
    if (event.type !== "agent.message.delta" && event.type !== "agent.message") continue;
    const { message_id: id, text } = event.data;
    if (superseded.has(id)) problems.push(`${id} was superseded and got ${event.type} at ${event.seq}`);
    else if (event.type === "agent.message.delta") pieces.set(id, (pieces.get(id) ?? "") + text);
    else if ((pieces.get(id) ?? "") !== text) problems.push(`the deltas of ${id} are not its text`);
    else pieces.delete(id);
  }
  for (const id of pieces.keys()) {
    if (!superseded.has(id) && events.at(-1)?.type === "run.completed") problems.push(`${id} was never finished`);
  }
  return problems;
}

/** The longest time in which a run under way wrote nothing, in milliseconds. */
export function longestSilence(events: readonly Event[]): number {
  const times = events.filter((event) => event.run_id !== null).map((event) => Date.parse(event.created_at));
  return times.slice(1).reduce((longest, time, i) => Math.max(longest, time - (times[i] as number)), 0);
}

/** Reasons why the runs of a log changed hands, in order. */
export const resumptions = (events: readonly Event[]): string[] =>
  events.flatMap((event) => (event.type === "run.resumed" ? [event.data.reason] : []));
