import type { Event } from "@callboard/protocol";

/** An entry of a test's log. */
export function delta(seq: number, text: string, runId = "run_1"): Event {
  return {
    id: `event_${seq}`,
    seq,
    thread_id: "thread_1",
    run_id: runId,
    type: "agent.message.delta",
    data: { message_id: "msg_1" as never, text },
    created_at: "2026-01-31T09:30:00.000Z",
  };
}

export function completed(seq: number, runId = "run_1"): Event {
  const usage = { input_tokens: 1, output_tokens: 2, cost_micros: 3 };
  return { ...delta(seq, "", runId), type: "run.completed", data: { result: { text: "done" }, usage } };
}
