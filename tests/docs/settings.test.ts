/** `docs/guide/operating.md` lists the settings that the server reads. */
import { expect, test } from "vitest";
import { read, rows, section } from "./pages.ts";

test("the tables of settings name each variable the server reads, and no other", () => {
  const source = read("packages/server/src/config/index.ts");
  const readBy = [...source.matchAll(/\.(?:text|has|integer|flag|oneOf)\(\s*"([A-Z_]+)"/g)].map(
    ([, name = ""]) => name,
  );
  const listed = rows(section(read("docs/guide/operating.md"), "Settings")).flatMap(([names = ""]) =>
    [...names.matchAll(/`([A-Z_]+)`/g)].map(([, name = ""]) => name),
  );
  expect([...listed].sort()).toEqual([...new Set(readBy)].sort());
});
