/** What the verbs of this room need from the process they run in; `app.ts` hands it in. */
import type { Claim } from "./claim.ts";

export type RunHost = {
  /** The worker id that leases of this process carry; null when it works on no runs. */
  worker(): string | null;
  /** There is room for one more run here: it may be claimed in the commit that creates it. */
  hasRoom(): boolean;
  /** Takes a claimed run and starts working on it. */
  adopt(claim: Claim): void;
  /** A run was taken away in this process: whoever works on it stops at once. */
  drop(runUuid: string): void;
};

/** The idempotency key was used by a request that came first; `http` answers with its stored response. */
export class AlreadyAnswered extends Error {
  constructor() {
    super("the idempotency key was used before");
    this.name = "AlreadyAnswered";
  }
}

/** An `Idempotency-Key` in its scope. */
export type IdempotencyKey = {
  readonly principal: string;
  readonly route: string;
  readonly key: string;
  /** SHA-256 of the request's path and body, hex. */
  readonly hash: string;
  /** Uuid of the job whose run or whose answer it stands for: it goes when that job does. */
  readonly job?: string;
};
