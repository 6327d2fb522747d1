/**
 * Ids in other places than the path: bodies, filters of lists, cursors and headers.
 *
 * X1  Another organization's id does what an id of nothing does: the same answer, and no effect.
 * X2  So does a colleague's, for who may not see the colleague's things.
 * X3  No answer shows what its caller must not see.
 */
import { idPrefix, type UserId } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer } from "../../packages/server/src/testing/http-client.ts";
import {
  type Anything,
  type Caller,
  createWorld,
  type House,
  type KnownName,
  known,
  type Works,
  type World,
} from "./cast.ts";

let world: World;
beforeAll(async () => {
  world = await createWorld();
}, 600_000);
afterAll(() => world.stop());

/** Ids of one house, by what they are of. */
type Ids = Works & {
  user: string;
  agent: string;
  group: string;
  collection: string;
  model: string;
};
const idsOf = (house: House): Ids => ({
  ...house.colleague.works,
  user: house.colleague.userId,
  agent: house.agents.desk,
  group: house.there.group,
  collection: house.there.collection,
  model: house.there.model,
});
const kinds = { upload: "file", model: "modelConnection" } as const;
const absentOf = (thing: keyof Ids): string => {
  const kind = thing in kinds ? kinds[thing as keyof typeof kinds] : thing;
  return `${idPrefix[kind as keyof typeof idPrefix]}_01h455vb4pex5vsknk084sn02q`;
};
const cursorOf = (key: string): string => Buffer.from(key).toString("base64url");

type Place = {
  /** Where the id stands. */
  name: string;
  thing: keyof Ids;
  send: (caller: Caller, id: string, own: Works) => Promise<Answer>;
  /** `refused`: a status of 400 and more. `empty`: a list that shows nothing of it. */
  answer: "refused" | "empty";
  /** A colleague's is the caller's to name: members know each other. */
  colleague?: "named";
};

const message = (content: Anything) => ({ type: "user.message", content });
const post = (caller: Caller, path: string, json: unknown) => caller.send("POST", path, json);
const get = (caller: Caller, path: string) => caller.send("GET", path);
let count = 0;
const slug = () => `elsewhere-${++count}`;

