/** What the handlers of threads, events, runs and files stand on. */
import type { AgentConfig } from "@callboard/protocol";
import type { Acts, Authenticator, Caller } from "../access/index.ts";
import type { CallWorld } from "../calls/index.ts";
import type { Streams } from "./sse.ts";

export type World = CallWorld & {
  streams: Streams;
  authenticator: Authenticator;
  acts: Acts;
  /** Checks a configuration that no agent holds; throws draft_invalid. */
  checkConfig: (caller: Caller, config: AgentConfig) => Promise<void>;
  maxFileBytes: number;
};
