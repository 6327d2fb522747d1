import { newId, toUuid } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { EpochCache } from "./epoch.ts";
import { Lru } from "./lru.ts";

function setUp(options: { capacity?: number; maxAgeMs?: number } = {}) {
  let listener: (keys: readonly string[]) => void = () => {};
  let nowMs = 0;
  let reads = 0;
  const cache = new EpochCache<string>({
    wakes: {
      on: (_topic, listen) => {
        listener = listen;
        return () => {
          listener = () => {};
        };
      },
    },
    capacity: options.capacity ?? 10,
    maxAgeMs: options.maxAgeMs ?? 1000,
    now: () => nowMs,
  });
  const organization = newId("organization");
  const read = (epoch: number) => async () => ({ epoch, value: `read ${++reads}` });
  const get = (epoch: number, wanted?: number, key = "k") => cache.get(organization, key, read(epoch), wanted);
  return {
    cache,
    organization,
    get,
    wake: (key: string) => listener([key]),
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe("a value that stands for an epoch", () => {
  test("is read once for callers of its epoch", async () => {
    const { get } = setUp();
    expect((await get(3, 3)).value).toBe("read 1");
    expect(await get(3, 3)).toMatchObject({ epoch: 3, value: "read 1" });
  });

  test("is read anew for a caller of a later epoch", async () => {
    const { get } = setUp();
    await get(3, 3);
    expect(await get(4, 4)).toMatchObject({ epoch: 4, value: "read 2" });
  });

  test("is forgotten when its organization wakes, or all do, and not when another does", async () => {
    const { get, wake, organization } = setUp();
    await get(1);
    wake(toUuid(newId("organization")));
    expect((await get(1)).value).toBe("read 1");
    wake(toUuid(organization));
    expect((await get(1)).value).toBe("read 2");
    wake("*");
    expect((await get(1)).value).toBe("read 3");
  });

  test("is forgotten when it is too old", async () => {
    const { get, pass } = setUp({ maxAgeMs: 50 });
    await get(1);
    pass(49);
    expect((await get(1)).value).toBe("read 1");
    pass(1);
    expect((await get(1)).value).toBe("read 2");
  });

  test("is read once for those who ask together", async () => {
    const { get } = setUp();
    expect((await Promise.all([get(1), get(1), get(1)])).map(({ value }) => value)).toEqual(Array(3).fill("read 1"));
  });

  test("that was being read when the wake-up came is not remembered", async () => {
    const { cache, organization, get, wake } = setUp();
    let finish = (_: { epoch: number; value: string }) => {};
    const slow = cache.get(organization, "k", () => new Promise((resolve) => (finish = resolve)));
    wake(toUuid(organization));
    finish({ epoch: 1, value: "old" });
    expect((await slow).value).toBe("old");
    expect((await get(2)).value).toBe("read 1");
  });

  test("is not shared with a caller of a later epoch while an older read is under way", async () => {
    const { cache, organization, get } = setUp();
    let finish = (_: { epoch: number; value: string }) => {};
    const slow = cache.get(organization, "k", () => new Promise((resolve) => (finish = resolve)), 1);
    const later = get(2, 2);
    finish({ epoch: 1, value: "old" });
    expect((await slow).value).toBe("old");
    expect(await later).toMatchObject({ epoch: 2, value: "read 1" });
  });

  test("that could not be read is asked for again", async () => {
    const { cache, organization, get } = setUp();
    await expect(cache.get(organization, "k", () => Promise.reject(new Error("away")))).rejects.toThrow("away");
    expect((await get(1)).value).toBe("read 1");
  });
});

test("a bounded map forgets what was not used for longest", () => {
  const lru = new Lru<string, number>(2);
  lru.set("a", 1);
  lru.set("b", 2);
  lru.get("a");
  lru.set("c", 3);
  expect([lru.get("a"), lru.get("b"), lru.get("c"), lru.size]).toEqual([1, undefined, 3, 2]);
});
