/** Who may manage whom. Owners manage everyone; admins manage members and guests; nobody raises himself. */
import { CallboardError, type Role, type UserId } from "@callboard/protocol";

const rank: Record<Role, number> = { guest: 0, member: 1, admin: 2, owner: 3 };

/** Whether somebody with the role `actor` may manage another person who has, or is to have, the role `target`. */
export function outranks(actor: Role | null, target: Role): boolean {
  if (actor === "owner") return true;
  return actor === "admin" && rank[target] < rank.admin;
}

export type Standing = { readonly userId: UserId; readonly role: Role };

/** @throws forbidden when `actor` may not manage somebody with that role */
export function requireOutranks(actor: Role | null, target: Role): void {
  if (outranks(actor, target)) return;
  throw new CallboardError("forbidden", `the role ${actor ?? "service"} may not manage people with the role ${target}`);
}

/**
 * Decides a change to a member; for oneself only downwards, and never a suspension.
 *
 * @throws forbidden
 */
export function decideMemberChange(
  actor: { readonly userId: UserId | null; readonly role: Role | null },
  target: Standing,
  change: { readonly role?: Role | undefined; readonly suspended?: boolean | undefined },
): void {
  if (target.userId !== actor.userId) {
    requireOutranks(actor.role, target.role);
    if (change.role !== undefined) requireOutranks(actor.role, change.role);
    return;
  }
  if (change.role !== undefined && rank[change.role] > rank[target.role]) {
    throw new CallboardError(
      "forbidden",
      `nobody raises himself: the role is ${target.role}, asked for ${change.role}`,
    );
  }
  if (change.suspended === true) throw new CallboardError("forbidden", "nobody suspends himself");
}