const desk = (caller: Caller) => `/agents/${caller.house.agents.desk}`;
const places: Place[] = [
  // Bodies
  {
    name: "files of a new thread",
    thing: "upload",
    answer: "refused",
    send: (c, id) => post(c, `${desk(c)}/threads`, { files: [id] }),
  },
  {
    name: "a file in a new thread's message",
    thing: "upload",
    answer: "refused",
    send: (c, id) => post(c, `${desk(c)}/threads`, { input: message([{ type: "file", file_id: id }]) }),
  },
  {
    name: "a file in a message",
    thing: "upload",
    answer: "refused",
    send: (c, id, own) => post(c, `/threads/${own.thread}/events`, message([{ type: "file", file_id: id }])),
  },
  {
    name: "a thread's file in a message elsewhere",
    thing: "file",
    answer: "refused",
    send: (c, id, own) => post(c, `/threads/${own.thread}/events`, message([{ type: "file", file_id: id }])),
  },
  {
    name: "the thread of a run",
    thing: "thread",
    answer: "refused",
    send: (c, id) => post(c, `${desk(c)}/runs`, { thread_id: id, input: message([{ type: "text", text: "x" }]) }),
  },
  {
    name: "the thread of a raw run",
    thing: "thread",
    answer: "refused",
    send: (c, id) =>
      post(c, "/runs", { thread_id: id, config: { instructions: "x" }, input: message([{ type: "text", text: "x" }]) }),
  },
  {
    name: "the agent of a raw run",
    thing: "agent",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/runs", { agent_id: id, input: message([{ type: "text", text: "x" }]) }),
  },
  {
    name: "a decision's permission",
    thing: "permission",
    answer: "refused",
    send: (c, id, own) =>
      post(c, `/threads/${own.thread}/events`, { type: "permission.decision", permission_id: id, decision: "deny" }),
  },
  {
    name: "an interrupt's run",
    thing: "run",
    answer: "refused",
    send: (c, id, own) => post(c, `/threads/${own.thread}/events`, { type: "user.interrupt", run_id: id }),
  },
  {
    name: "whom a thread is attributed to",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, `${desk(c)}/threads`, { attributed_user_id: id }),
  },
  {
    name: "a service token's agents",
    thing: "agent",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/tokens", { kind: "service", label: "x", agent_ids: [id] }),
  },
  {
    name: "a group's members",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/groups", { slug: slug(), name: "x", user_ids: [id] }),
  },
  {
    name: "an agent's invited people",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) => c.send("PUT", `${desk(c)}/access`, { users: [id], groups: [] }),
  },
  {
    name: "an agent's invited groups",
    thing: "group",
    answer: "refused",
    colleague: "named",
    send: (c, id) => c.send("PUT", `${desk(c)}/access`, { users: [], groups: [id] }),
  },
  {
    name: "a budget's agent",
    thing: "agent",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/budgets", { period: "day", limit_tokens: 1e12, subject: { kind: "agent", id } }),
  },
  {
    name: "a budget's person",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/budgets", { period: "day", limit_tokens: 1e12, subject: { kind: "user", id } }),
  },
  {
    name: "whom a collection is opened to",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) =>
      c.send("PUT", `/document-collections/${c.house.there.collection}/access`, {
        organization: false,
        users: [id],
        groups: [],
        services: [],
      }),
  },
  {
    name: "the groups of an invitation",
    thing: "group",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/invitations", { email: `${slug()}@example.com`, group_ids: [id] }),
  },
  {
    name: "whom a password link is for",
    thing: "user",
    answer: "refused",
    colleague: "named",
    send: (c, id) => post(c, "/password-links", { user_id: id }),
  },
  {
    name: "where documents are searched",
    thing: "collection",
    answer: "refused",
    send: (c, id) => post(c, "/documents/search", { query: "canary", collection: id }),
  },
  // Filters
  {
    name: "threads attributed to",
    thing: "user",
    answer: "empty",
    send: (c, id) => get(c, `${desk(c)}/threads?attributed_user_id=${id}`),
  },
  {
    name: "runs of an agent",
    thing: "agent",
    answer: "empty",
    colleague: "named",
    send: (c, id) => get(c, `/runs?agent_id=${id}`),
  },
  { name: "runs of a thread", thing: "thread", answer: "empty", send: (c, id) => get(c, `/runs?thread_id=${id}`) },
  { name: "runs below a run", thing: "run", answer: "empty", send: (c, id) => get(c, `/runs?parent_run_id=${id}`) },
  {
    name: "permissions of a thread",
    thing: "thread",
    answer: "empty",
    send: (c, id) => get(c, `/permissions?thread_id=${id}`),
  },
  {
    name: "permissions of an agent",
    thing: "agent",
    answer: "empty",
    colleague: "named",
    send: (c, id) => get(c, `/permissions?agent_id=${id}`),
  },
  { name: "model calls of a run", thing: "run", answer: "empty", send: (c, id) => get(c, `/usage/calls?run_id=${id}`) },
  {
    name: "model calls of an agent",
    thing: "agent",
    answer: "empty",
    colleague: "named",
    send: (c, id) => get(c, `/usage/calls?agent_id=${id}`),
  },
];

const isAdmin = (name: KnownName) => ["admin", "owner", "foreign"].includes(name);
function mustNotSee(caller: Caller): string[] {
  const { home, abroad } = world;
  const house = caller.house === home ? home : abroad;
  const others = [(house === home ? abroad : home).canary];
  return isAdmin(caller.name as KnownName) ? others : [...others, house.colleague.canary];
}
const shape = (answer: Answer, id: string) =>
  `${answer.status} ${JSON.stringify(answer.body ?? answer.text)
    .replace(/req_[0-9a-z]{26}/g, "req")
    .replaceAll(id, "id")}`;
const counts = () =>
  world.server.row<Record<string, number>>(
    `select ${[
      "threads",
      "runs",
      "files",
      "groups",
      "group_members",
      "tokens",
      "token_agents",
      "agent_access",
      "budgets",
      "invitations",
    ]
      .map((table) => `(select count(*)::int from ${table}) as ${table}`)
      .join(", ")}, (select count(*)::int from events where type like 'user.%') as sent`,
  );

