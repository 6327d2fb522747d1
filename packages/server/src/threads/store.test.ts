import { newId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRunsWorld, type RunsWorld } from "../runs/fixture.ts";
import { LAST_UUID, statement } from "../storage/index.ts";
import { ThreadDirectory } from "./directory.ts";
import { findThread, listThreads, type ThreadFilter } from "./store.ts";

const attribute = statement(
  "threads_test.attribute",
  "update threads set attributed_user_id = $2, client_external_ref = $3 where id = $1",
);

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(() => world.end());

const filter = (more: Partial<ThreadFilter> = {}): ThreadFilter => ({
  organization: toUuid(world.organizationId),
  agent: toUuid(world.agentId),
  principal: null,
  state: null,
  archived: null,
  ref: null,
  attributed: null,
  children: false,
  before: null,
  limit: 50,
  ...more,
});
const idsOf = async (more: Partial<ThreadFilter> = {}) =>
  (await listThreads(world.database, filter(more))).map(({ id }) => id);

describe("an agent's threads", () => {
  test("come newest first, page by page, without one left out or twice", async () => {
    const made: string[] = [];
    for (let i = 0; i < 7; i++) made.unshift(toUuid((await world.start({ text: null })).thread.id));
    expect(await idsOf()).toEqual(made);
    const pages: string[] = [];
    for (let before: string = LAST_UUID; ; ) {
      const page = await idsOf({ before, limit: 3 });
      pages.push(...page);
      const last = page.at(-1);
      if (last === undefined) break;
      before = last;
    }
    expect(pages).toEqual(made);
  });

  test("are found by state, archive, reference and the person they are for", async () => {
    const person = toUuid(newId("user"));
    const idle = (await world.start({ text: null })).thread.id;
    const busy = (await world.start()).thread.id;
    const filed = (await world.start({ text: null })).thread.id;
    await world.archive(filed, true);
    await world.database.run(attribute, [toUuid(idle), person, "order-7"]);
    expect(await idsOf({ state: "running" })).toEqual([toUuid(busy)]);
    expect(await idsOf({ archived: true })).toEqual([toUuid(filed)]);
    expect(await idsOf({ archived: false })).not.toContain(toUuid(filed));
    expect(await idsOf({ ref: "order-7" })).toEqual([toUuid(idle)]);
    expect(await idsOf({ attributed: person })).toEqual([toUuid(idle)]);
    expect(await idsOf({ ref: "order-7", state: "running" })).toEqual([]);
    await world.complete(world.host.last());
  });

  test("are shown to who made them and to whom they are for, and to nobody else", async () => {
    const person = toUuid(newId("user"));
    const { thread } = await world.start({ text: null });
    await world.database.run(attribute, [toUuid(thread.id), person, null]);
    const creator = toUuid(world.caller.userId as never);
    expect(await idsOf({ principal: creator, limit: 200 })).toEqual(await idsOf({ limit: 200 }));
    expect(await idsOf({ principal: person })).toEqual([toUuid(thread.id)]);
    expect(await idsOf({ principal: toUuid(newId("user")) })).toEqual([]);
    expect(await idsOf({ organization: toUuid(newId("organization")) })).toEqual([]);
    expect(await idsOf({ agent: toUuid(newId("agent")) })).toEqual([]);
  });
});

describe("the directory", () => {
  test("knows who may see a thread, in its own organization only", async () => {
    const directory = new ThreadDirectory(world.database);
    const { thread } = await world.start({ text: null });
    const facts = {
      id: thread.id,
      createdByKind: "user",
      createdById: world.caller.userId,
      attributedUserId: null,
      agentId: world.agentId,
    };
    expect(await directory.facts(world.organizationId, thread.id)).toEqual(facts);
    expect(await directory.facts(newId("organization"), thread.id)).toBeUndefined();
    expect(await directory.facts(world.organizationId, newId("thread"))).toBeUndefined();
    expect(await directory.facts(world.organizationId, "nonsense")).toBeUndefined();
    expect(directory.remember(world.organizationId, thread)).toEqual(facts);
  });

  test("forgets what it is told to", async () => {
    const directory = new ThreadDirectory(world.database);
    const { thread } = await world.start({ text: null });
    await directory.facts(world.organizationId, thread.id);
    await world.remove(thread.id);
    expect(await directory.facts(world.organizationId, thread.id)).toBeDefined(); // remembered
    directory.forget(world.organizationId, thread.id);
    expect(await directory.facts(world.organizationId, thread.id)).toBeUndefined();
    expect(await directory.row(world.organizationId, thread.id)).toBeUndefined();
    expect(await findThread(world.database, world.organizationId, thread.id)).toBeUndefined();
  });
});
