/**
 * How an event becomes text.
 *
 * The log stores an event's JSON without its first member: `seq` is known only when the thread row is
 * locked, inside the statement that writes. Everybody who shows an event puts `{"seq":n,` in front of
 * the stored text, so list and stream carry the same bytes for ever.
 */
import { type EventData, type EventId, type EventType, newId, type RunId, type ThreadId } from "@callboard/protocol";

/** An event on its way into a log. */
export type NewEvent = { readonly type: EventType; readonly id: EventId; readonly body: string };

/** An event in a log. */
export type LoggedEvent = { readonly seq: number; readonly type: string; readonly body: string };

/**
 * Makes an event.
 *
 * @param createdAt RFC 3339; one text for all events that happen together
 */
export function newEvent<T extends EventType>(
  threadId: ThreadId,
  runId: RunId | null,
  type: T,
  data: EventData<T>,
  createdAt: string,
): NewEvent {
  const id = newId("event");
  const run = runId === null ? "null" : `"${runId}"`;
  const body = `"id":"${id}","thread_id":"${threadId}","run_id":${run},"type":"${type}","data":${JSON.stringify(data)},"created_at":"${createdAt}"}`;
  return { type, id, body };
}

/** The event as JSON text. */
export const eventJson = (event: LoggedEvent): string => `{"seq":${event.seq},${event.body}`;

/** The event as one SSE frame. JSON text holds no line breaks, so one `data:` line is enough. */
export const eventFrame = (event: LoggedEvent): string =>
  `id: ${event.seq}\nevent: ${event.type}\ndata: {"seq":${event.seq},${event.body}\n\n`;
