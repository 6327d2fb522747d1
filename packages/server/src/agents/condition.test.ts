import { agentConfig, type Condition, condition, type Json } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { meets } from "./condition.ts";
import { draftProblems } from "./draft.ts";

const fits = (text: Condition, input: unknown) => meets(condition.parse(text), input);

describe("a comparison", () => {
  test("of numbers", () => {
    expect(fits({ path: "amount_cents", above: 5000 }, { amount_cents: 5001 })).toBe(true);
    expect(fits({ path: "amount_cents", above: 5000 }, { amount_cents: 5000 })).toBe(false);
    expect(fits({ path: "n", below: 0 }, { n: -1 })).toBe(true);
    expect(fits({ path: "n", above: 1, below: 5 }, { n: 3 })).toBe(true);
    expect(fits({ path: "n", above: 1, below: 5 }, { n: 5 })).toBe(false);
  });

  test("with one or several values", () => {
    expect(fits({ path: "country", equals: "CH" }, { country: "CH" })).toBe(true);
    expect(fits({ path: "country", equals: "CH" }, { country: "ch" })).toBe(false);
    expect(fits({ path: "country", in: ["IR", "KP"] }, { country: "KP" })).toBe(true);
    expect(fits({ path: "country", in: ["IR", "KP"] }, { country: "CH" })).toBe(false);
    expect(fits({ path: "express", equals: true }, {})).toBe(false);
    expect(fits({ path: "note", equals: null }, { note: null })).toBe(true);
  });

  test("with a pattern", () => {
    expect(fits({ path: "to", matches: "@example\\.com$" }, { to: "a@example.com" })).toBe(true);
    expect(fits({ path: "to", matches: "@example\\.com$" }, { to: "a@example.com.evil" })).toBe(false);
  });

  test("with whether there is a value", () => {
    expect(fits({ path: "note", exists: true }, { note: null })).toBe(true);
    expect(fits({ path: "note", exists: true }, {})).toBe(false);
    expect(fits({ path: "note", exists: false }, {})).toBe(true);
    expect(fits({ path: "a.b", exists: true }, { a: 7 })).toBe(false);
  });

  test("reaches into objects and lists", () => {
    const order = {
      order: {
        lines: [
          { sku: "a", amount: 10 },
          { sku: "b", amount: 90 },
        ],
      },
    };
    expect(fits({ path: "order.lines[1].sku", equals: "b" }, order)).toBe(true);
    expect(fits({ path: "order.lines[*].amount", above: 50 }, order)).toBe(true);
    expect(fits({ path: "order.lines[*].amount", above: 100 }, order)).toBe(false);
    expect(fits({ path: "order.lines[*].amount", above: 100 }, { order: { lines: [] } })).toBe(false);
  });

  test("sees own members only", () => {
    expect(fits({ path: "constructor.name", exists: true }, {})).toBe(false);
    expect(fits({ path: "__proto__", exists: true }, {})).toBe(false);
    expect(fits({ path: "list.length", exists: true }, { list: "text" })).toBe(false);
  });
});

describe("a test that cannot be made", () => {
  const without: Array<[string, Condition, unknown]> = [
    ["a number that is missing", { path: "n", above: 5 }, {}],
    ["a number that is a text", { path: "n", above: 5 }, { n: "1" }],
    ["a number that is none", { path: "n", below: 5 }, { n: Number.NaN }],
    ["a text that is missing", { path: "to", matches: "x" }, {}],
    ["a text that is a list", { path: "to", matches: "x" }, { to: ["a"] }],
    ["a list that is missing", { path: "lines[*].amount", above: 5 }, {}],
    ["a list that is none", { path: "lines[*].amount", above: 5 }, { lines: { amount: 1 } }],
    ["an input that is none", { path: "n", above: 5 }, null],
    ["a pattern that is kept busy", { path: "t", matches: "^(a+)+$" }, { t: `${"a".repeat(60)}!` }],
  ];
  for (const [what, text, input] of without) {
    test(`asks, and so does its opposite: ${what}`, () => {
      expect(fits(text, input)).toBe(true);
      expect(fits({ not: text }, input)).toBe(true);
    });
  }

  test("counts for nothing where the rest decides", () => {
    const open: Condition = { path: "n", above: 5 };
    const no: Condition = { path: "n", exists: true };
    expect(fits({ all: [open, no] }, {})).toBe(false);
    expect(fits({ any: [open, { not: no }] }, {})).toBe(true);
  });
});

