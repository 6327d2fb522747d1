/**
 * Every route × every kind of caller × own, a colleague's, another organization's, absent and malformed ids.
 *
 * M1  Each cell has the verdict of its rule.
 * M2  What is refused changes nothing and says nothing of what it was refused.
 * M3  A thing of another organization and one that is not there get the same answer, but for its request id.
 */
import { idPrefix, type Route, type RouteName, routes } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer } from "../../packages/server/src/testing/http-client.ts";
import {
  type Caller,
  type CallerName,
  callerNames,
  createWorld,
  type House,
  type KnownName,
  type OfHouse,
  strangers,
  type Works,
  type World,
} from "./cast.ts";
import { isService, type Rule, rules, serviceScopes, type Target, targets, type Verdict } from "./rules.ts";

let world: World;
beforeAll(async () => {
  world = await createWorld();
}, 600_000);
afterAll(() => world.stop());

const ABSENT = "01h455vb4pex5vsknk084sn02q";
/** The id of nothing. */
const absentOf = (thing: string): string => {
  const kinds = { model: "modelConnection", sso: "ssoConnection", upload: "file" } as const;
  const kind = thing in kinds ? kinds[thing as keyof typeof kinds] : thing;
  return `${idPrefix[kind as keyof typeof idPrefix]}_${ABSENT}`;
};

/** What the rule says of a cell; undefined where there can be no such thing. */
function verdictOf(rule: Rule, route: Route, caller: CallerName, target: Target): Verdict | undefined {
  if ((strangers as readonly string[]).includes(caller)) return 401;
  if (rule.sessionOnly === true && caller !== "session") return 403;
  if (route.scope !== null && caller === "narrow") return 403;
  if (route.scope !== null && isService(caller) && !serviceScopes.includes(route.scope)) return 403;
  if (caller === "narrow") return "pass"; // routes for any token
  return rule.may(caller as KnownName, target);
}

/** The id in the path. */
async function idOf(rule: Rule, caller: Caller, target: Target, isFresh: boolean): Promise<string> {
  const thing = rule.thing ?? "";
  const elsewhere = caller.house === world.home ? world.abroad : world.home;
  if (target === "malformed") return "nonsense";
  switch (rule.kind) {
    case "work": {
      if (target === "absent") return absentOf(thing);
      if (target === "own")
        return (isFresh ? await world.fresh.works(caller) : await world.works(caller))[thing as keyof Works];
      if (target === "foreign") return elsewhere.colleague.works[thing as keyof Works];
      const works = isFresh ? await world.fresh.colleagues(caller.house) : caller.house.colleague.works;
      return works[thing as keyof Works];
    }
    case "house": {
      if (target === "absent") return absentOf(thing);
      if (target === "foreign") return elsewhere.there[thing as OfHouse];
      return isFresh ? world.fresh.there(caller.house, thing as OfHouse) : caller.house.there[thing as OfHouse];
    }
    case "agent": {
      if (target === "absent") return `agent_${ABSENT}`;
      if (target === "foreign") return elsewhere.agents.desk;
      if (isFresh) return world.fresh.agent(caller.house);
      return target === "club" ? caller.house.agents.club : caller.house.agents.desk;
    }
    case "token": {
      if (target === "absent") return `token_${ABSENT}`;
      if (target === "foreign") return elsewhere.colleague.tokenId;
      if (target === "own") return isFresh ? world.fresh.token(caller) : caller.tokenId;
      if (target === "service")
        return isFresh ? world.fresh.tokenOf(caller.house, "service") : caller.house.serviceTokenId;
      return isFresh ? world.fresh.tokenOf(caller.house, "colleague") : caller.house.colleague.tokenId;
    }
    case "member": {
      if (target === "absent") return `user_${ABSENT}`;
      if (target === "foreign") return elsewhere.colleague.userId;
      if (target === "self") return caller.userId ?? `user_${ABSENT}`;
      return isFresh ? world.fresh.member(caller.house) : caller.house.colleague.userId;
    }
    case "session":
      return (target === "own" ? caller.sessionId : undefined) ?? absentOf("session");
    case "nothing":
      return "";
  }
}

async function knock(name: RouteName, rule: Rule, caller: Caller, id: string): Promise<Answer> {
  const route: Route = routes[name];
  const path = route.path.replace("{version}", "1").replace(/\{\w+\}/, id);
  const query = rule.query === undefined ? "" : `?${rule.query}`;
  const body = typeof rule.body === "function" ? rule.body(caller.house) : rule.body;
  if (route.answer !== "stream") return caller.send(route.method, path + query, body);
  return peek(caller, path);
}

