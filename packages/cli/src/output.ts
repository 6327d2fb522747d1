/** Printing answers: JSON for programs, tables and fields for people. */
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** Styled where stdout is a terminal that wants colours (`NO_COLOR` is honoured). */
export const styled = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });

export const write = (text: string): void => void process.stdout.write(text);

/** One JSON value on one line. */
export const printJson = (value: unknown): void => write(`${JSON.stringify(value)}\n`);

/**
 * Text from a server or a model without control characters other than tab and line feed, so that it cannot
 * move the cursor or speak to the terminal.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out
export const plain = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");

function cell(value: unknown): string {
  if (value === null || value === undefined) return "-";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return plain(text).replace(/[\n\t]/g, " ");
}

/** One line per field, nested values as JSON. */
export function printFields(fields: Record<string, unknown>): void {
  const width = Math.max(...Object.keys(fields).map((name) => name.length));
  for (const [name, value] of Object.entries(fields)) {
    write(`${styled("dim", name.padEnd(width))}  ${cell(value)}\n`);
  }
}

/** One thing: its fields, or JSON. */
export function printOne(json: boolean, thing: Record<string, unknown>): void {
  if (json) printJson(thing);
  else printFields(thing);
}

/** One line per row under a line of names. */
export function printTable<Column extends string>(
  columns: readonly Column[],
  rows: readonly { [C in Column]?: unknown }[],
): void {
  const lines = rows.map((row) => columns.map((column) => cell(row[column])));
  const widths = columns.map((column, i) => Math.max(column.length, ...lines.map((line) => line[i]?.length ?? 0)));
  const join = (cells: readonly string[]) =>
    cells
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  write(`${styled("dim", join(columns))}\n`);
  for (const line of lines) write(`${join(line)}\n`);
}
