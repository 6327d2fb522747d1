/** `docs/reference/http-api.md` lists the routes and the event types that there are. */
import { eventTypes, type Route, routes } from "@callboard/protocol";
import { expect, test } from "vitest";
import { read, rows, section } from "./pages.ts";

const page = read("docs/reference/http-api.md");

test("the table of routes is the protocol's", () => {
  const expected = Object.entries(routes).map(
    ([name, { method, path, scope, auth, status, idempotent }]: [string, Route]) => [
      `\`${name}\``,
      method,
      `\`${path}\``,
      scope ?? { none: "none", session: "a session", any: "any token" }[auth ?? "any"],
      idempotent === true ? `${status} · key` : String(status),
    ],
  );
  expect(rows(section(page, "Routes"))).toEqual(expected);
});

test("the table of event types names each of them once", () => {
  const named = rows(section(page, "The event stream")).flatMap(([, types = ""]) =>
    [...types.matchAll(/`([^`]+)`/g)].map(([, type = ""]) => type),
  );
  expect(named.sort()).toEqual([...eventTypes].sort());
});
