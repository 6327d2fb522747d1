/** Options and arguments that several commands share. */
import type { Page } from "@callboard/client";
import { type Command, InvalidArgumentError } from "commander";
import { printJson, printTable } from "./output.ts";

/** For an option that may be given many times. A greedy `<path...>` would swallow the arguments after it. */
export const collect = (value: string, before: string[] = []): string[] => [...before, value];

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}

/** A number that is taken away with a word: an option's text for null. Not null itself: commander makes it "". */
export const numberOr =
  <W extends string>(word: W) =>
  (text: string): number | W => {
    if (text === word) return word;
    if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError(`Expected a whole number, or ${word}.`);
    return Number(text);
  };

/** What was given, without what was not: an absent field is not sent. */
export const given = <T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;

/** What is to be changed; ends the command when that is nothing. */
export function changes<T extends Record<string, unknown>>(command: Command, fields: T): ReturnType<typeof given<T>> {
  const changed = given(fields);
  if (Object.keys(changed).length === 0) command.error("error: expected an option that says what to change");
  return changed;
}

export type PageOptions = { limit?: number; cursor?: string };

/** Items of one request; the server gives no more. */
const LARGEST_PAGE = 200;

function limit(text: string): number {
  if (text === "all") return Number.POSITIVE_INFINITY;
  const count = wholeNumber(text);
  if (count === 0) throw new InvalidArgumentError("Expected at least 1, or all.");
  return count;
}

/** Adds `--limit` and `--cursor`. */
export const paged = (command: Command): Command =>
  command
    .option("--limit <n>", "how many at most, or all (default: 50)", limit)
    .option("--cursor <cursor>", "where to go on, from the list before");

/** As many as were asked for, with as many requests as it takes; what is left has a `next_cursor`. */
export async function listed<T>(
  { limit, cursor }: PageOptions,
  list: (page: PageOptions) => Promise<Page<T>>,
): Promise<Page<T>> {
  const data: T[] = [];
  for (let at = cursor; ; ) {
    const wanted = limit === undefined ? undefined : Math.min(LARGEST_PAGE, limit - data.length);
    const page = await list(given({ limit: wanted, cursor: at }));
    data.push(...page.data);
    if (page.next_cursor === null || limit === undefined || data.length >= limit) return { ...page, data };
    at = page.next_cursor;
  }
}

export function printPage<Column extends string, Row extends { [C in Column]?: unknown }>(
  json: boolean,
  page: Page<Row>,
  columns: readonly Column[],
): void {
  if (json) {
    printJson(page);
    return;
  }
  printTable(columns, page.data);
  if (page.next_cursor !== null) process.stderr.write(`there are more: --limit all, or --cursor ${page.next_cursor}\n`);
}
