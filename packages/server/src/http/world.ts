/** What the handlers of threads, events, runs and files stand on. */
import { type AgentConfig, type RequestId, type ThreadId, toUuid } from "@callboard/protocol";
import type { Authenticator, Caller } from "../access/index.ts";
import { audit, readThread, type ThreadDecision, writeThread } from "../access/index.ts";
import type { AgentDirectory } from "../agents/index.ts";
import type { Feed, LogKey } from "../events/index.ts";
import type { RunHost, StartBatch } from "../runs/index.ts";
import type { Database, Wakes } from "../storage/index.ts";
import type { ThreadDirectory } from "../threads/index.ts";
import type { Streams } from "./sse.ts";

export type World = {
  database: Database;
  wakes: Wakes;
  feed: Feed;
  streams: Streams;
  authenticator: Authenticator;
  agents: AgentDirectory;
  threads: ThreadDirectory;
  host: RunHost;
  batch: StartBatch;
  /** Checks a configuration that no agent holds; throws draft_invalid. */
  checkConfig: (caller: Caller, config: AgentConfig) => Promise<void>;
  maxFileBytes: number;
  now: () => Date;
};

type Asked = { caller: Caller; requestId: RequestId };

/** The thread, if the caller may read it; an admin's look at others' threads is audited. @throws not_found */
export async function toRead(
  world: World,
  { caller, requestId }: Asked,
  threadId: string,
): Promise<LogKey & { id: ThreadId }> {
  const decision = readThread(caller, await world.threads.facts(caller.organizationId, threadId));
  await auditAdmin(world, caller, decision, "thread.read_as_admin", requestId);
  return keyOf(caller, decision.grant.subject);
}

/** The thread, if the caller may write to it. @throws not_found, forbidden */
export async function toWrite(
  world: World,
  { caller, requestId }: Asked,
  threadId: string,
): Promise<LogKey & { id: ThreadId }> {
  const decision = writeThread(caller, await world.threads.facts(caller.organizationId, threadId));
  await auditAdmin(world, caller, decision, "thread.write_as_admin", requestId);
  return keyOf(caller, decision.grant.subject);
}

const keyOf = (caller: Caller, id: ThreadId) => ({
  organization: toUuid(caller.organizationId),
  thread: toUuid(id),
  id,
});

async function auditAdmin(
  world: World,
  caller: Caller,
  decision: ThreadDecision<"thread.read" | "thread.write">,
  action: "thread.read_as_admin" | "thread.write_as_admin",
  requestId: RequestId,
): Promise<void> {
  if (!decision.asAdmin) return;
  const target = decision.grant.subject;
  await audit(world.database, { actor: { caller }, action, target, outcome: "done", requestId });
}
