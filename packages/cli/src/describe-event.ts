/** Events in words. */
import type { Event, Usage } from "@callboard/client";

/** A line or so of what a tool was given or answered; `--json` and the transcript have all of it. */
const MAX_VALUE = 240;

function json(value: unknown): string {
  if (value === undefined) return "";
  const text = JSON.stringify(value);
  return text.length <= MAX_VALUE ? ` ${text}` : ` ${text.slice(0, MAX_VALUE)}…`;
}

const cost = ({ input_tokens, output_tokens, cost_micros }: Usage): string =>
  `${input_tokens} tokens in, ${output_tokens} out, $${(cost_micros / 1_000_000).toFixed(4)}`;

/** One entry in a line or two; undefined for what an event printer shows in another way or not at all. */
export function describeEvent(event: Event): string | undefined {
  switch (event.type) {
    case "user.message": {
      const parts = event.data.content.map((part) => (part.type === "text" ? part.text : `[file ${part.file_id}]`));
      return `> ${parts.join(" ")}`;
    }
    case "tool.call.started":
      return `tool ${event.data.tool}${json(event.data.input)}`;
    case "tool.call.completed": {
      const { tool, outcome, output, reason, duration_ms } = event.data;
      return `tool ${tool}: ${outcome} after ${duration_ms} ms${reason === undefined ? "" : `, ${reason}`}${json(output)}`;
    }
    case "permission.requested": {
      const { tool, input, permission_id } = event.data;
      // Whoever decides has to see all of it.
      return `permission wanted for ${tool} ${JSON.stringify(input)}\n  callboard permissions approve|deny ${permission_id}`;
    }
    case "permission.decided": {
      const { decision, message } = event.data;
      return `permission: ${decision}${message === undefined ? "" : `, ${message}`}`;
    }
    case "file.added": {
      const { id, name, media_type, size_bytes } = event.data.file;
      return `file ${name} (${media_type}, ${size_bytes} bytes) ${id}`;
    }
    case "file.removed":
      return `file ${event.data.file_id} removed`;
    case "status.relayed": {
      const { text, progress } = event.data;
      return `status: ${text}${progress === undefined ? "" : ` (${Math.round(progress * 100)} %)`}`;
    }
    case "run.queued":
      return `run ${event.run_id} queued`;
    case "run.started":
      return `run ${event.run_id} started`;
    case "run.waiting":
      return `run ${event.run_id} waits for ${event.data.waiting_for.map(({ kind, id }) => `${kind} ${id}`).join(", ")}`;
    case "run.resumed": {
      const again = event.data.superseded_message_ids?.length ? "; the answer begins again" : "";
      return `run ${event.run_id} goes on (${event.data.reason})${again}`;
    }
    case "run.completed":
      return `run ${event.run_id} completed: ${cost(event.data.usage)}`;
    case "run.failed":
      return `run ${event.run_id} failed: ${event.data.error.code}: ${event.data.error.message}`;
    case "run.canceled":
      return `run ${event.run_id} canceled: ${event.data.error.code}: ${event.data.error.message}`;
    case "thread.archived":
    case "thread.unarchived":
      return `thread ${event.thread_id} ${event.type.slice("thread.".length)}`;
    case "agent.message.delta":
    case "agent.message":
    case "agent.thinking.delta":
    case "agent.thinking":
    case "usage.updated":
      return undefined;
    default: {
      event satisfies never; // a newer server's event
      return (event as Event).type;
    }
  }
}
