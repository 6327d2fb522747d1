import { type CallboardError, newId, type Role, type Scope, scopes } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { type Caller, principalId } from "./caller.ts";
import * as decide from "./decide.ts";

const organizationId = newId("organization");
const owner = newId("user");
const group = { id: newId("group"), slug: "support" };

function caller(role: Role, more: Partial<Caller> = {}): Caller {
  return {
    organizationId,
    kind: "user",
    tokenId: newId("token"),
    userId: newId("user"),
    email: "a@example.com",
    role,
    groups: [],
    scopes: new Set(scopes),
    agentIds: null,
    mayAttribute: false,
    membersEditAgents: false,
    rawRuns: true,
    limits: { requestsPerMinute: null, organizationRequestsPerMinute: null, runsAtOnce: null },
    epoch: 1,
    expiresAtMs: null,
    ...more,
  };
}
const service = (more: Partial<Caller> = {}): Caller => ({
  ...caller("member"),
  kind: "service",
  userId: null,
  email: null,
  role: null,
  agentIds: new Set([agent().id]),
  ...more,
});

const id = newId("agent");
const agent = (more: Partial<decide.AgentFacts> = {}): decide.AgentFacts => ({
  id,
  slug: "triage",
  ownerId: owner,
  accessMode: "organization",
  apiAccess: true,
  liveVersion: 1,
  invitedUsers: [],
  invitedGroups: [],
  ...more,
});
const invited = (more: Partial<decide.AgentFacts> = {}) => agent({ accessMode: "invited", ...more });

function outcome(work: () => unknown): string {
  try {
    work();
    return "granted";
  } catch (error) {
    return (error as CallboardError).code;
  }
}

describe("calling an agent", () => {
  const call = (who: Caller, facts: decide.AgentFacts | undefined) => outcome(() => decide.callAgent(who, facts));

  test("is granted to active members, with what the grant is about", () => {
    for (const role of ["owner", "admin", "member"] as const) expect(call(caller(role), agent())).toBe("granted");
    const who = caller("member");
    expect(decide.callAgent(who, agent())).toMatchObject({ caller: who, organizationId, subject: id });
  });

  test("is refused in the order visible, published, API access, access mode", () => {
    const closed = { liveVersion: null, apiAccess: false, accessMode: "invited" as const };
    const stranger = service({ agentIds: new Set() });
    expect(call(stranger, agent(closed))).toBe("not_found");
    expect(call(caller("member"), agent(closed))).toBe("agent_not_published");
    expect(call(caller("member"), agent({ ...closed, liveVersion: 1 }))).toBe("api_access_disabled");
    expect(call(caller("member"), invited())).toBe("forbidden");
    expect(call(caller("member"), agent())).toBe("granted");
  });

  test("without the scope is refused before anything is said about the agent", () => {
    expect(call(caller("owner", { scopes: new Set<Scope>(["threads:read"]) }), undefined)).toBe("insufficient_scope");
  });

  test("in mode invited is for the owner, invited people and invited groups", () => {
    const guestOfHonour = caller("member");
    expect(call(caller("member", { userId: owner }), invited())).toBe("granted");
    expect(call(guestOfHonour, invited({ invitedUsers: [guestOfHonour.userId as typeof owner] }))).toBe("granted");
    expect(call(caller("member", { groups: [group] }), invited({ invitedGroups: [group.id] }))).toBe("granted");
    expect(call(caller("member", { groups: [group] }), invited({ invitedGroups: [newId("group")] }))).toBe("forbidden");
    expect(call(caller("admin"), invited())).toBe("forbidden");
  });

  test("is refused to guests, invited or not", () => {
    const guest = caller("guest");
    expect(call(guest, agent())).toBe("forbidden");
    expect(call(guest, invited({ invitedUsers: [guest.userId as typeof owner] }))).toBe("forbidden");
  });

  test("by a service token goes through its list alone", () => {
    expect(call(service(), invited())).toBe("granted");
    expect(call(service({ agentIds: new Set([newId("agent")]) }), agent())).toBe("not_found");
  });
});

