/** What the demo model makes of tool results: short lines to quote, and facts to fill schemas from. */
import type { Json } from "@callboard/protocol";
import type { Source } from "./demo-fill.ts";
import { firstLine } from "./demo-words.ts";
import type { ToolResult } from "./model.ts";

const MAX_LINES = 5;
const MAX_FACTS = 200;

const titles = ["title", "name", "subject", "summary", "label", "question", "text", "message"];
const ids = ["id", "key", "slug", "number", "reference", "code"];
const extras = ["status", "state", "priority", "price", "total", "answer", "date"];

/** One result as a paragraph: the titles and ids it found, or its text when it is not JSON. */
export function quote({ tool, isError, text }: ToolResult): string {
  if (isError) return `${tool} failed: ${firstLine(text, 200)}`;
  const value = parse(text);
  const lines = value === undefined ? [] : records(value).flatMap(describe);
  if (lines.length === 0)
    return `${tool} answered: ${firstLine(value === undefined ? text : JSON.stringify(value), 280)}`;
  const more = lines.length > MAX_LINES ? [`- and ${lines.length - MAX_LINES} more`] : [];
  return [`${tool} found:`, ...lines.slice(0, MAX_LINES).map((line) => `- ${line}`), ...more].join("\n");
}

/** The named texts and numbers of the results, latest result first. */
export function factsOf(results: readonly ToolResult[]): Source["facts"] {
  const facts: { key: string; value: string | number }[] = [];
  for (const { isError, text } of results.toReversed()) {
    const value = isError ? undefined : parse(text);
    if (value !== undefined) collect(value, "", facts, 0);
  }
  return facts;
}

function collect(value: Json, key: string, facts: { key: string; value: string | number }[], depth: number): void {
  if (facts.length >= MAX_FACTS || depth > 8) return;
  if (typeof value === "string" || typeof value === "number") {
    if (key !== "" && value !== "") facts.push({ key: key.toLowerCase(), value });
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, key, facts, depth + 1);
  } else if (typeof value === "object" && value !== null) {
    for (const [name, item] of Object.entries(value)) collect(item, name, facts, depth + 1);
  }
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

type Record = { [key: string]: Json };

/** The objects worth a line: the items of a list wherever it sits, else the object itself. */
function records(value: Json, depth = 0): Record[] {
  if (typeof value !== "object" || value === null || depth > 4) return [];
  if (Array.isArray(value)) return value.flatMap((item) => (isRecord(item) ? [item] : []));
  for (const item of Object.values(value)) {
    const inner = Array.isArray(item) ? records(item, depth + 1) : [];
    if (inner.length > 0) return inner;
  }
  if (pick(value, titles) !== undefined || pick(value, ids) !== undefined) return [value];
  return Object.values(value).flatMap((item) => records(item, depth + 1));
}

function isRecord(value: Json): value is Record {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(record: Record): string[] {
  const id = pick(record, ids);
  const title = pick(record, titles);
  if (id === undefined && title === undefined) return [];
  const name = [id, title && firstLine(title, 120)].filter((text) => text !== undefined).join(": ");
  const rest = extras.flatMap((key) => (isPlain(record[key]) ? [`${key} ${firstLine(`${record[key]}`, 60)}`] : []));
  return [rest.length === 0 ? name : `${name} (${rest.join(", ")})`];
}

function pick(record: Record, keys: readonly string[]): string | undefined {
  const own = keys.find((key) => isPlain(record[key]));
  if (own !== undefined) return `${record[own]}`;
  // `ticket_id` is as good as `id`.
  const other = Object.keys(record).find(
    (name) => isPlain(record[name]) && keys.some((key) => name.endsWith(`_${key}`)),
  );
  return other === undefined ? undefined : `${record[other]}`;
}

function isPlain(value: Json | undefined): value is string | number {
  return (typeof value === "string" && value !== "") || typeof value === "number";
}
