/** A job's status on its way to the database. */
import type { JobStatus } from "@callboard/protocol";
import { errorFacts } from "../log/index.ts";
import type { EndpointWorld } from "./asked.ts";
import { jobIdOf } from "./job.ts";
import { type Claim, setStatus } from "./store.ts";

/** Writes what a handler says last; what it says meanwhile is skipped. */
export class StatusWriter {
  readonly #world: EndpointWorld;
  readonly #claim: Claim;
  #next: JobStatus | undefined;
  #writing: Promise<void> | undefined;

  constructor(world: EndpointWorld, claim: Claim) {
    this.#world = world;
    this.#claim = claim;
  }

  say(status: JobStatus): void {
    this.#next = status;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async written(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const status = this.#next;
      this.#next = undefined;
      try {
        await setStatus(this.#world.database, this.#claim, status);
      } catch (error) {
        this.#world.log.warn({ job_id: jobIdOf(this.#claim), error: errorFacts(error) }, "a status was not written");
      }
    }
  }
}
