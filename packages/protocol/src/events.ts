/** The event log of a thread: one union by `type`, grouped as lifecycles. */
import { z } from "zod";
import { json, timestamp } from "./common.ts";
import { file } from "./files.ts";
import { idSchema } from "./ids.ts";
import { permissionReason } from "./permissions.ts";
import { contentPart, principalRef, runError, runResult, usage, waitingFor } from "./threads.ts";

const messageId = idSchema("message");
const callId = idSchema("call");

export const toolOutcome = z.enum(["ok", "error", "denied", "unknown"]);
export type ToolOutcome = z.infer<typeof toolOutcome>;

/** Shape of `data` for each type. */
export const eventData = {
  // Messages
  "user.message": z.object({ content: z.array(contentPart), sent_by: principalRef }),
  "agent.message.delta": z.object({ message_id: messageId, text: z.string() }),
  "agent.message": z.object({ message_id: messageId, text: z.string(), finish_reason: z.string() }),
  "agent.thinking.delta": z.object({ message_id: messageId, text: z.string() }),
  "agent.thinking": z.object({ message_id: messageId, text: z.string() }),

  // Tool calls. Input and output are present only where the tool makes them public.
  // Calls of another agent name the run that works on them; it may begin a moment after the event.
  "tool.call.started": z.object({
    call_id: callId,
    tool: z.string(),
    input: json.optional(),
    child_run_id: idSchema("run").optional(),
  }),
  "tool.call.completed": z.object({
    call_id: callId,
    tool: z.string(),
    outcome: toolOutcome,
    /** Absent when the call was refused, so that there is no such run. */
    child_run_id: idSchema("run").optional(),
    output: json.optional(),
    /** One line on why the outcome is not `ok`. */
    reason: z.string().optional(),
    duration_ms: z.number().int(),
  }),
  "permission.requested": z.object({
    permission_id: idSchema("permission"),
    call_id: callId,
    tool: z.string(),
    /** Without the parts that the tool calls sensitive. */
    input: json,
    /** SHA-256 of the whole input as canonical JSON, hex; a decision may name what it is about. */
    arguments_hash: z.string().optional(),
    reason: permissionReason.optional(),
    expires_at: timestamp,
  }),
  "permission.decided": z.object({
    permission_id: idSchema("permission"),
    call_id: callId,
    decision: z.enum(["allow_once", "allow_for_thread", "deny", "expired"]),
    message: z.string().optional(),
    decided_by: principalRef.optional(),
  }),

  // Files
  "file.added": z.object({ file }),
  "file.removed": z.object({ file_id: idSchema("file") }),

  // Runs
  "run.queued": z.object({ agent_version: z.number().int().nullable() }),
  "run.started": z.object({ attempt: z.number().int() }),
  "run.waiting": z.object({ waiting_for: waitingFor }),
  "run.resumed": z.object({
    attempt: z.number().int(),
    reason: z.enum(["answered", "taken_over", "handed_over", "model_retry"]),
    /** Messages whose deltas no longer count: the model call that sent them is made again. */
    superseded_message_ids: z.array(messageId).optional(),
  }),
  "run.completed": z.object({ result: runResult, usage }),
  "run.failed": z.object({ error: runError, usage }),
  "run.canceled": z.object({ error: runError, usage }),

  "usage.updated": z.object({ step: z.number().int(), model: z.string(), usage }),
  "status.relayed": z.object({
    text: z.string(),
    progress: z.number().min(0).max(1).optional(),
    data: json.optional(),
  }),
  "thread.archived": z.object({ by: principalRef }),
  "thread.unarchived": z.object({ by: principalRef }),
} as const;

export type EventType = keyof typeof eventData;
export const eventTypes = Object.keys(eventData) as EventType[];
export type EventData<T extends EventType> = z.infer<(typeof eventData)[T]>;

type EventOf<T extends EventType> = {
  id: string;
  seq: number;
  thread_id: string;
  run_id: string | null;
  type: T;
  data: EventData<T>;
  created_at: string;
};
/** One entry of the log; a switch over `type` narrows `data`. */
export type Event = { [T in EventType]: EventOf<T> }[EventType];

const base = {
  id: idSchema("event"),
  seq: z.number().int(),
  thread_id: idSchema("thread"),
  run_id: idSchema("run").nullable(),
  created_at: timestamp,
};
export const event = z
  .discriminatedUnion(
    "type",
    eventTypes.map((type) => z.object({ ...base, type: z.literal(type), data: eventData[type] })) as never,
  )
  .meta({ id: "Event" }) as unknown as z.ZodType<Event>;

export const eventList = z
  .object({ data: z.array(event), next_cursor: z.string().nullable(), last_seq: z.number().int() })
  .meta({ id: "EventList" });
export type EventList = z.infer<typeof eventList>;

/** Types after which a run has no further event. */
export const terminalEventTypes = ["run.completed", "run.failed", "run.canceled"] as const satisfies EventType[];
