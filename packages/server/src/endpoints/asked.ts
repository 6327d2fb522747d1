/** What one call of an endpoint is: what it stands on, what was asked, by whom, and how it can end. */
import type { JobError, JobId, RequestId } from "@callboard/protocol";
import type { Authenticator, Caller } from "../access/index.ts";
import type { CallWorld } from "../calls/index.ts";
import type { Logger } from "../log/index.ts";
import type { LoopWatch } from "./loop-watch.ts";
import type { EndpointRegistry } from "./registry.ts";
import type { Claim } from "./store.ts";

export type EndpointWorld = CallWorld & {
  authenticator: Authenticator;
  endpoints: EndpointRegistry;
  loop: LoopWatch;
  log: Logger;
};

/** What was asked, as it came: a job keeps it and may be run again. */
export type CallRequest = {
  /** Of the URL. */
  readonly path: string;
  /** The JSON body, or the query's fields; undefined for no body. */
  readonly input?: unknown;
  /** Without those that carry secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly params: Readonly<Record<string, string>>;
};

export type Call = {
  readonly caller: Caller;
  readonly requestId: RequestId | null;
  /** Under which the call's runs are found again; null for a call that is not repeated. */
  readonly jobId: JobId | null;
  readonly timeoutMs: number;
  /** What the schema made of the request's input, where that is known already. */
  readonly checked?: { readonly input: unknown };
  /** Stops the call; the call aborts it too, when its time is up or its handler is over and left runs behind. */
  readonly stop: AbortController;
  /** Of the job whose status the handler tells; null for a call whose client waits. */
  readonly claim: Claim | null;
};

/** The JSON text of the answer, or why there is none. */
export type Outcome = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly refusal: JobError };

/** Reason to stop here because the call goes on elsewhere. */
export class CallMoved extends Error {
  constructor() {
    super("the call goes on in another process");
    this.name = "CallMoved";
  }
}
