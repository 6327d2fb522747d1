import { newId } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Deltas } from "./deltas.ts";
import { Wheel } from "./wheel.ts";

const turn = () => new Promise(setImmediate);

/** A wheel that turns when the test says so. */
class HandWheel extends Wheel {
  readonly due = new Set<() => void>();
  constructor() {
    super(1_000_000);
  }
  override add(flush: () => void): void {
    this.due.add(flush);
  }
  override remove(flush: () => void): void {
    this.due.delete(flush);
  }
  turn(): void {
    const due = [...this.due];
    this.due.clear();
    for (const flush of due) flush();
  }
}

/** A log that is written when the test says so. */
function setUp() {
  const wheel = new HandWheel();
  const pieces: string[] = [];
  const writing: Array<() => void> = [];
  const deltas = new Deltas(newId("message"), wheel, (_, text) => {
    pieces.push(text);
    return new Promise((resolve) => writing.push(resolve));
  });
  const written = async () => {
    writing.shift()?.();
    await turn();
  };
  return { wheel, pieces, writing, deltas, written };
}

describe("the pieces of a message", () => {
  test("the first goes out at once, with all that came in the same turn", async () => {
    const { deltas, pieces } = setUp();
    expect(deltas.begun).toBe(false);
    deltas.push("Hel");
    deltas.push("lo");
    expect(deltas.begun).toBe(true);
    await turn();
    expect(pieces).toEqual(["Hello"]);
  });

  test("later ones are gathered until the wheel turns", async () => {
    const { deltas, pieces, wheel, written } = setUp();
    deltas.push("a");
    await turn();
    await written();
    deltas.push("b");
    deltas.push("c");
    await turn();
    expect(pieces).toEqual(["a"]);
    wheel.turn();
    expect(pieces).toEqual(["a", "bc"]);
  });

  test("512 characters do not wait for the wheel", async () => {
    const { deltas, pieces, written } = setUp();
    deltas.push("a");
    await turn();
    await written();
    deltas.push("b".repeat(511));
    expect(pieces).toHaveLength(1);
    deltas.push("c");
    expect(pieces).toEqual(["a", `${"b".repeat(511)}c`]);
  });

  test("one is written at a time: while the log is slow the next one grows", async () => {
    const { deltas, pieces, wheel, written } = setUp();
    deltas.push("a");
    await turn();
    deltas.push("b".repeat(600));
    wheel.turn();
    deltas.push("c".repeat(600));
    wheel.turn();
    await turn();
    expect(pieces).toEqual(["a"]);
    await written();
    expect(pieces).toEqual(["a", "b".repeat(600) + "c".repeat(600)]);
    await written();
    deltas.push("d");
    await turn();
    wheel.turn();
    expect(pieces.at(-1)).toBe("d");
  });

  test("closing gives back the rest, and nothing is written after it", async () => {
    const { deltas, pieces, wheel } = setUp();
    deltas.push("a");
    await turn();
    deltas.push("b");
    expect(deltas.close()).toBe("b");
    deltas.push("late");
    wheel.turn();
    await turn();
    expect(pieces).toEqual(["a"]);
    expect(deltas.close()).toBe("");
  });

  test("closing before the first went out gives back everything", async () => {
    const { deltas, pieces } = setUp();
    deltas.push("");
    expect(deltas.begun).toBe(false);
    deltas.push("whole");
    expect(deltas.close()).toBe("whole");
    await turn();
    expect(pieces).toEqual([]);
  });

  test("nothing is lost or doubled, however text, time and the log interleave", async () => {
    const step = fc.oneof(
      fc.string({ maxLength: 300 }).map((text) => ({ text })),
      fc.constantFrom({ do: "turn" as const }, { do: "wheel" as const }, { do: "written" as const }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { deltas, pieces, wheel, writing, written } = setUp();
        let said = "";
        for (const one of steps) {
          if ("text" in one) {
            said += one.text;
            deltas.push(one.text);
          } else if (one.do === "turn") await turn();
          else if (one.do === "wheel") wheel.turn();
          else await written();
          expect(writing.length).toBeLessThanOrEqual(1);
        }
        const rest = deltas.close();
        await written();
        await turn();
        expect(pieces.join("") + rest).toBe(said);
        expect(pieces).not.toContain("");
      }),
      { numRuns: 200 },
    );
  });
});

describe("the wheel", () => {
  const waitFor = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  };

  test("calls what was added once, and stands still when nothing is due", async () => {
    const wheel = new Wheel(1);
    const called: string[] = [];
    const a = () => called.push("a");
    wheel.add(a);
    wheel.add(a);
    wheel.add(() => called.push("b"));
    await waitFor(() => called.length >= 2);
    await turn();
    expect(called).toEqual(["a", "b"]);
    wheel.add(() => called.push("c"));
    await waitFor(() => called.length >= 3);
    expect(called).toEqual(["a", "b", "c"]);
    wheel.stop();
  });

  test("what is added while it turns waits for the next turn", async () => {
    const wheel = new Wheel(1);
    const called: number[] = [];
    const again = () => {
      called.push(called.length);
      if (called.length < 3) wheel.add(again);
    };
    wheel.add(again);
    await waitFor(() => called.length === 3);
    wheel.stop();
    expect(called).toEqual([0, 1, 2]);
  });

  test("what was removed is not called", async () => {
    const wheel = new Wheel(1);
    const called: string[] = [];
    const gone = () => called.push("gone");
    wheel.add(gone);
    wheel.add(() => called.push("kept"));
    wheel.remove(gone);
    await waitFor(() => called.length > 0);
    wheel.stop();
    expect(called).toEqual(["kept"]);
  });
});
