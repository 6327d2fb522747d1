/** Who may manage whom. Owners manage everyone; admins manage members and guests; nobody raises himself. */
import { CallboardError, type Role, type Scope, scopes, type UserId } from "@callboard/protocol";

const rank: Record<Role, number> = { guest: 0, member: 1, admin: 2, owner: 3 };

/** Whether somebody with the role `actor` may manage another person who has, or is to have, the role `target`. */
export function outranks(actor: Role | null, target: Role): boolean {
  if (actor === "owner") return true;
  return actor === "admin" && rank[target] < rank.admin;
}

/** What personal tokens have when nobody names scopes. */
export const usualScopes: readonly Scope[] = scopes.filter((scope) => scope !== "runs:raw");

/**
 * Who decides how somebody signs in can sign in as him, with every scope: that is for a session, and for a token that
 * has the usual ones itself.
 *
 * @throws insufficient_scope
 */
export function requireWhole(caller: { readonly scopes: ReadonlySet<Scope> }, deed: string): void {
  const missing = usualScopes.filter((scope) => !caller.scopes.has(scope));
  if (missing.length === 0) return;
  throw new CallboardError(
    "insufficient_scope",
    `to ${deed} a token needs every scope; this one lacks ${missing.join(", ")}`,
  );
}

/** Making owners and admins gives away what they may do. @throws insufficient_scope */
export function requireToRaise(caller: { readonly scopes: ReadonlySet<Scope> }, role: Role): void {
  if (rank[role] >= rank.admin) requireWhole(caller, `give the role ${role}`);
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
