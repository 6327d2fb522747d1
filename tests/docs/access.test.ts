/** The table of the access guide is made of the rules that the server is held to (`tests/access`). */
import { expect, test } from "vitest";
import { accessTable } from "../access/table.ts";
import { read } from "./pages.ts";

test("the access guide's table says who may do what", () => {
  expect(read("docs/guide/access.md")).toContain(accessTable());
});
