/** Who sends a request: a token in `Authorization`, else the session of the browser's cookie. */
import type { IncomingMessage } from "node:http";
import { CallboardError } from "@callboard/protocol";
import type { Authenticator, Caller } from "../access/index.ts";
import type { Site } from "./site.ts";

export type CallerDeps = { readonly authenticator: Authenticator; readonly site: Site };

/** `csrf_refused` for a session that the server knows: for the audit log. */
export class RefusedProof extends CallboardError {
  readonly caller: Caller;

  constructor(caller: Caller, { message, cause }: CallboardError) {
    super("csrf_refused", message, {}, { cause });
    this.caller = caller;
  }
}

/** Nothing that was read of a caller is used for longer. */
const MAX_AGE_MS = 1000;

/**
 * The caller after something that may have taken its time, like a body that comes slowly: read anew when it did.
 *
 * @param sinceMs of `performance.now()`, when the caller was found
 * @throws unauthenticated
 */
export async function callerAfter(
  authenticator: Pick<Authenticator, "refresh">,
  caller: Caller,
  sinceMs: number,
): Promise<Caller> {
  return performance.now() - sinceMs > MAX_AGE_MS ? authenticator.refresh(caller) : caller;
}

/**
 * With a token the cookie is not looked at, also when the token is refused: nobody becomes somebody else by it.
 *
 * @throws unauthenticated; csrf_refused for a cookie without the proof that the request is our own page's
 */
export async function findCaller({ authenticator, site }: CallerDeps, incoming: IncomingMessage): Promise<Caller> {
  const { authorization } = incoming.headers;
  const session = authorization === undefined ? site.sessionOf(incoming) : undefined;
  if (session === undefined) return authenticator.authenticate(authorization);
  const caller = await authenticator.authenticateSession(session);
  try {
    site.requireProof(incoming, session);
  } catch (error) {
    throw error instanceof CallboardError ? new RefusedProof(caller, error) : error;
  }
  return caller;
}
