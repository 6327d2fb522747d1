import { toolName } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { serverOf, toolNames } from "./names.ts";

const nameOf = (own: string, ...others: string[]) => toolNames("crm", [own, ...others]).get(own);

describe("names of MCP tools", () => {
  test.each([
    ["search", "crm__search"],
    ["search_customers", "crm__search_customers"],
    ["get-customer", "crm__get_customer"],
    ["searchCustomers", "crm__search_customers"],
    ["admin.tools/list", "crm__admin_tools_list"],
    ["__proto__", "crm__proto"],
    ["検索", "crm__tool"],
    ["", "crm__tool"],
  ])("%j is %s", (own, name) => {
    expect(nameOf(own)).toBe(name);
  });

  test("that would meet get a piece of their hash, except the one that is spelled so", () => {
    const names = toolNames("crm", ["get_user", "get-user", "getUser"]);
    expect(names.get("get_user")).toBe("crm__get_user");
    expect(names.get("get-user")).toMatch(/^crm__get_user_[0-9a-f]{8}$/);
    expect(names.get("getUser")).toMatch(/^crm__get_user_[0-9a-f]{8}$/);
    expect(new Set(names.values()).size).toBe(3);
  });

  test("are always names that agents and providers take, each its own, and the same in any order", () => {
    const own = fc.uniqueArray(fc.oneof(fc.string({ maxLength: 100 }), fc.stringMatching(/^[a-zA-Z._-]{1,12}$/)), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(own, (list) => {
        const names = toolNames("help_desk", list);
        expect(names.size).toBe(list.length);
        expect(new Set(names.values()).size).toBe(list.length);
        for (const name of names.values()) {
          expect(toolName.safeParse(name).success).toBe(true);
          expect(serverOf(name)).toBe("help_desk");
        }
        expect(toolNames("help_desk", list.toReversed())).toEqual(new Map([...names].reverse()));
      }),
    );
  });

  test("of other tools belong to no server", () => {
    for (const name of ["read_file", "__x", "x", ""]) expect(serverOf(name)).toBeUndefined();
  });
});
