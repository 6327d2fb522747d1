/** `docs/guide/audit.md` lists the actions of the audit log. */
import { auditActions } from "@callboard/protocol";
import { expect, test } from "vitest";
import { read, rows, section } from "./pages.ts";

test("the table of actions is the catalogue", () => {
  const expected = Object.entries(auditActions).map(([action, meaning]) => [`\`${action}\``, meaning]);
  expect(rows(section(read("docs/guide/audit.md"), "What is in it"))).toEqual(expected);
});