describe("joining a run that is under way", () => {
  const [ida, igor] = [newId("user"), newId("user")];
  const [bot, otherBot] = [newId("token"), newId("token")];
  const all: Scope[] = ["threads:read", "threads:write", "documents:read"];
  const person = (userId: typeof ida, more: Partial<decide.Working> = {}): decide.Working => ({
    kind: "user",
    userId,
    tokenId: newId("token"),
    scopes: all,
    ...more,
  });
  const worker = (tokenId: typeof bot, userId: typeof ida | null = null): decide.Working => ({
    kind: "service",
    userId,
    tokenId,
    scopes: all,
  });
  const few: Scope[] = ["threads:read", "threads:write"];

  test.each<[string, decide.Working, decide.Working, string]>([
    ["one's own, with any token that has its scopes", person(ida), person(ida), "granted"],
    ["one's own with fewer scopes", person(ida), person(ida, { scopes: few }), "granted"],
    ["one's own with more scopes", person(ida, { scopes: few }), person(ida), "insufficient_scope"],
    ["somebody else's", person(igor), person(ida), "forbidden"],
    ["a service's", person(igor), worker(bot), "forbidden"],
    ["the one that a service has for oneself", person(ida), worker(bot, ida), "granted"],
    ["the one that a service has for somebody else", person(igor), worker(bot, ida), "forbidden"],
    ["a service its own", worker(bot), worker(bot), "granted"],
    ["a service another one's", worker(otherBot), worker(bot), "forbidden"],
    ["a service its own for a person", worker(bot, ida), worker(bot, ida), "granted"],
    ["a service another one's for the same person", worker(otherBot, ida), worker(bot, ida), "forbidden"],
    ["a service that person's own", worker(bot, ida), person(ida), "forbidden"],
    ["a service its own for somebody, for itself", worker(bot), worker(bot, ida), "forbidden"],
  ])("%s", (_, sender, run, expected) => {
    expect(outcome(() => decide.steerRun(sender, run))).toBe(expected);
  });
});

describe("reading and editing an agent", () => {
  const read = (who: Caller, facts: decide.AgentFacts | undefined) => outcome(() => decide.readAgent(who, facts));
  const edit = (who: Caller, facts: decide.AgentFacts | undefined) => outcome(() => decide.editAgent(who, facts));
  const share = (who: Caller, facts: decide.AgentFacts | undefined) => outcome(() => decide.shareAgent(who, facts));
  const maker = { membersEditAgents: true };

  test("an absent agent is not found by anybody", () => {
    for (const who of [caller("owner"), caller("guest"), service()]) {
      expect([read(who, undefined), edit(who, undefined), share(who, undefined)]).toEqual(Array(3).fill("not_found"));
    }
  });

  test("everybody in the organization reads one that is open, admins also one for invited people", () => {
    expect((["owner", "admin", "member", "guest"] as const).map((role) => read(caller(role), agent()))).toEqual(
      Array(4).fill("granted"),
    );
    expect((["owner", "admin", "member", "guest"] as const).map((role) => read(caller(role), invited()))).toEqual([
      "granted",
      "granted",
      "forbidden",
      "forbidden",
    ]);
  });

  test("owners and admins edit, members where the organization allows it, guests and services never", () => {
    expect(edit(caller("owner"), invited())).toBe("granted");
    expect(edit(caller("admin"), invited())).toBe("granted");
    expect(edit(caller("member"), agent())).toBe("forbidden");
    expect(edit(caller("member", maker), agent())).toBe("granted");
    expect(edit(caller("member", maker), invited())).toBe("forbidden");
    expect(edit(caller("guest", maker), agent())).toBe("forbidden");
    expect(edit(service(maker), agent())).toBe("forbidden");
  });

  test("who may use it is decided by admins and its owner", () => {
    expect(share(caller("admin"), invited())).toBe("granted");
    expect(share(caller("member", maker), agent())).toBe("forbidden");
    expect(share(caller("member", { ...maker, userId: owner }), agent())).toBe("granted");
    expect(share(caller("member", { userId: owner }), agent())).toBe("forbidden");
  });

  test("creating follows the same rule as editing", () => {
    const create = (who: Caller) => outcome(() => decide.createAgent(who));
    expect([create(caller("owner")), create(caller("admin")), create(caller("member", maker))]).toEqual(
      Array(3).fill("granted"),
    );
    expect([create(caller("member")), create(caller("guest", maker)), create(service(maker))]).toEqual(
      Array(3).fill("forbidden"),
    );
  });
});

