/** What the operator does for a person at the command line: set a password, or make a link for it. */
import {
  CallboardError,
  fromUuid,
  type OrganizationId,
  type PasswordLink,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { audit } from "../access/index.ts";
import { type Database, type Sql, statement } from "../storage/index.ts";
import { findAccount } from "./accounts.ts";
import { issueLink, setPassword } from "./links.ts";
import type { Passwords } from "./password.ts";
import { requireStrong } from "./weak.ts";
import type { IdentityWorld } from "./world.ts";

const memberships = statement(
  "operator.memberships",
  "select organization_id from memberships where user_id = $1 order by created_at, organization_id",
);

/** @throws not_found */
async function personWith(sql: Sql, email: string): Promise<{ userId: UserId; name: string; in: OrganizationId[] }> {
  const account = await findAccount(sql, email, null);
  const rows = account && (await sql.rows<{ organization_id: string }>(memberships, [toUuid(account.id)]));
  if (account === undefined || rows === undefined || rows.length === 0) {
    throw new CallboardError("not_found", `nobody with the address ${email} is a member of an organization`);
  }
  const { id: userId, name } = account;
  return { userId, name, in: rows.map((row) => fromUuid("organization", row.organization_id)) };
}

/** Sets a password; all organizations the person is in take it. @throws not_found, weak_password */
export async function operatorPassword(
  { database, wakes, passwords }: Pick<IdentityWorld, "wakes"> & { database: Database; passwords: Passwords },
  email: string,
  password: string,
): Promise<UserId> {
  const person = await personWith(database, email);
  requireStrong(password, [email, person.name]);
  const hash = await passwords.hash(password);
  await database.transaction(async (tx) => {
    await setPassword(tx, { wakes }, { userId: person.userId, hash, organizationId: null });
    for (const organization of person.in) {
      const actor = { operatorOf: organization };
      const target = person.userId;
      await audit(tx, { actor, action: "password.set", target, outcome: "done", requestId: null });
    }
  });
  return person.userId;
}

/** A one-time link with which the person sets a password; all organizations the person is in take it. @throws not_found */
export async function operatorLink(
  { database, publicUrl }: Pick<IdentityWorld, "publicUrl"> & { database: Database },
  email: string,
): Promise<PasswordLink> {
  const { userId, in: organizations } = await personWith(database, email);
  const organizationId = organizations[0] as OrganizationId;
  return database.transaction((tx) =>
    issueLink(tx, { publicUrl }, { organizationId, userId, by: null }, { operatorOf: organizationId }, null),
  );
}