describe.each(places)("$name", ({ thing, send, answer, colleague }) => {
  test("takes another organization's id, and one it may not know, for an id of nothing", {
    timeout: 600_000,
  }, async () => {
    for (const name of known) {
      if (name === "bystander") continue;
      const caller = world.callers[name];
      const own = name === "narrow" ? await world.works(world.callers.member) : await world.works(caller);
      const elsewhere = caller.house === world.home ? world.abroad : world.home;
      const hidden = [idsOf(elsewhere)[thing]];
      if (colleague === undefined && !isAdmin(name)) hidden.push(idsOf(caller.house)[thing]);
      const before = await counts();
      const nothing = await send(caller, absentOf(thing), own);
      for (const id of hidden) {
        const found = await send(caller, id, own);
        expect(`${name} ${shape(found, id)}`).toBe(`${name} ${shape(nothing, absentOf(thing))}`);
        for (const canary of mustNotSee(caller)) expect(`${name} ${found.text}`).not.toContain(canary);
      }
      for (const id of ["nonsense", "' or true --", "../../x", "__proto__"]) {
        const found = await send(caller, encodeURIComponent(id), own);
        expect(`${name} ${id} ${found.status}`).not.toMatch(/ 5\d\d$/);
        for (const canary of mustNotSee(caller)) expect(`${name} ${found.text}`).not.toContain(canary);
      }
      if (answer === "refused") {
        expect(nothing.status).toBeGreaterThanOrEqual(400);
        expect(`${name} ${JSON.stringify(await counts())}`).toBe(`${name} ${JSON.stringify(before)}`);
      } else if (nothing.status === 200) expect(nothing.body.data).toEqual([]);
    }
  });
});

test("one's own ids are taken in the same places", async () => {
  const { member } = world.callers;
  const own = await world.fresh.works(member);
  const taken = await post(member, `${desk(member)}/threads`, { files: [own.upload] });
  expect(taken.status).toBe(201);
  const text = message([{ type: "file", file_id: own.file }]);
  expect((await post(member, `/threads/${own.thread}/events`, text)).status).toBe(200);
  const run = await post(member, `${desk(member)}/runs`, {
    thread_id: own.thread,
    input: message([{ type: "text", text: "x" }]),
  });
  expect(run.status).toBe(202);
  expect((await get(member, `/runs?thread_id=${own.thread}`)).body.data.length).toBeGreaterThan(1);
  expect((await get(member, `/usage/calls?run_id=${own.run}`)).body.data).toHaveLength(1);
});

describe("a list", () => {
  const lists = [
    "/runs",
    "/permissions",
    "/usage/calls",
    "/tokens",
    "/agents",
    "/document-collections",
    "/groups",
    "/members",
  ];
  test.each(lists)("%s shows nothing of another organization, from whatever cursor", async (path) => {
    for (const name of known) {
      const caller = world.callers[name];
      const cursors = ["", "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000", "x"].map(
        (key) => (key === "" ? "" : `?cursor=${cursorOf(key)}`),
      );
      for (const cursor of cursors) {
        const found = await get(caller, path + cursor);
        expect(`${name} ${path}${cursor} ${found.status}`).not.toMatch(/ 5\d\d$/);
        for (const canary of mustNotSee(caller)) expect(`${name} ${path} ${found.text}`).not.toContain(canary);
      }
    }
  });
});

describe("a header", () => {
  test("with somebody else's idempotency key replays nothing of theirs", async () => {
    const { colleague } = world.home;
    const key = { "idempotency-key": "shared-key-1" };
    const body = { title: `${colleague.canary}-KEY` };
    const theirs = await colleague.client.post(`/agents/${world.home.agents.desk}/threads`, body, { headers: key });
    expect(theirs.status).toBe(201);
    for (const name of ["member", "session", "attributed", "admin", "owner", "service", "scoped", "foreign"] as const) {
      const caller = world.callers[name];
      const found = await caller.send("POST", `${desk(caller)}/threads`, {}, key);
      expect(`${name} ${found.headers.get("idempotency-replayed")}`).toBe(
        `${name} ${name === "session" ? "true" : null}`,
      );
      expect(found.text).not.toContain(theirs.body.thread.id);
      expect(found.text).not.toContain(colleague.canary);
    }
  });

  test("that names another caller changes nothing about who is asking", async () => {
    const { member, foreign } = world.callers;
    const forged = {
      "x-user-id": foreign.userId as UserId,
      "x-organization-id": world.abroad.organization.id,
      "x-forwarded-user": "owner",
      "x-callboard-principal": foreign.tokenId,
    };
    const plain = (await member.send("GET", "/me")).text;
    expect((await member.send("GET", "/me", undefined, forged)).text).toBe(plain);
  });

  test("with a place in another log resumes in one's own", async () => {
    const { member } = world.callers;
    const { thread } = await world.works(member);
    for (const id of ["0", "999999999", "evt_x", world.abroad.colleague.works.thread]) {
      const stop = new AbortController();
      const response = await world.server
        .client(null)
        .raw("GET", `/threads/${world.abroad.colleague.works.thread}/events/stream`, {
          headers: { "last-event-id": id },
          signal: stop.signal,
        });
      expect(response.status).toBe(401);
      stop.abort();
      const own = await member.send("GET", `/threads/${thread}/events?after_seq=0`, undefined, { "last-event-id": id });
      expect(own.text).not.toContain(world.abroad.canary);
    }
  });
});