describe("a thread", () => {
  const me = caller("member");
  const facts = (more: Partial<decide.ThreadFacts> = {}): decide.ThreadFacts => ({
    id: newId("thread"),
    agentId: null,
    createdByKind: "user",
    createdById: newId("user"),
    attributedUserId: null,
    ...more,
  });
  const read = (who: Caller, thread: decide.ThreadFacts | undefined) => outcome(() => decide.readThread(who, thread));

  test("is seen by its creator and the attributed user as their own", () => {
    expect(decide.readThread(me, facts({ createdById: me.userId as typeof owner })).asAdmin).toBe(false);
    expect(decide.readThread(me, facts({ attributedUserId: me.userId })).asAdmin).toBe(false);
  });

  test("of a service token is seen by that token and not by another one", () => {
    const bot = service();
    const thread = facts({ createdByKind: "service", createdById: principalId(bot) });
    expect(read(bot, thread)).toBe("granted");
    expect(read(service(), thread)).toBe("not_found");
    expect(read(me, thread)).toBe("not_found");
  });

  test("of somebody else does not exist, except for owners and admins, who see it as such", () => {
    expect(read(me, facts())).toBe("not_found");
    expect(read(service(), facts())).toBe("not_found");
    expect(decide.readThread(caller("admin"), facts()).asAdmin).toBe(true);
    expect(decide.writeThread(caller("owner"), facts()).asAdmin).toBe(true);
  });

  test("of somebody else and an absent one are refused with the same words", () => {
    const said = (thread: decide.ThreadFacts | undefined) => {
      try {
        decide.readThread(me, thread);
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(said(facts())).toBe(said(undefined));
  });

  test("is read but not written by a guest", () => {
    const guest = caller("guest");
    const own = facts({ createdById: guest.userId as typeof owner });
    expect(read(guest, own)).toBe("granted");
    expect(outcome(() => decide.writeThread(guest, own))).toBe("forbidden");
    expect(outcome(() => decide.writeThread(guest, facts()))).toBe("not_found");
  });
});

describe("attribution", () => {
  const bot = service({ mayAttribute: true });
  const person = (role: Role) => ({ userId: newId("user"), role, groupIds: [] });
  const attribute = (who: Caller, to: decide.Person | undefined, facts = agent()) =>
    outcome(() => decide.attributeTo(who, to, facts));

  test("is for service tokens with that right", () => {
    expect(attribute(bot, person("member"))).toBe("granted");
    expect(attribute(service(), person("member"))).toBe("attribution_not_allowed");
    expect(attribute(caller("owner", { mayAttribute: true }), person("member"))).toBe("attribution_not_allowed");
  });

  test("is to somebody who may use the agent himself", () => {
    expect(attribute(bot, undefined)).toBe("attribution_not_allowed");
    expect(attribute(bot, person("guest"))).toBe("attribution_not_allowed");
    expect(attribute(bot, person("owner"), invited())).toBe("attribution_not_allowed");
    expect(attribute(bot, { ...person("member"), groupIds: [group.id] }, invited({ invitedGroups: [group.id] }))).toBe(
      "granted",
    );
  });
});

describe("the organization", () => {
  const acts = {
    readMembers: decide.readMembers,
    manageMembers: decide.manageMembers,
    manageTokens: decide.manageTokens,
    readModels: decide.readModels,
    manageModels: decide.manageModels,
    manageOrganization: decide.manageOrganization,
    readAudit: decide.readAudit,
    rawRun: decide.rawRun,
  };
  const g = "granted";
  const f = "forbidden";
  const expected: Record<keyof typeof acts, Record<Role | "service", string>> = {
    readMembers: { owner: g, admin: g, member: g, guest: f, service: g },
    manageMembers: { owner: g, admin: g, member: f, guest: f, service: f },
    manageTokens: { owner: g, admin: g, member: g, guest: g, service: g },
    readModels: { owner: g, admin: g, member: g, guest: f, service: g },
    manageModels: { owner: g, admin: g, member: f, guest: f, service: f },
    manageOrganization: { owner: g, admin: g, member: f, guest: f, service: f },
    readAudit: { owner: g, admin: g, member: f, guest: f, service: g },
    rawRun: { owner: g, admin: g, member: g, guest: f, service: g },
  };
  for (const [name, act] of Object.entries(acts) as Array<[keyof typeof acts, (who: Caller) => unknown]>) {
    test(`${name} is decided for every role`, () => {
      for (const [role, result] of Object.entries(expected[name])) {
        const who = role === "service" ? service() : caller(role as Role);
        expect([role, outcome(() => act(who))]).toEqual([role, result]);
      }
    });
    test(`${name} needs its scope`, () => {
      expect(outcome(() => act(caller("owner", { scopes: new Set() })))).toBe("insufficient_scope");
    });
  }

  test("raw runs need the organization's consent", () => {
    expect(outcome(() => decide.rawRun(caller("owner", { rawRuns: false })))).toBe("forbidden");
  });
});

describe("calling an endpoint", () => {
  const call = (who: Caller, rule?: decide.EndpointRule) => outcome(() => decide.callEndpoint(who, "triage", rule));

  test("is granted to members and services, and to guests only by name", () => {
    for (const role of ["owner", "admin", "member"] as const) expect(call(caller(role))).toBe("granted");
    expect(call(service())).toBe("granted");
    expect(call(caller("guest"))).toBe("forbidden");
    expect(call(caller("guest"), { roles: ["guest"] })).toBe("granted");
    expect(call(caller("member", { scopes: new Set(["threads:read"]) }))).toBe("insufficient_scope");
  });

  test("asks for each condition that is given", () => {
    const rule = { roles: ["member"], groups: ["support"], scopes: ["audit:read"] } as const;
    expect(call(caller("member", { groups: [group] }), rule)).toBe("granted");
    expect(call(caller("admin", { groups: [group] }), rule)).toBe("forbidden");
    expect(call(caller("member"), rule)).toBe("forbidden");
    const narrow = new Set<Scope>(["threads:write"]);
    expect(call(caller("member", { groups: [group], scopes: narrow }), rule)).toBe("insufficient_scope");
    expect(call(service(), { groups: ["support"] })).toBe("forbidden");
    expect(call(service(), { roles: ["member"] })).toBe("forbidden");
  });
});

describe("a job", () => {
  const jobOf = (who: Caller): decide.JobFacts => ({
    id: newId("job"),
    createdByKind: who.kind,
    createdById: principalId(who),
  });

  test("is there for its creator and for admins, who are told apart", () => {
    const who = caller("member");
    const job = jobOf(who);
    expect(decide.readJob(who, job)).toMatchObject({ grant: { subject: job.id }, asAdmin: false });
    expect(decide.cancelJob(caller("admin"), job).asAdmin).toBe(true);
    for (const stranger of [caller("member"), service()]) {
      expect(outcome(() => decide.readJob(stranger, job))).toBe("not_found");
      expect(outcome(() => decide.cancelJob(stranger, job))).toBe("not_found");
    }
    expect(outcome(() => decide.readJob(who, undefined))).toBe("not_found");
  });

  test("takes the scopes of threads", () => {
    const reader = caller("member", { scopes: new Set(["threads:read"]) });
    expect(outcome(() => decide.readJob(reader, jobOf(reader)))).toBe("granted");
    expect(outcome(() => decide.cancelJob(reader, jobOf(reader)))).toBe("insufficient_scope");
  });
});
