import { routes } from "@callboard/protocol";
import { expect, test } from "vitest";
import { calls } from "./calls.ts";

test("the client's calls are the protocol's routes", () => {
  const expected = Object.fromEntries(
    Object.entries(routes).map(([name, route]) => {
      const { method, path } = route;
      return [name, "idempotent" in route ? { method, path, idempotent: true } : { method, path }];
    }),
  );
  expect(calls).toEqual(expected);
});
