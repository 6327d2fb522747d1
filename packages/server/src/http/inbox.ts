/** Waiting for something to change in the inboxes of an organization. */
import { type OrganizationId, toUuid } from "@callboard/protocol";
import type { Wakes } from "../storage/index.ts";

/** A wake-up may be lost, and few changes send none: an inbox is looked at so often in any case, in milliseconds. */
const LOOK_MS = 5000;
/** And never oftener: many requests of an organization may come at once. */
const PAUSE_MS = 50;

/** What changes inboxes: requests that come and are decided, and who may decide. */
const topics = ["permission", "access"] as const;

export class InboxWatch {
  readonly #leave: Array<() => void>;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(wakes: Pick<Wakes, "on">, organizationId: OrganizationId) {
    const uuid = toUuid(organizationId);
    const heard = (keys: readonly string[]) => {
      if (!keys.includes(uuid) && !keys.includes("*")) return;
      this.#changed = true;
      this.#wake?.();
    };
    this.#leave = topics.map((topic) => wakes.on(topic, heard));
  }

  /** Resolves when something has changed since the last call, when it is time to look, or when the signal is aborted. */
  async next(leftMs: number, signal: AbortSignal): Promise<void> {
    await pause(Math.min(PAUSE_MS, leftMs), signal, () => undefined);
    if (!this.#changed) {
      await pause(Math.min(LOOK_MS, leftMs) - PAUSE_MS, signal, (wake) => {
        this.#wake = wake;
      });
    }
    this.#wake = undefined;
    this.#changed = false;
  }

  close(): void {
    for (const leave of this.#leave) leave();
  }
}

/** @param wakeable is given what ends the pause before its time */
function pause(ms: number, signal: AbortSignal, wakeable: (wake: () => void) => void): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    wakeable(done);
  });
}
