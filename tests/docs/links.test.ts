/** Links between pages lead somewhere. */
import { existsSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { headings, pages, prose, read, root } from "./pages.ts";

/** The targets of a page's links that stay inside the repository. */
function targets(text: string): string[] {
  const links = [...prose(text).matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return links.filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target));
}

/** What is wrong with a link of `page`, or undefined. */
function problem(page: string, target: string): string | undefined {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? page : posix.join(posix.dirname(page), path);
  if (!existsSync(join(root, file))) return "there is no such file";
  if (anchor === undefined) return undefined;
  if (!file.endsWith(".md") || !statSync(join(root, file)).isFile()) return "only pages have headings";
  return headings(read(file)).some((heading) => heading.anchor === anchor) ? undefined : "there is no such heading";
}

test("every relative link leads to a file and a heading that exist", () => {
  const all = pages().flatMap((page) => targets(read(page)).map((target) => ({ page, target })));
  expect(all.length).toBeGreaterThan(20);
  const broken = all.flatMap(({ page, target }) => {
    const found = problem(page, target);
    return found === undefined ? [] : [`${page}: ${target}: ${found}`];
  });
  expect(broken).toEqual([]);
});

test("every page of the documentation can be reached from the README", () => {
  const reached = new Set(["README.md"]);
  for (const page of reached) {
    for (const target of targets(read(page))) {
      const file = posix.join(posix.dirname(page), target.split("#")[0] || posix.basename(page));
      if (file.endsWith(".md") && existsSync(join(root, file))) reached.add(file);
    }
  }
  expect(pages().filter((page) => page.startsWith("docs/") && !reached.has(page))).toEqual([]);
});

describe("the rule itself", () => {
  test.each([
    ["docs/errors.md", "nowhere.md", "there is no such file"],
    ["docs/errors.md", "glossary.md#nowhere", "there is no such heading"],
    ["docs/errors.md", "#nowhere", "there is no such heading"],
    ["docs/errors.md", "../package.json#name", "only pages have headings"],
  ])("refuses in %s a link to %s", (page, target, expected) => {
    expect(problem(page, target)).toBe(expected);
  });

  test("gives headings the anchors that Git hosts give them", () => {
    const text = "# A & B: `once`, twice\n\n```sh\n# no heading\n```\n\n## ① Start\n## run_active\n## run_active\n";
    expect(headings(text).map(({ anchor }) => anchor)).toEqual([
      "a--b-once-twice",
      "①-start",
      "run_active",
      "run_active-1",
    ]);
  });

  test("looks at links outside of code only", () => {
    expect(targets("[a](b.md) [c](https://example.com)\n```ts\n[d](e.md)\n```\n")).toEqual(["b.md"]);
  });
});
