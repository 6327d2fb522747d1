/**
 * Persons, their passwords, and the organizations that take them.
 *
 * A1: a person is one row on the whole server, but an organization is entered only by a proof it accepted itself:
 *     the password where the membership says `password_sign_in`, or its own single sign-on. An admin who adds an
 *     address, or resets its password, gets nothing that the person has in another organization.
 * A2: a name belongs to a membership (people P3). `users.name` is the first one that was given, and is shown to the
 *     person alone.
 */
import {
  fromUuid,
  newId,
  type OrganizationId,
  type Role,
  type SignedIn,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { type Sql, statement, type Transaction } from "../storage/index.ts";

const byEmail = statement(
  "accounts.by-email",
  `select u.id, u.email, u.name, p.hash,
          exists (select 1 from sessions s where s.user_id = u.id and s.address = $2) as known
     from users u left join passwords p on p.user_id = u.id where lower(u.email) = lower($1)`, // users_email
);
const byId = statement(
  "accounts.by-id",
  `select u.id, u.email, u.name, p.hash, false as known
     from users u left join passwords p on p.user_id = u.id where u.id = $1`,
);
const lock = statement("accounts.lock", "select id from users where id = $1 for no key update");
const passwordOf = statement("accounts.password", "select hash from passwords where user_id = $1");
const setHash = statement(
  "accounts.set-password",
  `insert into passwords (user_id, hash) values ($1, $2)
   on conflict (user_id) do update set hash = excluded.hash, changed_at = now()`,
);
const rehash = statement("accounts.rehash", "update passwords set hash = $3 where user_id = $1 and hash = $2");
const accept = statement(
  "accounts.accept-password",
  `update memberships set password_sign_in = true
    where user_id = $1 and ($2::uuid is null or organization_id = $2)`,
);
const elsewhere = statement(
  "accounts.elsewhere",
  `select 1 from memberships m join passwords p on p.user_id = m.user_id
    where m.user_id = $1 and m.organization_id <> $2 and m.password_sign_in limit 1`,
);
// The organization of the latest session first.
const entered = statement(
  "accounts.organizations",
  `select m.organization_id, o.name, m.role
     from memberships m
     join organizations o on o.id = m.organization_id
     left join lateral (select max(s.id::text) as latest from sessions s
                         where s.user_id = m.user_id and s.organization_id = m.organization_id) s on true
    where m.user_id = $1 and not m.suspended and m.password_sign_in
    order by s.latest desc nulls last, m.organization_id`,
);
const oneEntered = statement(
  "accounts.organization",
  `select m.organization_id, o.name, m.role from memberships m join organizations o on o.id = m.organization_id
    where m.user_id = $1 and m.organization_id = $2 and not m.suspended`,
);
const insert = statement(
  "accounts.insert",
  "insert into users (id, email, name) values ($1, $2, $3) on conflict (lower(email)) do nothing",
);
const joined = statement(
  "accounts.join",
  `insert into memberships (organization_id, user_id, role, name) values ($1, $2, $3, $4) on conflict do nothing`,
);
const joinGroups = statement(
  "accounts.join-groups",
  `insert into group_members (organization_id, group_id, user_id)
   select g.organization_id, g.id, $2 from groups g where g.organization_id = $1 and g.id = any($3::uuid[])
   on conflict do nothing`,
);

export type Account = {
  readonly id: UserId;
  readonly email: string;
  readonly name: string;
  /** PHC string; null without a password. */
  readonly hash: string | null;
  /** It has had a session from the address that was asked about. */
  readonly known: boolean;
};
type AccountRow = Omit<Account, "id"> & { id: string };
const toAccount = (row: AccountRow | undefined): Account | undefined => row && { ...row, id: fromUuid("user", row.id) };

export async function findAccount(sql: Sql, email: string, address: string | null): Promise<Account | undefined> {
  return toAccount(await sql.row<AccountRow>(byEmail, [email, address]));
}

export async function getAccount(sql: Sql, id: UserId): Promise<Account | undefined> {
  return toAccount(await sql.row<AccountRow>(byId, [toUuid(id)]));
}

/** The account of an address, made when there is none, locked: what decides about its password waits. */
export async function lockAccount(tx: Transaction, email: string, name: string): Promise<Account> {
  await tx.run(insert, [toUuid(newId("user")), email, name]);
  const found = await findAccount(tx, email, null);
  if (found === undefined) throw new Error("an account that was just made is gone");
  await tx.row(lock, [toUuid(found.id)]);
  return { ...found, hash: await readHash(tx, found.id) };
}

/** The account's password as it stands, with everything that would change it waiting for this transaction. */
export async function lockPassword(tx: Transaction, id: UserId): Promise<string | null> {
  await tx.row(lock, [toUuid(id)]);
  return readHash(tx, id);
}

const readHash = async (tx: Transaction, id: UserId): Promise<string | null> =>
  (await tx.row<{ hash: string }>(passwordOf, [toUuid(id)]))?.hash ?? null;

export const writePassword = (tx: Transaction, id: UserId, hash: string): Promise<number> =>
  tx.run(setHash, [toUuid(id), hash]);

/** Puts a hash with today's parameters in the place of that one; a password set meanwhile stays. */
export const replaceHash = (sql: Sql, id: UserId, before: string, after: string): Promise<number> =>
  sql.run(rehash, [toUuid(id), before, after]);

/** A1: the organization takes the person's password from now on; null for all the person is in. */
export const acceptPassword = (tx: Transaction, id: UserId, organizationId: OrganizationId | null): Promise<number> =>
  tx.run(accept, [toUuid(id), organizationId === null ? null : toUuid(organizationId)]);

/** Whether another organization is entered with this person's password. */
export const isUsedElsewhere = async (tx: Sql, id: UserId, organizationId: OrganizationId): Promise<boolean> =>
  (await tx.row(elsewhere, [toUuid(id), toUuid(organizationId)])) !== undefined;

type Entered = SignedIn["organizations"][number];
const toEntered = (row: { organization_id: string; name: string; role: Role }): Entered => ({
  id: fromUuid("organization", row.organization_id),
  name: row.name,
  role: row.role,
});

/** The organizations that a person enters with the password; the one of the latest session first. */
export async function organizationsOf(sql: Sql, id: UserId): Promise<Entered[]> {
  return (await sql.rows<{ organization_id: string; name: string; role: Role }>(entered, [toUuid(id)])).map(toEntered);
}

/** The one organization of a session by single sign-on. */
export async function organizationOf(sql: Sql, id: UserId, organizationId: OrganizationId): Promise<Entered[]> {
  const values = [toUuid(id), toUuid(organizationId)];
  return (await sql.rows<{ organization_id: string; name: string; role: Role }>(oneEntered, values)).map(toEntered);
}

/** Makes somebody a member, if he is none, and puts him into groups that still exist. @returns whether he is new */
export async function join(
  tx: Transaction,
  organizationId: OrganizationId,
  id: UserId,
  { role, name }: { role: Role; name: string },
  groupUuids: readonly string[],
): Promise<boolean> {
  const isNew = (await tx.run(joined, [toUuid(organizationId), toUuid(id), role, name])) > 0;
  await tx.run(joinGroups, [toUuid(organizationId), toUuid(id), groupUuids]);
  return isNew;
}
