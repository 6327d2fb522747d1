/**
 * A password becomes a session.
 *
 *   attempt taken ─ account read ─ password verified ─ [commit: same password still? session opened]
 *
 * I1: the answer to an unknown address, a wrong password, and a person whom no organization takes is the same, and
 *     costs the same.
 * I2: a session is opened only under the password that was verified: one that is changed meanwhile wins.
 */
import { CallboardError, type OrganizationId, type RequestId, type SignIn, type UserId } from "@callboard/protocol";
import {
  audit,
  type Caller,
  type Client,
  type OpenedSession,
  openSession,
  replaceSession,
  requireSession,
  revokeOfPassword,
} from "../access/index.ts";
import {
  type Account,
  findAccount,
  getAccount,
  lockPassword,
  organizationOf,
  organizationsOf,
  replaceHash,
  writePassword,
} from "./accounts.ts";
import { isOutdated } from "./password.ts";
import { attempt } from "./throttle.ts";
import { requireStrong } from "./weak.ts";
import { type IdentityWorld, lifetime } from "./world.ts";

export const refused = () => new CallboardError("sign_in_refused", "the email address or the password is wrong");

/** Who asks, as far as that is known. */
export type Door = { readonly client: Client; readonly requestId: RequestId };

/** The account whose password this is. @throws sign_in_refused (I1), too_many_attempts */
export async function proveAccount(
  world: IdentityWorld,
  { client, requestId }: Door,
  email: string,
  password: string,
): Promise<Account & { readonly hash: string }> {
  const { database, passwords } = world;
  const { address } = client;
  const account = await findAccount(database, email, address);
  const tried = await attempt(database, { account: email, address, known: account?.known ?? false });
  if (await passwords.verify(account?.hash ?? null, password)) {
    await tried.succeeded();
    return account as Account & { hash: string };
  }
  if (account !== undefined) await auditRefusal(world, account.id, requestId);
  throw refused();
}

/** In the log of the organizations that would have been entered; of strangers there is nothing to tell. */
async function auditRefusal(
  { database, refusals }: IdentityWorld,
  userId: UserId,
  requestId: RequestId,
): Promise<void> {
  for (const { id } of await organizationsOf(database, userId)) {
    const actor = { personOf: id, userId: null };
    await refusals.note({ actor, action: "session.sign_in", target: userId, code: "sign_in_refused", requestId });
  }
}

/** @throws sign_in_refused, too_many_attempts */
export async function signIn(world: IdentityWorld, door: Door, body: SignIn): Promise<OpenedSession> {
  // Again when another process gave the password a hash with new parameters between our two looks.
  return (await signInOnce(world, door, body)) ?? (await signInOnce(world, door, body)) ?? Promise.reject(refused());
}

async function signInOnce(world: IdentityWorld, door: Door, body: SignIn): Promise<OpenedSession | undefined> {
  const { database } = world;
  const account = await proveAccount(world, door, body.email, body.password);
  const organizations = await organizationsOf(database, account.id);
  const wanted = body.organization_id;
  const chosen = wanted === undefined ? organizations[0] : organizations.find(({ id }) => id === wanted);
  if (chosen === undefined) throw refused();
  const opened = await openByPassword(world, door, account, chosen.id);
  if (opened !== undefined && isOutdated(account.hash)) {
    await replaceHash(database, account.id, account.hash, await world.passwords.hash(body.password));
  }
  return opened;
}

function openByPassword(
  world: IdentityWorld,
  { client, requestId }: Door,
  account: Account & { readonly hash: string },
  organizationId: OrganizationId,
): Promise<OpenedSession | undefined> {
  return world.database.transaction(async (tx) => {
    if ((await lockPassword(tx, account.id)) !== account.hash) return undefined; // I2
    const opened = await openSession(tx, {
      organizationId,
      userId: account.id,
      method: "password",
      ssoConnectionId: null,
      client,
      ...lifetime(world),
    });
    const actor = { personOf: organizationId, userId: account.id };
    const details = { method: "password" };
    const target = opened.id;
    await audit(tx, { actor, action: "session.sign_in", target, outcome: "done", details, requestId });
    return opened;
  });
}

/** The organizations a session may go on in. */
export function reachable({ database }: IdentityWorld, stranger: Caller) {
  const { userId, organizationId, session } = requireSession(stranger);
  return session.method === "password"
    ? organizationsOf(database, userId)
    : organizationOf(database, userId, organizationId);
}

/** Goes on in another organization, with another session. @throws not_found for one that the session may not enter */
export async function switchOrganization(
  world: IdentityWorld,
  { client, requestId }: Door,
  caller: Caller,
  organizationId: OrganizationId,
): Promise<OpenedSession> {
  const wanted = (await reachable(world, caller)).find(({ id }) => id === organizationId);
  if (wanted === undefined) throw new CallboardError("not_found", "there is no such organization for this caller");
  return world.database.transaction(async (tx) => {
    const opened = await replaceSession(tx, world.wakes, caller, wanted.id, client);
    const actor = { personOf: wanted.id, userId: caller.userId };
    await audit(tx, { actor, action: "session.switch", target: opened.id, outcome: "done", requestId });
    return opened;
  });
}

/**
 * Changes one's own password: all its sessions end, and the caller gets a new one.
 *
 * @throws forbidden without a password, or by single sign-on; sign_in_refused, too_many_attempts, weak_password
 */
export async function changePassword(
  world: IdentityWorld,
  { client, requestId }: Door,
  stranger: Caller,
  body: { readonly old_password: string; readonly new_password: string },
): Promise<OpenedSession> {
  const { database, passwords, refusals } = world;
  const caller = requireSession(stranger);
  const account = await getAccount(database, caller.userId);
  // An issuer vouches for a person in its own organization; the password may open others.
  if (caller.session.method !== "password" || account === undefined || account.hash === null) {
    throw new CallboardError("forbidden", "only somebody who signed in with a password changes it");
  }
  const tried = await attempt(database, { account: `change ${caller.userId}`, address: client.address });
  if (!(await passwords.verify(account.hash, body.old_password))) {
    const entry = { actor: { caller }, action: "password.change", target: account.id, requestId } as const;
    await refusals.note({ ...entry, code: "sign_in_refused" });
    throw refused();
  }
  await tried.succeeded();
  requireStrong(body.new_password, [account.email, account.name]);
  const hash = await passwords.hash(body.new_password);
  return database.transaction(async (tx) => {
    if ((await lockPassword(tx, account.id)) !== account.hash) throw refused();
    await writePassword(tx, account.id, hash);
    const opened = await replaceSession(tx, world.wakes, caller, caller.organizationId, client);
    await revokeOfPassword(tx, world.wakes, account.id, [opened.id, caller.session.id]);
    await audit(tx, { actor: { caller }, action: "password.change", target: account.id, outcome: "done", requestId });
    return opened;
  });
}
