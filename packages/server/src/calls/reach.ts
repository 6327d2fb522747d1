/** Threads that a caller names: found and allowed, or not there. */
import { type RequestId, type ThreadId, toUuid } from "@callboard/protocol";
import { audit, type Caller, readThread, type ThreadDecision, writeThread } from "../access/index.ts";
import type { LogKey } from "../events/index.ts";
import type { CallWorld } from "./world.ts";

type Reach = Pick<CallWorld, "database" | "threads">;
/** `requestId` is null where no request asks: a job that is run again. */
type Asked = { caller: Caller; requestId: RequestId | null };

/** The thread, if the caller may read it; an admin's look at others' threads is audited. @throws not_found */
export async function toRead(
  world: Reach,
  { caller, requestId }: Asked,
  threadId: string,
): Promise<LogKey & { id: ThreadId }> {
  const decision = readThread(caller, await world.threads.facts(caller.organizationId, threadId));
  await auditAdmin(world, caller, decision, "thread.read_as_admin", requestId);
  return keyOf(caller, decision.grant.subject);
}

/** The thread, if the caller may write to it. @throws not_found, forbidden */
export async function toWrite(
  world: Reach,
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
  world: Reach,
  caller: Caller,
  decision: ThreadDecision<"thread.read" | "thread.write">,
  action: "thread.read_as_admin" | "thread.write_as_admin",
  requestId: RequestId | null,
): Promise<void> {
  if (!decision.asAdmin) return;
  const target = decision.grant.subject;
  await audit(world.database, { actor: { caller }, action, target, outcome: "done", requestId });
}
