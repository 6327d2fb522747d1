/** Who sends a request: a token in `Authorization`, else the session of the browser's cookie. */
import type { IncomingMessage } from "node:http";
import type { Authenticator, Caller } from "../access/index.ts";
import type { Site } from "./site.ts";

export type CallerDeps = { readonly authenticator: Authenticator; readonly site: Site };

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
  site.requireProof(incoming, session);
  return caller;
}
