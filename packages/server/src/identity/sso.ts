/**
 * Single sign-on: the browser goes to the issuer and comes back.
 *
 *   start ─ attempt stored, cookie set ─▶ issuer ─▶ callback ─ attempt taken (once) ─ claims ─ person ─ session
 *
 * O1: an attempt is bound to the browser that began it: its row has the hash of that browser's cookie.
 * O2: an attempt is taken once, before the issuer is asked: an answer that comes twice finds nothing.
 * O3: nonce and PKCE verifier are made from the cookie and the state: the database alone does not have them.
 * O4: a session opened here is its connection's organization's alone (sessions S3).
 */
import { createHmac } from "node:crypto";
import { CallboardError, fromUuid } from "@callboard/protocol";
import { audit, type OpenedSession, openSession, randomDigits, secretDigest } from "../access/index.ts";
import { isUniqueViolation, type Sql, statement } from "../storage/index.ts";
import { type ConnectionRow, findConnection, redirectUri } from "./connections.ts";
import type { Issuers, Proofs } from "./issuer.ts";
import { personOf } from "./joining.ts";
import type { Door } from "./sign-in.ts";
import { attempt } from "./throttle.ts";
import { type IdentityWorld, lifetime } from "./world.ts";

/** How long somebody may take at the issuer, in seconds. */
export const ATTEMPT_SECONDS = 600;

const insert = statement(
  "sso.insert-attempt",
  `insert into sso_attempts (organization_id, connection_id, state_hash, browser_hash, return_to, expires_at)
   values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))`,
);
const take = statement(
  "sso.take-attempt",
  `delete from sso_attempts
    where organization_id = $1 and connection_id = $2 and state_hash = $3 and browser_hash = $4 and expires_at > now()
   returning return_to`,
);
const sweep = statement("sso.sweep-attempts", "delete from sso_attempts where expires_at < now()");

export type SsoWorld = IdentityWorld & { readonly issuers: Issuers };

const proofsOf = (browser: string, state: string): Proofs => {
  const derived = (use: string) => createHmac("sha256", browser).update(`${use}\n${state}`).digest("base64url");
  return { state, nonce: derived("nonce"), verifier: derived("pkce") };
};

/**
 * Begins a sign-in.
 *
 * @param browser the browser's secret from an earlier attempt; undefined makes one
 * @returns where to send the browser, and the secret for its cookie
 * @throws not_found, sso_failed, too_many_attempts
 */
export async function startSso(
  world: SsoWorld,
  { client }: Door,
  slug: string,
  returnTo: string,
  browser: string = randomDigits(),
): Promise<{ url: string; browser: string }> {
  const { database, issuers } = world;
  await attempt(database, { account: null, address: client.address });
  const connection = await findConnection(database, slug);
  if (connection === undefined) throw new CallboardError("not_found", "there is no such single sign-on");
  const proofs = proofsOf(browser, randomDigits());
  const url = await issuers.authorizationUrl(connection, redirectUri(world, slug), proofs);
  await database.run(insert, [
    connection.organization_id,
    connection.id,
    secretDigest(proofs.state),
    secretDigest(browser),
    returnTo,
    ATTEMPT_SECONDS,
  ]);
  return { url, browser };
}

/**
 * Ends a sign-in with the issuer's answer.
 *
 * @param query the query string of the answer, as it came
 * @throws sso_refused, sso_failed
 */
export async function finishSso(
  world: SsoWorld,
  door: Door,
  slug: string,
  query: string,
  browser: string | undefined,
): Promise<{ opened: OpenedSession; returnTo: string }> {
  const { database, issuers } = world;
  const state = new URLSearchParams(query).get("state") ?? "";
  const connection = await findConnection(database, slug);
  const taken =
    connection === undefined || browser === undefined
      ? undefined
      : await database.row<{ return_to: string }>(take, [
          connection.organization_id,
          connection.id,
          secretDigest(state),
          secretDigest(browser),
        ]);
  if (connection === undefined || browser === undefined || taken === undefined) {
    throw new CallboardError("sso_refused", "this sign-in was not begun in this browser, was used, or took too long");
  }
  try {
    const answer = new URL(`${redirectUri(world, slug)}?${query}`);
    const claims = await issuers.claims(connection, answer, proofsOf(browser, state));
    const opened = await retryTaken(() => open(world, door, connection, claims));
    return { opened, returnTo: taken.return_to };
  } catch (error) {
    if (error instanceof CallboardError && error.code === "sso_refused") await auditRefusal(world, door, connection);
    throw error;
  }
}

/** Two first sign-ins of one person at once: the second one begins again and finds what the first one made. */
async function retryTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isUniqueViolation(error, "sso_identities_pkey")) throw error;
    return work();
  }
}

function open(
  world: SsoWorld,
  { client, requestId }: Door,
  connection: ConnectionRow,
  claims: Parameters<typeof personOf>[3],
): Promise<OpenedSession> {
  return world.database.transaction(async (tx) => {
    const userId = await personOf(tx, world, connection, claims, requestId);
    const organizationId = fromUuid("organization", connection.organization_id);
    const ssoConnectionId = fromUuid("ssoConnection", connection.id);
    const plan = { organizationId, userId, method: "sso", ssoConnectionId, client, ...lifetime(world) } as const;
    const opened = await openSession(tx, plan);
    const actor = { personOf: organizationId, userId };
    const details = { method: "sso", sso_connection: ssoConnectionId };
    const target = opened.id;
    await audit(tx, { actor, action: "session.sign_in", target, outcome: "done", details, requestId });
    return opened;
  });
}

async function auditRefusal({ refusals }: SsoWorld, { requestId }: Door, connection: ConnectionRow): Promise<void> {
  const actor = { personOf: fromUuid("organization", connection.organization_id), userId: null };
  const target = fromUuid("ssoConnection", connection.id);
  await refusals.note({ actor, action: "session.sign_in", target, code: "sso_refused", requestId });
}

/** Forgets attempts that took too long. @returns how many */
export const sweepAttempts = (sql: Sql): Promise<number> => sql.run(sweep);
