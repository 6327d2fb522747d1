/** What calling an agent stands on. */
import type { AgentConfig } from "@callboard/protocol";
import type { Caller, Refusals } from "../access/index.ts";
import type { AgentDirectory } from "../agents/index.ts";
import type { Feed } from "../events/index.ts";
import type { RunHost, RunsAtOnce, StartBatch } from "../runs/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import type { Database, Wakes } from "../storage/index.ts";
import type { ThreadDirectory } from "../threads/index.ts";

export type CallWorld = {
  database: Database;
  wakes: Wakes;
  feed: Feed;
  agents: AgentDirectory;
  threads: ThreadDirectory;
  refusals: Refusals;
  keys: SecretKeys;
  host: RunHost;
  atOnce: RunsAtOnce;
  batch: StartBatch;
  now: () => Date;
  /** Checks a configuration that no agent holds; throws draft_invalid. */
  checkConfig: (caller: Caller, config: AgentConfig) => Promise<void>;
};
