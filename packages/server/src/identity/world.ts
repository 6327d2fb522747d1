/** What this room stands on. */
import type { AccessWakes, Refusals, SessionRules } from "../access/index.ts";
import type { Database } from "../storage/index.ts";
import type { Passwords } from "./password.ts";

export type IdentityWorld = {
  readonly database: Database;
  readonly wakes: Pick<AccessWakes, "send">;
  readonly refusals: Refusals;
  readonly passwords: Passwords;
  readonly rules: SessionRules;
  /** The address of the server as people reach it, without a slash at the end. */
  readonly publicUrl: () => string;
};

const MINUTE_MS = 60_000;

/** When a session that begins now ends in any case, and how long it may go unused. */
export function lifetime({ rules }: IdentityWorld): { expiresAtMs: number; idleMinutes: number } {
  return { expiresAtMs: Date.now() + rules.maxMinutes * MINUTE_MS, idleMinutes: rules.idleMinutes };
}
