import type { Event, EventData, EventType } from "@callboard/client";

/** An entry of a test's log. */
export function entry<T extends EventType>(seq: number, type: T, data: unknown): Event {
  return {
    id: `event_${seq}`,
    seq,
    thread_id: "thread_1",
    run_id: "run_1",
    type,
    data: data as EventData<T>,
    created_at: "2026-01-31T09:30:00.000Z",
  } as Event;
}

export const usage = { input_tokens: 12, output_tokens: 34, cost_micros: 5600 };
