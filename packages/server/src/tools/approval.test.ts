import type { ApprovalContext, StandardSchema, ToolDefinition } from "@callboard/kit";
import type { Json } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { argumentsHash, scopeOf, shownInput, toolAsks } from "./approval.ts";
import type { LoadedTool } from "./registry.ts";

const context = { caller: { userId: "user_1" } } as unknown as ApprovalContext;
const input: StandardSchema = { "~standard": { version: 1, vendor: "own", validate: (value) => ({ value }) } };
const tool = (more: Partial<ToolDefinition>): LoadedTool => ({
  name: "refund",
  definition: { description: "Refunds.", input, effect: "once", run: () => "ok", ...more },
  inputSchema: {},
});

describe("a tool's policy", () => {
  const asks = (approval: unknown, value: unknown = { n: 1 }) =>
    toolAsks(tool({ approval: approval as never }), value, context);

  test("is never or always, and never when it says nothing", async () => {
    expect(await asks("always")).toBe(true);
    expect(await asks("never")).toBe(false);
    expect(await toolAsks(tool({}), {}, context)).toBe(false);
  });

  test("may be a function of the input and the caller, at once or later", async () => {
    expect(await asks(({ n }: { n: number }) => n > 5, { n: 6 })).toBe(true);
    expect(await asks(({ n }: { n: number }) => n > 5, { n: 5 })).toBe(false);
    expect(await asks(async () => "never")).toBe(false);
    expect(await asks(async () => "always")).toBe(true);
    expect(await asks((_: unknown, { caller }: ApprovalContext) => caller.userId !== "user_1")).toBe(false);
  });

  test("asks when it throws, rejects, hangs or answers with anything else", async () => {
    const odd: unknown[] = [undefined, null, 0, "", "no", "Never", [], {}, Number.NaN, () => false];
    const broken = [
      () => {
        throw new Error("broken");
      },
      () => Promise.reject(new Error("broken")),
      () => new Promise(() => {}),
      // biome-ignore lint/suspicious/noThenProperty: what a hostile answer may have
      () => ({ then: () => undefined }),
      ...odd.map((answer) => () => answer),
    ];
    expect(await Promise.all(broken.map((policy) => asks(policy)))).toEqual(broken.map(() => true));
    expect(await asks("sometimes")).toBe(true);
  });
});

describe("a tool's scope", () => {
  const scope = (approvalScope: unknown) => scopeOf(tool({ approvalScope: approvalScope as never }), { n: 1 }, context);

  test("is the tool as a whole without a word about it", async () => {
    expect(await scopeOf(tool({}), {}, context)).toBe("");
  });

  test("is what the tool says", async () => {
    expect(await scope(({ n }: { n: number }) => `customer ${n}`)).toBe("customer 1");
    expect(await scope(() => "Größe/ß 🙂")).toBe("Größe/ß 🙂");
  });

  test("is none when it cannot be told, is no text, too long, or holds what cannot be kept or shown", async () => {
    const odd: unknown[] = [
      undefined,
      null,
      7,
      {},
      [],
      "",
      "x".repeat(201),
      "a\u0000b",
      "a\ud800",
      "a\nb",
      "a\u001b[2J",
    ];
    const broken = [
      () => {
        throw new Error("broken");
      },
      () => new Promise(() => {}),
      ...odd.map((answer) => () => answer),
    ];
    expect(await Promise.all(broken.map(scope))).toEqual(broken.map(() => null));
  });
});

describe("what people see of an input", () => {
  const value: Json = {
    to: "Ann",
    card: { number: "4242", cvc: "1" },
    lines: [{ code: "a", n: 1 }, { code: "b" }],
    x: [],
  };

  test("is all of it, unless the tool calls it sensitive", () => {
    expect(shownInput(tool({}), value)).toEqual(value);
    expect(shownInput(tool({ sensitive: false }), value)).toEqual(value);
  });

  test("leaves out the parts that are sensitive", () => {
    const shown = shownInput(
      tool({ sensitive: ["card.number", "lines[*].code", "lines[1]", "nowhere.at.all"] }),
      value,
    );
    expect(shown).toEqual({
      to: "Ann",
      card: { number: "[hidden]", cvc: "1" },
      lines: [{ code: "[hidden]", n: 1 }, "[hidden]"],
      x: [],
    });
    expect(value).toMatchObject({ card: { number: "4242" } });
  });

  test("is its shape alone when all of it is", () => {
    expect(shownInput(tool({ sensitive: true }), value)).toEqual({
      to: "[hidden]",
      card: { number: "[hidden]", cvc: "[hidden]" },
      lines: [{ code: "[hidden]", n: "[hidden]" }, { code: "[hidden]" }],
      x: [],
    });
  });
});

describe("the hash of arguments", () => {
  /** The same value with the keys of every object in another order. */
  const turned = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(turned);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([key, member]) => [key, turned(member)]),
    );
  };
  const stored = (value: unknown): Json => JSON.parse(JSON.stringify(value));

  test("is the same whatever the order of keys, and after a way through the database", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const json = stored(value);
        expect(argumentsHash(turned(json))).toBe(argumentsHash(json));
        expect(argumentsHash(stored(json))).toBe(argumentsHash(value));
      }),
    );
  });

  test("is another one for every other value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const same = JSON.stringify(sorted(stored(a))) === JSON.stringify(sorted(stored(b)));
        expect(argumentsHash(a) === argumentsHash(b)).toBe(same);
      }),
    );
    const lookAlikes = [
      { a: 1 },
      [["a", 1]],
      { a: "1" },
      { "a:1": 1 },
      [{ a: 1 }],
      { a: [1] },
      '{"a":1}',
      null,
      [null],
      [],
      {},
    ];
    expect(new Set(lookAlikes.map(argumentsHash)).size).toBe(lookAlikes.length);
    expect(argumentsHash(JSON.parse('{"__proto__":{"a":1}}'))).not.toBe(argumentsHash({}));
  });

  test("of very deep input is one too", () => {
    const deep = JSON.parse(`${"[".repeat(5000)}1${"]".repeat(5000)}`);
    expect(argumentsHash(deep)).toMatch(/^[0-9a-f]{64}$/);
    expect(shownInput(tool({ sensitive: true }), deep)).toBeDefined();
  });

  /** In an order that does not depend on how it was made, told another way than by `argumentsHash`. */
  function sorted(value: Json): unknown {
    if (Array.isArray(value)) return { list: value.map(sorted) };
    if (typeof value !== "object" || value === null) return value;
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return { members: members.map(([key, member]) => [key, sorted(member)]) };
  }
});
