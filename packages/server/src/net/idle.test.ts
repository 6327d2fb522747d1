import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { watchIdle } from "./idle.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("watchIdle", () => {
  test("calls once after the silence, and not while something arrives", () => {
    const onIdle = vi.fn();
    const watch = watchIdle(1000, onIdle);
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(900);
      watch.touch();
    }
    expect(onIdle).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1500);
    expect(onIdle).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(5000);
    expect(onIdle).toHaveBeenCalledTimes(1);
  });

  test("a stopped watch is silent, and the last one takes the timer with it", () => {
    const onIdle = vi.fn();
    const first = watchIdle(1000, onIdle);
    const second = watchIdle(1000, onIdle);
    expect(vi.getTimerCount()).toBe(1);
    first.stop();
    first.stop();
    second.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(5000);
    expect(onIdle).not.toHaveBeenCalled();
  });
});
