import { describe, expect, test } from "vitest";
import { type BudgetRow, type BudgetRun, counterOf, exceeded, periodStart } from "./budget.ts";

const run: BudgetRun = { organization: "o", run: "r", thread: "t", agent: "a", user: "u", token: "k" };
const budget = (subject_kind: BudgetRow["subject_kind"], subject_id: string | null = null) => ({
  subject_kind,
  subject_id,
});

describe("a budget counts a run", () => {
  test.each([
    [budget("organization"), run, "o"],
    [budget("agent", "a"), run, "a"],
    [budget("agent", "b"), run, undefined],
    [budget("agent", "a"), { ...run, agent: null }, undefined],
    [budget("user", "u"), run, "u"],
    [budget("user", "v"), run, undefined],
    [budget("each_user"), run, "u"],
    [budget("each_user"), { ...run, user: null }, undefined],
    [budget("token", "k"), run, "k"],
    [budget("token", "l"), run, undefined],
  ])("%j of %j: %s", (one, of, counter) => {
    expect(counterOf(one, of)).toBe(counter);
  });
});

test("days and months begin in UTC", () => {
  const late = new Date("2026-02-28T23:59:59.999-01:00");
  expect([periodStart("day", late), periodStart("month", late)]).toEqual(["2026-03-01", "2026-03-01"]);
  const early = new Date("2026-03-01T00:00:00+02:00");
  expect([periodStart("day", early), periodStart("month", early)]).toEqual(["2026-02-28", "2026-02-01"]);
});

test("a refusal names whose budget it is, and its limits", () => {
  const row: BudgetRow = {
    id: "b",
    ...budget("token", "k"),
    period: "day",
    limit_micros: 100,
    limit_tokens: 50,
    action: "stop",
    created_at: "",
  };
  expect(exceeded(row, { micros: 7, tokens: 9 })).toBe(
    "the service's budget of the day has no room for a model call of up to 7 of its 100 micro-dollars and 9 of its 50 tokens",
  );
});
