/**
 * Idempotency keys: scope is organization + principal + route + key. The key is reserved in the transaction
 * that does the work, so it exists exactly when the work does.
 */
import { createHash } from "node:crypto";
import { CallboardError, type OrganizationId, type Route, routes, toUuid } from "@callboard/protocol";
import { type Caller, principalId } from "../access/index.ts";
import { AlreadyAnswered, type IdempotencyKey } from "../runs/index.ts";
import type { SealedSecret, SecretShelf, StoredSecret } from "../secrets/index.ts";
import { type Sql, statement, type Transaction } from "../storage/index.ts";

const find = statement(
  "idempotency.find",
  `select request_hash, status, response from idempotency_keys
    where organization_id = $1 and principal = $2 and route = $3 and key = $4
      and created_at > now() - interval '24 hours'`,
);
const reserveKey = statement(
  "idempotency.reserve",
  `insert into idempotency_keys (organization_id, principal, route, key, request_hash, status, response, thread_id,
     job_id)
   values ($1, $2, $3, $4, decode($5, 'hex'), 0, '', $6, $7)
   on conflict (organization_id, principal, route, key) do update
     set request_hash = excluded.request_hash, status = 0, response = '', thread_id = excluded.thread_id,
       job_id = excluded.job_id, created_at = now()
     where idempotency_keys.created_at <= now() - interval '24 hours'`,
);
const complete = statement(
  "idempotency.complete",
  `update idempotency_keys set status = $5, response = $6, job_id = coalesce($7, job_id)
    where organization_id = $1 and principal = $2 and route = $3 and key = $4`,
);
const remove = statement(
  "idempotency.remove",
  "delete from idempotency_keys where organization_id = $1 and principal = $2 and route = $3 and key = $4",
);
const under = statement(
  "idempotency.under",
  `select status, response from idempotency_keys
    where organization_id = $1 and principal = $2 and route = $3 and starts_with(key, $4)`,
);
const sweep = statement(
  "idempotency.sweep",
  "delete from idempotency_keys where created_at < now() - interval '24 hours'",
);

/**
 * The request's key, or null without the header.
 *
 * @throws invalid_request for a key that is empty, longer than 255 characters or not printable ASCII
 */
export function idempotencyKey(
  caller: Caller,
  route: string,
  header: string | string[] | undefined,
  request: readonly (string | Uint8Array)[],
): IdempotencyKey | null {
  if (header === undefined) return null;
  if (typeof header !== "string" || !/^[\x21-\x7e]{1,255}$/.test(header)) {
    const message = "expected 1 to 255 printable ASCII characters without spaces";
    throw new CallboardError("invalid_request", `Idempotency-Key: ${message}`, {
      fields: [{ path: "Idempotency-Key", message }],
    });
  }
  const hash = createHash("sha256");
  for (const part of request) hash.update(part).update("\n");
  return { principal: principalId(caller), route, key: header, hash: hash.digest("hex") };
}

export type StoredAnswer = { status: number; text: string };

/**
 * What the first request with this key was answered; undefined when there was none.
 *
 * @throws idempotency_conflict when that request was another one
 */
export async function storedAnswer(sql: Sql, caller: Caller, key: IdempotencyKey): Promise<StoredAnswer | undefined> {
  type Row = { request_hash: Buffer; status: number; response: string };
  const row = await sql.row<Row>(find, [toUuid(caller.organizationId), key.principal, key.route, key.key]);
  if (row === undefined) return undefined;
  if (row.request_hash.toString("hex") !== key.hash) {
    throw new CallboardError("idempotency_conflict", `the idempotency key ${key.key} was used with another request`);
  }
  return { status: row.status, text: row.response };
}

const lockTimeout = statement("idempotency.lock_timeout", "select set_config('lock_timeout', $1, true)");
/** How long a request waits for one with the same key, in milliseconds. */
const WAIT_MS = 2000;
/** SQLSTATE of a lock that was not had in time. */
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Reserves the key in a transaction; waits a little for a request with the same key that is being written.
 *
 * @throws AlreadyAnswered when that one was written; idempotency_in_progress when it still is
 */
