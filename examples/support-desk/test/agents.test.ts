import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import accountSpecialist from "../agents/account-specialist.ts";
import casePlanner from "../agents/case-planner.ts";
import deviceSpecialist from "../agents/device-specialist.ts";
import escalationDesk from "../agents/escalation-desk.ts";
import helpCenter from "../agents/help-center.ts";
import refundDesk from "../agents/refund-desk.ts";
import reportWriter from "../agents/report-writer.ts";
import teamRunbooks from "../agents/team-runbooks.ts";
import ticketClassifier from "../agents/ticket-classifier.ts";
import ticketTriage from "../agents/ticket-triage.ts";

const agents = {
  "account-specialist": accountSpecialist,
  "case-planner": casePlanner,
  "device-specialist": deviceSpecialist,
  "escalation-desk": escalationDesk,
  "help-center": helpCenter,
  "refund-desk": refundDesk,
  "report-writer": reportWriter,
  "team-runbooks": teamRunbooks,
  "ticket-classifier": ticketClassifier,
  "ticket-triage": ticketTriage,
};
const namesIn = (folder: string) =>
  readdirSync(new URL(`../${folder}/`, import.meta.url)).map((name) => name.replace(/\.ts$/, ""));

/** Tools of the server itself that agents here use. */
const builtIn = ["documents_read", "documents_search", "list_files", "workspace_run"];

test("every file in agents is tested here", () => {
  expect(namesIn("agents").toSorted()).toEqual(Object.keys(agents).toSorted());
});

describe.each(Object.entries(agents))("%s", (_slug, { definition }) => {
  const { instructions = "", variables = {} } = definition;
  const has = (definition.tools ?? []).map((one) => (typeof one === "string" ? one : one.name));

  test("has tools that exist", () => {
    for (const name of has) expect([...namesIn("tools"), ...builtIn]).toContain(name);
  });

  test("calls agents that exist", () => {
    for (const slug of definition.agents ?? []) expect(Object.keys(agents)).toContain(slug);
  });

  test("declares the variables that its instructions use, and no others", () => {
    const used = [...instructions.matchAll(/\$\{([A-Z][A-Z0-9_]*)(?::-[^}]*)?\}/g)].map((match) => match[1]);
    expect([...new Set(used)].toSorted()).toEqual(Object.keys(variables).toSorted());
  });

  test("names only tools that it has", () => {
    // `escalate` is a word of its own, so only names with an underscore are surely names.
    for (const name of [...namesIn("tools"), ...builtIn].filter((one) => one.includes("_"))) {
      if (instructions.includes(name)) expect(has).toContain(name);
    }
  });
});

test("the triage agent's product is any, unless a caller says otherwise", () => {
  expect(ticketTriage.definition.variables?.PRODUCT).toMatchObject({
    schema: { enum: ["any", "Dovetill", "Skeinbook", "Mossgate", "Account"] },
    default: "any",
  });
});

test("the escalation desk asks a person before it escalates", () => {
  expect(escalationDesk.definition.tools).toContainEqual({ name: "escalate", approval: "always" });
});

test("the refund desk asks finance about more than 50.00", () => {
  expect(refundDesk.definition.tools).toContainEqual({
    name: "refund",
    approval: { when: { path: "amount_cents", above: 5_000 } },
  });
  expect(refundDesk.definition.approvals).toMatchObject({ approvers: ["owner", "group:finance"] });
});
