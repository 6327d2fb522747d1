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

export type PageOptions = { limit?: number; cursor?: string };

/** Adds `--limit` and `--cursor`. */
export const paged = (command: Command): Command =>
  command
    .option("--limit <n>", "items on this page, 1 to 200", wholeNumber)
    .option("--cursor <cursor>", "start of the page, from the page before");

/** Leaves out everything but the page, so that other options do not reach the query. */
export const pageOf = ({ limit, cursor }: PageOptions): PageOptions => ({
  ...(limit === undefined ? {} : { limit }),
  ...(cursor === undefined ? {} : { cursor }),
});

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
  if (page.next_cursor !== null) process.stderr.write(`there are more: --cursor ${page.next_cursor}\n`);
}
