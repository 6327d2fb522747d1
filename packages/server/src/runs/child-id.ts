/** Ids of the runs that tool calls begin: made from the call, so that a repeated call finds the run it began. */
import { createHash } from "node:crypto";
import { type CallId, fromUuid, type RunId, type ThreadId, toUuid } from "@callboard/protocol";

/**
 * @param number which run of that call, from 1
 * @returns a UUIDv7 with the call's time and the number as its counter, under which both the run and its thread are stored
 */
export function childIds(callId: CallId, number: number): { runId: RunId; threadId: ThreadId } {
  const call = toUuid(callId);
  const digest = createHash("sha256").update(`${call}/${number}`).digest("hex");
  const counter = (number & 0xfff).toString(16).padStart(3, "0");
  const variant = ((Number.parseInt(digest[0] as string, 16) & 3) | 8).toString(16);
  const uuid = `${call.slice(0, 14)}7${counter}-${variant}${digest.slice(1, 4)}-${digest.slice(4, 16)}`;
  return { runId: fromUuid("run", uuid), threadId: fromUuid("thread", uuid) };
}
