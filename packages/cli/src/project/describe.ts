/** A plan in words: one paragraph for each agent that changes, field by field, long texts line by line. */
import { diff } from "node:util";
import type { AgentPlan, AgentUpdate } from "@callboard/server";
import { plain, styled } from "../output.ts";
import { withoutDefaults } from "./defaults.ts";

type Change = { path: string; before?: unknown; after?: unknown };

/** Characters of a value that is shown on the line of its field. */
const SHORT = 60;
/** Lines shown around a line that changed. */
const CONTEXT = 2;

/** @returns lines without their ends; none for an agent that stays as it is */
export function describePlan(plan: AgentPlan): string[] {
  switch (plan.action) {
    case "none":
      return [];
    case "create": {
      const { slug, draft, ...settings } = plan.body;
      const fields = Object.entries({ ...settings, ...withoutDefaults(draft) });
      return [
        styled("green", `+ ${slug}: create, publish`),
        ...fields.flatMap(([path, after]) => describeChange({ path, after })),
      ];
    }
    case "update":
      return [
        styled("yellow", `~ ${plan.slug}: ${deeds(plan).join(", ")}`),
        ...plan.changes.flatMap(describeChange),
        ...(plan.discards.length === 0
          ? []
          : [`    takes back edits of the draft that were never published: ${paths(plan.discards)}`]),
      ];
    case "unpublish":
      return [styled("red", `- ${plan.slug}: unpublish; it has threads, so it is not deleted`)];
    case "delete":
      return [styled("red", `- ${plan.slug}: delete with its versions`)];
  }
}

/** `Plan: 1 to create, 2 to change, 4 unchanged.` */
export function summarize(plans: readonly AgentPlan[]): string {
  const words = { create: "to create", update: "to change", unpublish: "to unpublish", delete: "to delete" };
  const count = (action: string) => plans.filter((plan) => plan.action === action).length;
  const parts = Object.entries(words).flatMap(([action, text]) =>
    count(action) > 0 ? [`${count(action)} ${text}`] : [],
  );
  if (count("none") > 0) parts.push(`${count("none")} unchanged`);
  return `Plan: ${parts.join(", ")}.`;
}

function deeds({ write, publish, agent }: AgentUpdate): string[] {
  const { draft, ...settings } = write;
  return [
    ...(draft === undefined ? [] : ["write the draft"]),
    ...(Object.keys(settings).length === 0 ? [] : ["write the settings"]),
    ...(publish ? [`publish as version ${agent.latest_version + 1}`] : []),
  ];
}

const paths = (changes: readonly Change[]): string => changes.map(({ path }) => plain(path)).join(", ");

/** One field, from before to after. */
export function describeChange({ path, before, after }: Change): string[] {
  const name = `    ${plain(path)}`;
  const [short, shortAfter] = [inline(before), inline(after)];
  if (short !== undefined && shortAfter !== undefined) {
    if (before === undefined) return [`${name}  ${styled("green", shortAfter)}`];
    const now = after === undefined ? "(none)" : shortAfter;
    return [`${name}  ${styled("red", short)} → ${styled("green", now)}`];
  }
  return [name, ...lineDiff(linesOf(before), linesOf(after))];
}

/** The value on one line, undefined when it takes more. */
function inline(value: unknown): string | undefined {
  if (value === undefined) return "";
  if (Array.isArray(value) && value.length > 0) return undefined;
  const text = JSON.stringify(value);
  return text.length > SHORT || (typeof value === "string" && value.includes("\n")) ? undefined : plain(text);
}

function linesOf(value: unknown): string[] {
  if (value === undefined || value === "") return [];
  if (typeof value === "string") return value.split("\n");
  if (Array.isArray(value)) return value.map((item) => JSON.stringify(item));
  return JSON.stringify(value, null, 2).split("\n");
}

function lineDiff(before: string[], after: string[]): string[] {
  // Node's kinds: 1 is a line of the first list alone, -1 of the second.
  const entries = diff(before, after).map(([kind, text]) => ({ kind, text: plain(text) }));
  const near = (at: number) =>
    entries.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ kind }) => kind !== 0);
  const lines: string[] = [];
  let skipped = 0;
  for (const [at, { kind, text }] of entries.entries()) {
    if (kind === 0 && !near(at)) {
      skipped++;
      continue;
    }
    if (skipped > 0) lines.push(unchanged(skipped));
    skipped = 0;
    if (kind === 0) lines.push(`        ${text}`);
    else lines.push(kind === 1 ? styled("red", `      - ${text}`) : styled("green", `      + ${text}`));
  }
  if (skipped > 0) lines.push(unchanged(skipped));
  return lines;
}

const unchanged = (count: number): string =>
  styled("dim", `        … ${count} unchanged line${count === 1 ? "" : "s"}`);
