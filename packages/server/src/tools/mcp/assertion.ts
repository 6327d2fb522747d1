/**
 * For whom a call is made, in a text that a server can check: a JWT for this server alone, signed by ours.
 *
 * A1: every claim is of the run that makes the call: a model's arguments and an agent's author have no way into it.
 * A2: it goes with calls of tools, to servers that the operator chose, and nowhere else.
 * A3: it says who asks and is no credential for anything here: no route takes it.
 */
import type { ToolContext } from "@callboard/kit";

/** Sent beside the operator's own headers. */
export const ASSERTION_HEADER = "callboard-assertion";
/** Long enough for a slow way and a clock that is off; a call that takes longer was begun with it. */
const LIFE_SECONDS = 120;

/** Signs with the server's key. */
export type Assert = (asked: {
  type: string;
  audience: string;
  lifeSeconds: number;
  claims: Record<string, unknown>;
}) => Promise<string>;

type Facts = Pick<ToolContext, "caller" | "callId" | "run" | "thread">;

/** @param tool the server's own name of it */
export function callAssertion(assert: Assert, url: string, tool: string, facts: Facts): Promise<string> {
  const { caller, callId, run, thread } = facts;
  const { organizationId, kind, userId, serviceId, email, groups } = caller;
  const claims = {
    sub: userId ?? serviceId,
    // A service that works for a person. Source: RFC 8693, 4.1.
    ...(userId !== null && serviceId !== null ? { act: { sub: serviceId } } : {}),
    kind,
    organization_id: organizationId,
    ...(email === null ? {} : { email }),
    groups,
    thread_id: thread.id,
    run_id: run.id,
    call_id: callId,
    tool,
  };
  return assert({ type: "callboard-call+jwt", audience: url, lifeSeconds: LIFE_SECONDS, claims });
}
