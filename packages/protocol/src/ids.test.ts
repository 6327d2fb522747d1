import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUuid, type Id, type IdKind, idPrefix, idSchema, newId, parseId, toUuid } from "./ids.ts";

const kinds = Object.keys(idPrefix) as IdKind[];

/** From the TypeID specification's list of valid ids. */
const vectors: ReadonlyArray<[suffix: string, uuid: string]> = [
  ["00000000000000000000000000", "00000000-0000-0000-0000-000000000000"],
  ["00000000000000000000000001", "00000000-0000-0000-0000-000000000001"],
  ["0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"],
  ["0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"],
  ["00000000000000000000000010", "00000000-0000-0000-0000-000000000020"],
  ["7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
  ["0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"],
  ["01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"],
];

describe("the TypeID format", () => {
  test.each(vectors)("%s is %s", (suffix, uuid) => {
    expect(fromUuid("thread", uuid)).toBe(`thread_${suffix}`);
    expect(toUuid(`thread_${suffix}` as Id<"thread">)).toBe(uuid);
  });

  test("every UUID of every kind comes back as it was", () => {
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.uuid(), (kind, uuid) => {
        const id = fromUuid(kind, uuid);
        expect(id).toMatch(new RegExp(`^${idPrefix[kind]}_[0-7][0-9a-hjkmnp-tv-z]{25}$`));
        expect(parseId(kind, id)).toBe(id);
        expect(toUuid(id)).toBe(uuid);
      }),
    );
  });

  test("ids sort as their UUIDs do", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (a, b) => {
        expect(fromUuid("run", a) < fromUuid("run", b)).toBe(a < b);
      }),
    );
  });

  test("no two kinds share a prefix, and none contains an underscore", () => {
    const prefixes = Object.values(idPrefix);
    expect(new Set(prefixes).size).toBe(prefixes.length);
    for (const prefix of prefixes) expect(prefix).toMatch(/^[a-z]{2,10}$/);
  });
});

describe("new ids", () => {
  test("each is larger than every one before, also when the clock stands still or goes back", () => {
    let last = "";
    const base = Date.now() + 60_000;
    for (let i = 0; i < 10_000; i++) {
      const id = newId("event", i % 3 === 0 ? base - 5000 : base);
      expect(id > last).toBe(true);
      last = id;
    }
  });

  test("they are UUIDs of version 7 that begin with the time", () => {
    const nowMs = Date.now() + 120_000;
    const uuid = toUuid(newId("call", nowMs));
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(uuid.replaceAll("-", "").slice(0, 12), 16)).toBe(nowMs);
  });
});

describe("texts from outside", () => {
  const good = "01h455vb4pex5vsknk084sn02q";

  test.each([
    ["no prefix", good],
    ["another kind's prefix", `run_${good}`],
    ["only the prefix", "thread_"],
    ["one character too few", `thread_${good.slice(1)}`],
    ["one character too many", `thread_0${good}`],
    ["upper case", `thread_${good.toUpperCase()}`],
    ["a number beyond 128 bits", `thread_8${"z".repeat(25)}`],
    ["a letter that base32 leaves out", `thread_${good.slice(0, 25)}u`],
    ["a character beyond ASCII", `thread_${good.slice(0, 25)}é`],
    ["a space", `thread_${good} `],
    ["a UUID", "01890a5d-ac96-774b-bcce-b302099a8057"],
    ["nothing", ""],
  ])("%s is not a thread's id", (_, text) => {
    expect(parseId("thread", text)).toBeUndefined();
    expect(idSchema("thread").safeParse(text).success).toBe(false);
  });

  test("only the canonical text of an id is one: whatever parses prints the same", () => {
    const suffix = fc.string({ unit: fc.constantFrom(..."0123456789abcdefghijklmnopqrstuvwxyzAZ_-"), maxLength: 28 });
    fc.assert(
      fc.property(suffix, (text) => {
        const id = parseId("file", `file_${text}`);
        if (id !== undefined) expect(fromUuid("file", toUuid(id))).toBe(id);
      }),
    );
    expect(idSchema("file").parse(`file_${good}`)).toBe(`file_${good}`);
  });

  test("the UUID of a text that is no id is a broken assumption", () => {
    expect(() => toUuid("thread_nope" as Id<"thread">)).toThrow(TypeError);
  });
});