/** A stream goes on for ever; how it begins is enough. */
async function peek(caller: Caller, path: string): Promise<Answer> {
  const stop = new AbortController();
  const response = await caller.open(path, stop.signal);
  const { status, headers } = response;
  const reader = response.body?.getReader();
  const first = status === 200 ? Buffer.from((await reader?.read())?.value ?? []).toString() : undefined;
  reader?.releaseLock();
  const text = first ?? (await response.text());
  stop.abort();
  const body = headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : undefined;
  return { method: "GET", path, status, headers, text, body };
}

const passes = (status: number): boolean => status < 500 && ![401, 403, 404].includes(status);

/** What somebody must not see: other houses' things, and, without being an admin, a colleague's. */
function mustNotSee(caller: Caller): string[] {
  const { home, abroad, callers } = world;
  const house: House = caller.house === home ? home : abroad;
  const others = [(house === home ? abroad : home).canary];
  const isAdmin = [callers.admin, callers.owner, callers.foreign].includes(caller);
  return isAdmin ? others : [...others, house.colleague.canary];
}

const tables = ["threads", "runs", "files", "jobs", "agents", "agent_versions", "tokens", "memberships"];
const more = [
  "groups",
  "model_connections",
  "budgets",
  "invitations",
  "sso_connections",
  "permissions",
  "users",
  "documents",
];
/** What people send; runs that go on meanwhile write other events. */
const sent = "(select count(*)::int from events where type like 'user.%' or type like 'thread.%') as sent";
const counts = () =>
  world.server.row<Record<string, number>>(
    `select ${sent}, ${[...tables, ...more].map((table) => `(select count(*)::int from ${table}) as ${table}`).join(", ")}`,
  );

/** The answer without what differs from request to request. */
const shape = (answer: Answer, id: string): unknown => ({
  status: answer.status,
  body: JSON.stringify(answer.body ?? answer.text)
    .replace(/req_[0-9a-z]{26}/g, "req")
    .replaceAll(id, "id"),
  headers: [...answer.headers.keys()].filter((name) => name !== "date").sort(),
});

describe.each(Object.keys(routes) as RouteName[])("%s", (name) => {
  const rule = rules[name];
  const route: Route = routes[name];

  if (rule.open === true) {
    test("treats everybody alike, whatever token they show", async () => {
      const answers = new Map<string, string[]>();
      for (const callerName of strangers) {
        const caller = world.callers[callerName];
        const answer = await knock(name, rule, caller, await idOf(rule, caller, targets[rule.kind][0], false));
        const found = `${answer.status} ${answer.body?.error?.code ?? ""}`;
        answers.set(found, [...(answers.get(found) ?? []), callerName]);
        expect(answer.text).not.toContain(world.home.canary);
      }
      expect([...answers.keys()]).toHaveLength(1);
      expect([...answers.keys()][0]).not.toMatch(/^(200|403|5)/);
    });
    return;
  }

  test("is for those it is for, and tells the others nothing", { timeout: 600_000 }, async () => {
    const wrong: string[] = [];
    for (const callerName of callerNames) {
      for (const target of targets[rule.kind]) {
        const expected = verdictOf(rule, route, callerName, target);
        if (expected === undefined) continue;
        const fresh = expected === "pass" && rule.consumes === true;
        const caller =
          fresh && callerName === "session" && rule.sessionOnly
            ? await world.fresh.session()
            : world.callers[callerName];
        const id = await idOf(rule, caller, target, fresh);
        const before = expected === "pass" ? undefined : await counts();
        const answer = await knock(name, rule, caller, id);
        if (fresh && rule.sessionOnly === true) world.callers.session = await world.fresh.session();
        const found = passes(answer.status) ? "pass" : answer.status;
        const cell = `${callerName} × ${target}`;
        if (found !== expected)
          wrong.push(`${cell}: expected ${expected}, found ${answer.status} ${answer.body?.error?.code ?? ""}`);
        for (const canary of mustNotSee(caller)) {
          if (answer.text.includes(canary)) wrong.push(`${cell}: shows ${canary}`);
        }
        if (before !== undefined)
          expect(`${cell} ${JSON.stringify(await counts())}`).toBe(`${cell} ${JSON.stringify(before)}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  if ((targets[rule.kind] as readonly string[]).includes("foreign") && rule.sessionOnly !== true) {
    test("answers alike for what is another organization's and what is not there", async () => {
      for (const callerName of callerNames) {
        const caller = world.callers[callerName];
        const [foreign, absent] = [
          await idOf(rule, caller, "foreign", false),
          await idOf(rule, caller, "absent", false),
        ];
        const answers = [await knock(name, rule, caller, foreign), await knock(name, rule, caller, absent)] as const;
        expect(`${callerName} ${JSON.stringify(shape(answers[0], foreign))}`).toBe(
          `${callerName} ${JSON.stringify(shape(answers[1], absent))}`,
        );
      }
    });
  }
});
