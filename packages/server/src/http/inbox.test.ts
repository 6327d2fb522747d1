import { newId, toUuid } from "@callboard/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Wakes } from "../storage/index.ts";
import { InboxWatch } from "./inbox.ts";

const organization = newId("organization");
const listeners = new Map<string, Set<(keys: readonly string[]) => void>>();
const wakes: Pick<Wakes, "on"> = {
  on(topic, listener) {
    const set = listeners.get(topic) ?? new Set();
    listeners.set(topic, set.add(listener));
    return () => set.delete(listener);
  },
};
const wake = (topic: string, key: string) => {
  for (const listener of listeners.get(topic) ?? []) listener([key]);
};
beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** Waits as a reader of an empty inbox does. */
function wait(leftMs = 60_000, signal = new AbortController().signal) {
  const watch = new InboxWatch(wakes, organization);
  const state = { woken: false };
  const next = () => {
    state.woken = false;
    void watch.next(leftMs, signal).then(() => {
      state.woken = true;
    });
  };
  next();
  return { watch, state, next };
}

describe("who waits for an inbox", () => {
  test.each(["permission", "access"])("is woken when something of its organization changes: %s", async (topic) => {
    const { state, watch } = wait();
    await vi.advanceTimersByTimeAsync(1000);
    wake(topic, toUuid(newId("organization")));
    await vi.advanceTimersByTimeAsync(0);
    expect(state.woken).toBe(false);
    wake(topic, toUuid(organization));
    await vi.advanceTimersByTimeAsync(0);
    expect(state.woken).toBe(true);
    watch.close();
  });

  test("is woken by what changed while it looked, and looks at most every 50 ms", async () => {
    const { state, next, watch } = wait();
    wake("permission", toUuid(organization));
    await vi.advanceTimersByTimeAsync(49);
    expect(state.woken).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(state.woken).toBe(true);
    wake("permission", "*");
    next();
    await vi.advanceTimersByTimeAsync(50);
    expect(state.woken).toBe(true);
    watch.close();
  });

  test("looks now and then although nothing woke it, and not longer than it waits", async () => {
    const { state, watch } = wait();
    await vi.advanceTimersByTimeAsync(4999);
    expect(state.woken).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(state.woken).toBe(true);
    watch.close();
    const short = wait(200);
    await vi.advanceTimersByTimeAsync(200);
    expect(short.state.woken).toBe(true);
    short.watch.close();
  });

  test("that leaves is let go at once, and nothing stays behind", async () => {
    const left = new AbortController();
    const { state, watch } = wait(60_000, left.signal);
    await vi.advanceTimersByTimeAsync(100);
    left.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(state.woken).toBe(true);
    watch.close();
    expect([...listeners.values()].every((set) => set.size === 0)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});
