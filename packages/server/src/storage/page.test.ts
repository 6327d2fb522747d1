import { newId, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeCursor, encodeCursor, FIRST_UUID, LAST_UUID, toPage } from "./page.ts";

describe("a cursor", () => {
  test("comes back as the key it was made of", () => {
    const uuid = toUuid(newId("agent"));
    expect(decodeCursor(encodeCursor(uuid), "uuid")).toBe(uuid);
    expect(decodeCursor(encodeCursor("ticket-triage"), "slug")).toBe("ticket-triage");
    expect(decodeCursor(encodeCursor(17), "integer")).toBe("17");
    expect(decodeCursor(encodeCursor(FIRST_UUID), "uuid")).toBe(FIRST_UUID);
    expect(decodeCursor(encodeCursor(LAST_UUID), "uuid")).toBe(LAST_UUID);
  });

  test("may be absent", () => {
    expect(decodeCursor(undefined, "uuid")).toBeUndefined();
  });

  test("of another shape, or no cursor at all, is refused with its path", () => {
    const wrong = ["", "x", "%00", encodeCursor("a b"), encodeCursor("Slug"), `${encodeCursor("slug")}=`, "\u0000"];
    for (const shape of ["uuid", "slug", "integer"] as const) {
      for (const text of wrong) {
        expect(() => decodeCursor(text, shape)).toThrow(
          expect.objectContaining({
            code: "invalid_request",
            details: { fields: [expect.objectContaining({ path: "cursor" })] },
          }),
        );
      }
    }
  });

  test("never lets a key through that the database would not understand", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let key: string | undefined;
        try {
          key = decodeCursor(text, "uuid");
        } catch {
          return;
        }
        expect(key).toMatch(/^[0-9a-f-]{36}$/);
      }),
    );
  });
});

describe("a page", () => {
  const key = (n: number) => n;
  const same = (n: number) => n;
  test("that is the last has no next cursor", () => {
    expect(toPage([1, 2], 2, key, same)).toEqual({ data: [1, 2], next_cursor: null });
    expect(toPage([], 2, key, same)).toEqual({ data: [], next_cursor: null });
  });
  test("with more behind it names its last row, and leaves the extra row out", () => {
    expect(toPage([1, 2, 3], 2, key, same)).toEqual({ data: [1, 2], next_cursor: encodeCursor(2) });
  });
});