test("all, any and not are what they say (property)", () => {
  const leaf: fc.Arbitrary<Condition> = fc.record({ path: fc.constantFrom("a", "b", "c"), equals: fc.boolean() });
  const tree = fc.letrec<{ node: Condition }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.record({ all: fc.array(tie("node"), { minLength: 1, maxLength: 3 }) }),
      fc.record({ any: fc.array(tie("node"), { minLength: 1, maxLength: 3 }) }),
      fc.record({ not: tie("node") }),
    ),
  })).node;
  const expected = (one: Condition, input: Record<string, Json>): boolean => {
    if ("all" in one) return one.all.every((inner) => expected(inner, input));
    if ("any" in one) return one.any.some((inner) => expected(inner, input));
    if ("not" in one) return !expected(one.not, input);
    return input[one.path] === one.equals;
  };
  const input = fc.record({ a: fc.boolean(), b: fc.boolean(), c: fc.boolean() });
  const same = fc.property(tree, input, (one, given) => {
    expect(meets(one, given)).toBe(expected(one, given));
  });
  fc.assert(same);
});

describe("a condition in a draft", () => {
  const inputSchema = {
    type: "object",
    properties: {
      amount_cents: { type: "integer" },
      lines: { type: "array", items: { type: "object", properties: { sku: { type: "string" } } } },
      free: { type: "object", additionalProperties: true, properties: {} },
      other: { anyOf: [{ type: "object", properties: {} }] },
    },
  };
  const problems = (when: Condition, more: object = {}) =>
    draftProblems(
      agentConfig.parse({ name: "A", tools: [{ name: "refund", approval: { when } }], ...more }),
      new Set(["refund"]),
      () => inputSchema,
    ).map(({ path }) => path);

  test("names what the tool takes", () => {
    expect(problems({ path: "amount_cents", above: 1 })).toEqual([]);
    expect(problems({ path: "lines[*].sku", equals: "a" })).toEqual([]);
    expect(problems({ path: "free.anything", equals: "a" })).toEqual([]);
    expect(problems({ path: "other.anything", equals: "a" })).toEqual([]);
    expect(problems({ any: [{ path: "amount", above: 1 }, { not: { path: "lines.sku", equals: "a" } }] })).toEqual([
      "tools[0].approval.when.any[0].path",
      "tools[0].approval.when.any[1].not.path",
    ]);
    expect(problems({ path: "amount_cents[0]", above: 1 })).toEqual([]); // no word about items
    expect(problems({ path: "lines[*].price", above: 1 })).toEqual(["tools[0].approval.when.path"]);
  });

  test("has patterns that can be used, and is of a bounded size", () => {
    expect(problems({ path: "lines[0].sku", matches: "(" })).toEqual(["tools[0].approval.when.matches"]);
    let deep: Condition = { path: "amount_cents", above: 1 };
    for (let i = 0; i < 8; i++) deep = { not: deep };
    expect(problems(deep)).toEqual([`tools[0].approval.when${".not".repeat(8)}`]);
    const fifty = Array.from({ length: 50 }, () => ({ path: "amount_cents", above: 1 }));
    expect(problems({ any: [{ all: fifty }, { all: fifty }, { all: fifty }] })).toEqual(["tools[0].approval.when"]);
  });

  test("is refused with its path where it is no condition", () => {
    const at = (approval: unknown) =>
      agentConfig
        .safeParse({ name: "A", tools: [{ name: "refund", approval }] })
        .error?.issues.map(({ path }) => path.join("."))[0];
    const wrong = [
      "sometimes",
      { when: { path: "n" } },
      { when: { path: "a..b", equals: 1 } },
      { when: { path: "n", above: 1, surprise: 1 } },
      { when: { all: [] } },
      { when: { path: "n", equals: { a: 1 } } },
    ];
    for (const approval of wrong) expect(at(approval)).toMatch(/^tools\.0\.approval/);
  });

  test("comes with approvers of whom one is not the requester, where that is asked for", () => {
    const when = { path: "amount_cents", above: 1 };
    const at = (approvals: object) => problems(when, { approvals });
    expect(at({ approvers: ["caller"], not_requester: true })).toEqual(["approvals.approvers"]);
    expect(at({ approvers: ["caller", "service"], not_requester: true })).toEqual(["approvals.approvers"]);
    expect(at({ approvers: ["caller", "owner"], not_requester: true })).toEqual([]);
    expect(at({ approvers: ["group:finance"], not_requester: true })).toEqual([]);
  });
});