export async function reserve(
  tx: Transaction,
  caller: Caller,
  key: IdempotencyKey,
  thread: string | null,
): Promise<void> {
  const values = [toUuid(caller.organizationId), key.principal, key.route, key.key, key.hash, thread, key.job ?? null];
  await tx.row(lockTimeout, [String(WAIT_MS)]);
  try {
    if ((await tx.run(reserveKey, values)) === 0) throw new AlreadyAnswered();
  } catch (error) {
    if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw error;
    throw new CallboardError("idempotency_in_progress", `a request with the idempotency key ${key.key} is under way`, {
      retry_after_ms: 1000,
    });
  }
  await tx.row(lockTimeout, ["0"]);
}

/** Stores the answer beside the reserved key; and the key's job, when it has one now. */
export async function store(sql: Sql, caller: Caller, key: IdempotencyKey, answer: StoredAnswer): Promise<void> {
  const scope = [toUuid(caller.organizationId), key.principal, key.route, key.key];
  await sql.run(complete, [...scope, answer.status, answer.text, key.job ?? null]);
}

/** Gives a key back: what was done under it does not count. */
export async function forget(sql: Sql, caller: Caller, key: IdempotencyKey): Promise<void> {
  await sql.run(remove, [toUuid(caller.organizationId), key.principal, key.route, key.key]);
}

/** The answers that one principal's keys with this beginning have. */
export async function answersUnder(
  sql: Sql,
  organizationId: OrganizationId,
  principal: string,
  route: string,
  prefix: string,
): Promise<StoredAnswer[]> {
  const rows = await sql.rows<{ status: number; response: string }>(under, [
    toUuid(organizationId),
    principal,
    route,
    prefix,
  ]);
  return rows.map(({ status, response }) => ({ status, text: response }));
}

// Only routes whose answers hold secrets have sealed ones. `seal` puts the key's id first.
const otherAnswers = statement(
  "idempotency.other-answers",
  `select organization_id, principal, route, key, response from idempotency_keys
    where route = any($1::text[]) and status > 0 and (not starts_with(response, $2) or response not like '%"data_key"%')
      and (principal, route, key) > ($3, $4, $5)
    order by principal, route, key limit $6`,
);
const replaceAnswer = statement(
  "idempotency.replace-answer",
  `update idempotency_keys set response = $6
    where organization_id = $1 and principal = $2 and route = $3 and key = $4 and response = $5`,
);
const secretRoutes = Object.entries(routes)
  .filter(([, route]: [string, Route]) => route.secret === true)
  .map(([name]) => name);

type SealedAnswer = StoredSecret & { readonly key: Pick<IdempotencyKey, "principal" | "route" | "key">; text: string };

/** What a sealed answer is bound to. */
export const answerIdentity = ({ principal, route, key }: Pick<IdempotencyKey, "principal" | "route" | "key">) =>
  `idempotency_keys/${principal}/${route}/${key}`;

/** Stored answers that hold secrets, for changing the server's key. */
export const answerSecrets: SecretShelf<SealedAnswer> = {
  name: "idempotency_keys",
  async others(sql, keyId, afterIdentity, limit) {
    // A key may hold slashes, the rest of the identity does not.
    const [, principal = "", route = "", ...key] = afterIdentity.split("/");
    type Row = { organization_id: string; principal: string; route: string; key: string; response: string };
    const values = [secretRoutes, `{"key_id":"${keyId}"`, principal, route, key.join("/"), limit];
    const rows = await sql.rows<Row>(otherAnswers, values);
    return rows.map(({ organization_id, response, ...scope }) => ({
      organization: organization_id,
      identity: answerIdentity(scope),
      sealed: JSON.parse(response) as SealedSecret,
      key: scope,
      text: response,
    }));
  },
  async replace(sql, { organization, key, text }, sealed) {
    const scope = [organization, key.principal, key.route, key.key];
    return (await sql.run(replaceAnswer, [...scope, text, JSON.stringify(sealed)])) === 1;
  },
};

/** Forgets keys after 24 hours. @returns how many */
export const sweepIdempotencyKeys = (sql: Sql): Promise<number> => sql.run(sweep);
