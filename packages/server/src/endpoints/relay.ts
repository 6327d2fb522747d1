/** What a handler says on its way: to its job's events, and to the logs of its runs that go on at that moment. */
import type { JobStatus, Json } from "@callboard/protocol";
import { errorFacts } from "../log/index.ts";
import { keyOf, noteOnRun, type RunRow } from "../runs/index.ts";
import { isDeepJson, MAX_JSON_DEPTH } from "../storage/index.ts";
import { storable, storableJson } from "../tools/index.ts";
import type { EndpointWorld } from "./asked.ts";
import { type Claim, sayStatus } from "./store.ts";

/** A run, as far as its place goes. */
export type RunPlace = Pick<RunRow, "organization_id" | "thread_id" | "id">;
type Line = { status: JobStatus; at: string; runs: readonly RunPlace[] };

/** Lines that wait to be written; beyond that the oldest of them are left out. */
const MAX_WAITING = 100;

export class StatusRelay {
  readonly #world: EndpointWorld;
  readonly #names: object;
  readonly #claim: Claim | null;
  #lines: Line[] = [];
  #writing: Promise<void> | undefined;

  /** @param claim of the job whose status this is; null for a call whose client waits */
  constructor(world: EndpointWorld, names: object, claim: Claim | null) {
    this.#world = world;
    this.#names = names;
    this.#claim = claim;
  }

  /** @param runs those of the call that go on */
  say(status: JobStatus, runs: readonly RunPlace[]): void {
    if (this.#claim === null && runs.length === 0) return;
    if (this.#lines.length === MAX_WAITING) this.#lines.shift();
    this.#lines.push({ status, at: this.#world.now().toISOString(), runs });
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when what was said so far is written, or could not be. */
  async written(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#lines.length > 0) {
      const lines = this.#lines;
      this.#lines = [];
      const work = [this.#toJob(lines), ...this.#toLogs(lines)];
      for (const done of await Promise.allSettled(work)) {
        if (done.status === "fulfilled") continue;
        this.#world.log.warn({ ...this.#names, error: errorFacts(done.reason) }, "a status was not written");
      }
    }
  }

  async #toJob(lines: readonly Line[]): Promise<void> {
    const claim = this.#claim;
    if (claim === null) return;
    const { database, wakes } = this.#world;
    if (await sayStatus(database, claim, lines)) wakes.send("jobStatus", claim.id);
  }

  #toLogs(lines: readonly Line[]): Array<Promise<boolean>> {
    const { database, feed } = this.#world;
    const byRun = new Map<string, { run: RunPlace; lines: Line[] }>();
    for (const line of lines) {
      for (const run of line.runs) {
        const one = byRun.get(run.id);
        if (one === undefined) byRun.set(run.id, { run, lines: [line] });
        else one.lines.push(line);
      }
    }
    return [...byRun.values()].map(({ run, lines: own }) => {
      const notes = own.map(({ status, at }) => ({ type: "status.relayed" as const, data: status, at }));
      return noteOnRun(database, feed, keyOf(run), notes);
    });
  }
}

const MAX_TEXT = 2000;
const MAX_DATA_CHARS = 16 * 1024;

/** A status as it is kept: short text, progress from 0 to 1. @throws TypeError for data that is no JSON or too much of it */
export function toStatus(text: string, { progress, data }: { progress?: number; data?: unknown } = {}): JobStatus {
  const within = progress === undefined ? Number.NaN : Math.min(1, Math.max(0, progress));
  return {
    text: storable(String(text).slice(0, MAX_TEXT)),
    ...(Number.isNaN(within) ? {} : { progress: within }),
    ...(data === undefined ? {} : { data: toData(data) }),
  };
}

function toData(data: unknown): Json {
  const json = JSON.stringify(data);
  if (json === undefined) throw new TypeError(`relayStatus: data is a ${typeof data}; expected JSON`);
  if (json.length > MAX_DATA_CHARS) {
    throw new TypeError(`relayStatus: data has ${json.length} characters; at most ${MAX_DATA_CHARS} are kept`);
  }
  if (isDeepJson(json)) throw new TypeError(`relayStatus: data is nested deeper than ${MAX_JSON_DEPTH} levels`);
  return JSON.parse(storableJson(json)) as Json;
}
