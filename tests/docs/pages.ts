/** The documentation's pages, and the pieces of Markdown that the tests here look at. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** The text of a file, named from the root of the repository. */
export const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Every Markdown page of the repository, from its root, with forward slashes. */
export function pages(): string[] {
  const found = ["docs", "packages", "examples", "tests"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  );
  return ["README.md", ...found.map((path) => path.replaceAll("\\", "/"))].filter(
    (path) => path.endsWith(".md") && !/\/(node_modules|dist|\.callboard)\//.test(path),
  );
}

/** A page without its blocks of code. */
export const prose = (text: string): string => text.replace(/^(```+).*\n[\s\S]*?^\1\s*$/gm, "");

export type Heading = { level: number; text: string; anchor: string };

/** The headings of a page, with the anchors that Git hosts give them. */
export function headings(text: string): Heading[] {
  const seen = new Map<string, number>();
  return [...prose(text).matchAll(/^(#{1,6})\s+(.+?)\s*$/gm)].map(([, marks = "", title = ""]) => {
    const slug = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-");
    const before = seen.get(slug);
    seen.set(slug, (before ?? 0) + 1);
    return { level: marks.length, text: title, anchor: before === undefined ? slug : `${slug}-${before}` };
  });
}

/** The part of a page under one of its headings of the second level. */
export function section(text: string, title: string): string {
  const [, after] = text.split(new RegExp(`^## ${title}\\s*$`, "m"));
  if (after === undefined) throw new Error(`there is no section ${title}`);
  return after.split(/^## /m)[0] as string;
}

/** The cells of each row of the tables in a text, without heads and lines. */
export function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("|"));
  return lines
    .filter((line, i) => !/^\|[\s|:-]+\|$/.test(line) && !/^\|[\s|:-]+\|$/.test(lines[i + 1] ?? ""))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
}
