import { newId, type Role } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { decideMemberChange, outranks } from "./roles.ts";

const roles: Role[] = ["owner", "admin", "member", "guest"];
const manages: Record<Role, Record<Role, boolean>> = {
  owner: { owner: true, admin: true, member: true, guest: true },
  admin: { owner: false, admin: false, member: true, guest: true },
  member: { owner: false, admin: false, member: false, guest: false },
  guest: { owner: false, admin: false, member: false, guest: false },
};

const refusal = (work: () => void): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("roles", () => {
  for (const actor of roles) {
    for (const target of roles) {
      test(`somebody with the role ${actor} ${manages[actor][target] ? "manages" : "does not manage"} a ${target}`, () => {
        expect(outranks(actor, target)).toBe(manages[actor][target]);
      });
      for (const to of roles) {
        const allowed = manages[actor][target] && manages[actor][to];
        test(`a ${actor} ${allowed ? "may" : "may not"} turn a ${target} into a ${to}`, () => {
          const work = () =>
            decideMemberChange(
              { userId: newId("user"), role: actor },
              { userId: newId("user"), role: target },
              { role: to },
            );
          expect(refusal(work)).toBe(allowed ? undefined : "forbidden");
        });
      }
    }
  }

  test("a service token manages nobody", () => {
    for (const role of roles) expect(outranks(null, role)).toBe(false);
  });

  test("nobody raises himself, and everybody who manages may step down", () => {
    const rank: Record<Role, number> = { guest: 0, member: 1, admin: 2, owner: 3 };
    for (const from of roles) {
      for (const to of roles) {
        const self = { userId: newId("user"), role: from };
        expect(refusal(() => decideMemberChange(self, self, { role: to }))).toBe(
          rank[to] > rank[from] ? "forbidden" : undefined,
        );
      }
    }
  });

  test("nobody suspends himself", () => {
    const self = { userId: newId("user"), role: "owner" as const };
    expect(refusal(() => decideMemberChange(self, self, { suspended: true }))).toBe("forbidden");
  });
});
