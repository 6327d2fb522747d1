/** The rules as the table of the access guide. */
import { type Route, type RouteName, routes } from "@callboard/protocol";
import type { KnownName } from "./cast.ts";
import { type Rule, rules, serviceScopes, type Target } from "./rules.ts";

const columns = ["guest", "member", "admin", "owner", "scoped"] as const satisfies readonly KnownName[];

/** What one kind of caller may do with the things of the rule. */
function cell(rule: Rule, route: Route, caller: (typeof columns)[number]): string {
  if (rule.sessionOnly === true) return caller === "scoped" ? "no" : "session";
  const found = cellOf(rule, caller);
  // Beyond the scopes that a service token has when it names none.
  const isMore = caller === "scoped" && route.scope !== null && !serviceScopes.includes(route.scope);
  return isMore && found !== "no" ? `${found} †` : found;
}

function cellOf(rule: Rule, caller: (typeof columns)[number]): string {
  const may = (target: Target): boolean => rule.may(caller, target) === "pass";
  switch (rule.kind) {
    case "work":
      return may("colleague") ? "all" : may("own") ? "own" : "no";
    case "token":
      return may("colleague") || may("service") ? "all" : may("own") ? "own" : "no";
    case "agent":
      return may("club") ? "all" : may("open") ? "open" : "no";
    case "house":
      return may("there") ? "yes" : rule.may(caller, "there") === 404 ? "granted" : "no";
    case "member":
      return may("colleague") ? "yes" : "no";
    case "session":
    case "nothing":
      return may("-") ? "yes" : "no";
  }
}

/** Markdown; routes of a kind that are alike share a row. */
export function accessTable(): string {
  const rows = new Map<string, { names: string[]; cells: string[] }>();
  for (const name of Object.keys(routes) as RouteName[]) {
    const [rule, route]: [Rule, Route] = [rules[name], routes[name]];
    if (rule.open === true) continue;
    const cells = columns.map((caller) => cell(rule, route, caller));
    const key = `${route.tag} ${cells.join(" ")}`;
    rows.set(key, { names: [...(rows.get(key)?.names ?? []), name], cells });
  }
  const lines = [...rows.values()].map(
    ({ names, cells }) => `| ${names.map((name) => `\`${name}\``).join(" ")} | ${cells.join(" | ")} |`,
  );
  return [
    "| routes | guest | member | admin | owner | service token |",
    "| --- | --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}
