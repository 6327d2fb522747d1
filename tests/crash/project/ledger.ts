/** The tools' own record of what was really done, kept outside of the server. */
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** How long a call takes, in milliseconds. */
const WORK_MS = 30;

export const input = z.object({ key: z.string() });

/** Writes the call down at once, before anything else, and then takes a moment, in which the process may die. */
export async function record(tool: string, callId: string, key: string): Promise<string> {
  const path = process.env.CRASH_LEDGER;
  if (path === undefined) throw new Error("CRASH_LEDGER is missing: expected the path of a file");
  appendFileSync(path, `${JSON.stringify({ tool, call_id: callId, key, pid: process.pid })}\n`);
  await sleep(WORK_MS);
  return `${tool} ${key}`;
}
