/** Threads that a caller names: found and allowed, or not there. */
import { type AuditAction, CallboardError, type RequestId, type ThreadId, toUuid } from "@callboard/protocol";
import { audit, type Caller, readThread, type ThreadDecision, type ThreadFacts, writeThread } from "../access/index.ts";
import type { LogKey } from "../events/index.ts";
import type { CallWorld } from "./world.ts";

type Reach = Pick<CallWorld, "database" | "threads" | "refusals">;
/** `requestId` is null where no request asks: a job that is run again. */
type Asked = { caller: Caller; requestId: RequestId | null };

/** The thread, if the caller may read it; an admin's look at others' threads is audited. @throws not_found */
export function toRead(world: Reach, asked: Asked, threadId: string): Promise<LogKey & { id: ThreadId }> {
  return reach(world, asked, threadId, "thread.read", readThread);
}

/** The thread, if the caller may write to it. @throws not_found, forbidden */
export function toWrite(world: Reach, asked: Asked, threadId: string): Promise<LogKey & { id: ThreadId }> {
  return reach(world, asked, threadId, "thread.write", writeThread);
}

async function reach<Deed extends "thread.read" | "thread.write">(
  world: Reach,
  asked: Asked,
  threadId: string,
  action: Deed,
  decide: (caller: Caller, facts: ThreadFacts | undefined) => ThreadDecision<Deed>,
): Promise<LogKey & { id: ThreadId }> {
  const { caller, requestId } = asked;
  const facts = await world.threads.facts(caller.organizationId, threadId);
  const { grant, asAdmin } = decideOn(world, asked, { action, target: threadId, thing: facts }, () =>
    decide(caller, facts),
  );
  const id: ThreadId = grant.subject;
  if (asAdmin) {
    const entry = { actor: { caller }, target: id, outcome: "done", requestId } as const;
    await audit(world.database, { ...entry, action: `${action}_as_admin` });
  }
  return { organization: toUuid(caller.organizationId), thread: toUuid(id), id };
}

/**
 * What `decide` says. That a thing which is there stays hidden from this caller is audited, and not waited for:
 * the time of the answer would tell what the answer does not.
 */
export function decideOn<Decision>(
  { refusals }: Pick<CallWorld, "refusals">,
  { caller, requestId }: Asked,
  { action, target, thing }: { action: AuditAction; target: string; thing: unknown },
  decide: () => Decision,
): Decision {
  try {
    return decide();
  } catch (error) {
    if (thing !== undefined && error instanceof CallboardError && error.code === "not_found") {
      void refusals.note({ actor: { caller }, action, target, code: error.code, requestId });
    }
    throw error;
  }
}
