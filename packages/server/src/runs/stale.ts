/** What to do when access changed while a write that depends on it was being prepared: prepare it again. */
import { setTimeout as sleep } from "node:timers/promises";
import { CallboardError } from "@callboard/protocol";
import { type Caller, shareEpoch } from "../access/index.ts";
import type { Transaction } from "../storage/index.ts";

/** Many changes in a row, such as a script that ends a thousand tokens, delay what is asked meanwhile; they do not fail it. */
const PATIENCE_MS = 10_000;
/** On a machine so slow that ten seconds are a few attempts, it is tried as often as this all the same. */
const FEWEST = 30;
const LONGEST_PAUSE_MS = 50;

/**
 * The caller's rights changed since they were read; nothing was written.
 * `http` reads them again and repeats the request.
 */
export class StaleAccess extends Error {
  constructor() {
    super("access changed while the request was under way");
    this.name = "StaleAccess";
  }
}

/** The rights a caller acts with: those of one epoch. */
export type Rights = Pick<Caller, "organizationId" | "epoch">;

/**
 * Holds the caller's rights until the transaction ends (access E3), for acts on what is in no thread. Acts on threads
 * have it of `lockLog`, acts that manage of `Acts`.
 *
 * @throws StaleAccess
 */
export async function holdRights(tx: Transaction, caller: Rights): Promise<void> {
  if ((await shareEpoch(tx, caller.organizationId)) !== caller.epoch) throw new StaleAccess();
}

/** The attempts of one write. */
export class Attempts {
  readonly #until = performance.now() + PATIENCE_MS;
  #failed = 0;

  /**
   * Before the next attempt. The pauses are random, so that what is repeated falls out of step with what changes.
   *
   * @throws unavailable when it was tried for ten seconds, and often
   */
  async again(): Promise<void> {
    if (this.#failed >= FEWEST && performance.now() > this.#until) {
      throw new CallboardError("unavailable", "access keeps changing; try again", { retry_after_ms: 1000 });
    }
    this.#failed++;
    if (this.#failed > 1) await sleep(Math.random() * Math.min(2 ** this.#failed, LONGEST_PAUSE_MS));
  }
}
