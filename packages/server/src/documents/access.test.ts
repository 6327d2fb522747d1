/** Who reads what: grants, groups, roles and tenants at random, against a model; by search and by bare statements. */
import { type DocumentAccess, type TokenId, toUuid, type UserId } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorld, requestId, type World } from "../access/fixture.ts";
import {
  type Caller,
  createGroup,
  manageMembers,
  manageTokens,
  removeMember,
  revokeToken,
  scopeOf,
  updateGroup,
  updateMember,
} from "../access/index.ts";
import type { TenantScope } from "../storage/index.ts";
import { managing, nobody } from "./fixture.ts";
import { documentsFor } from "./library.ts";

const slugs = ["alpha", "beta", "gamma"] as const;
const all = new Set(["documents:read"] as const);
const text = (sql: string) => ({ name: "", text: sql });

let world: World;
let owner: Caller;
let manage: ReturnType<typeof managing>;
let groups: Array<Awaited<ReturnType<typeof createGroup>>>;
let people: Array<{ name: string; userId: UserId; role: "member" | "guest" | "admin" }>;
let services: Caller[];
const canaries = { own: "owncanary", foreign: "foreigncanary" };

beforeAll(async () => {
  world = await createWorld();
  const acme = await world.organization();
  const other = await world.organization();
  owner = await acme.owner();
  manage = managing(world.database, owner);
  for (const slug of slugs) {
    await manage.create(slug);
    await manage.add(slug, "page.md", `# About ${slug}\n\nEverybody asks about refunds here: ${canaries.own} ${slug}.`);
  }
  const foreign = managing(world.database, await other.owner());
  await foreign.create("alpha", { access: { ...nobody, organization: true } });
  await foreign.add("alpha", "page.md", `Everybody asks about refunds here: ${canaries.foreign}.`);

  groups = await Promise.all(
    ["one", "two"].map((slug) =>
      world.database.transaction((tx) =>
        createGroup(tx, world.wakes, manageMembers(owner), { slug, name: slug, user_ids: [] }, requestId),
      ),
    ),
  );
  people = [];
  for (const [i, role] of (["member", "member", "guest", "admin"] as const).entries()) {
    people.push({ name: `${role} ${i}`, userId: (await acme.person(role)).userId, role });
  }
  const scopes = ["documents:read"] as const;
  services = [];
  for (let i = 0; i < 2; i++) {
    services.push(await world.as((await acme.service({ label: `s${i}`, scopes: [...scopes] })).secret));
  }
});
afterAll(() => world.end());

const personScope = (userId: UserId): TenantScope => ({ ...scopeOf(owner), user: toUuid(userId) });
const seenBy = async (scope: TenantScope): Promise<string[]> => {
  const hits = await documentsFor(world.database, scope, all).search("refunds", { limit: 50 });
  return hits.map(({ collection }) => collection.slug).sort();
};

/** What a statement that forgets every condition gets. */
async function bareCounts(scope: TenantScope) {
  return world.database.tenant(scope, (tx) =>
    tx.row<{ collections: number; documents: number; passages: number; foreign: number }>(
      text(`select (select count(*)::int from document_collections) as collections,
                   (select count(*)::int from documents) as documents,
                   (select count(*)::int from document_passages) as passages,
                   (select count(*)::int from document_passages where body like '%foreigncanary%') as foreign`),
    ),
  );
}

const access = fc.record({
  organization: fc.boolean(),
  users: fc.subarray([0, 1, 2, 3]),
  groups: fc.subarray([0, 1]),
  services: fc.subarray([0, 1]),
});
const state = fc.record({
  grants: fc.tuple(access, access, access),
  members: fc.tuple(fc.subarray([0, 1, 2, 3]), fc.subarray([0, 1, 2, 3])),
  suspended: fc.subarray([0, 1, 2]),
});

test("everybody finds what was granted, and nothing else, however it was granted", async () => {
  await fc.assert(
    fc.asyncProperty(state, async ({ grants, members, suspended }) => {
      for (const [i, slug] of slugs.entries()) {
        const given = grants[i] as (typeof grants)[number];
        const asIds: DocumentAccess = {
          organization: given.organization,
          users: given.users.map((n) => people[n]?.userId as UserId),
          groups: given.groups.map((n) => groups[n]?.id as (typeof groups)[number]["id"]),
          services: given.services.map((n) => services[n]?.tokenId as TokenId),
        };
        await manage.setAccess(slug, asIds);
      }
      await world.database.transaction(async (tx) => {
        const grant = manageMembers(owner);
        for (const [g, numbers] of members.entries()) {
          const user_ids = numbers.map((n) => people[n]?.userId as UserId);
          await updateGroup(tx, world.wakes, grant, groups[g]?.id as string, { user_ids }, requestId);
        }
        for (const [n, { userId }] of people.entries()) {
          await updateMember(tx, world.wakes, grant, userId, { suspended: suspended.includes(n) }, requestId);
        }
      });
      for (const [n, person] of people.entries()) {
        const expected = slugs.filter((_, i) => {
          const given = grants[i] as (typeof grants)[number];
          const byGroup = given.groups.some((g) => members[g]?.includes(n));
          const open = given.organization && person.role !== "guest";
          return !suspended.includes(n) && (open || given.users.includes(n) || byGroup);
        });
        const scope = personScope(person.userId);
        expect([person.name, await seenBy(scope)]).toEqual([person.name, expected]);
        const [found, foreign] = [expected.length, 0];
        expect(await bareCounts(scope)).toEqual({ collections: found, documents: found, passages: found, foreign });
      }
      for (const [n, service] of services.entries()) {
        const expected = slugs.filter((_, i) => grants[i]?.services.includes(n));
        expect(await seenBy(scopeOf(service))).toEqual(expected);
      }
    }),
    { numRuns: 25 },
  );
});

describe("with a collection opened to everybody", () => {
  beforeAll(async () => {
    for (const { userId } of people) {
      await world.database.transaction((tx) =>
        updateMember(tx, world.wakes, manageMembers(owner), userId, { suspended: false }, requestId),
      );
    }
    for (const slug of slugs) await manage.setAccess(slug, nobody);
    const everyone = {
      users: people.map(({ userId }) => userId),
      services: services.map(({ tokenId }) => tokenId as TokenId),
    };
    await manage.setAccess("alpha", { ...nobody, ...everyone, organization: true });
  });
  const member = () => personScope(people[0]?.userId as UserId);

  test("nothing of another tenant is found, marked or shown", async () => {
    const documents = documentsFor(world.database, member(), all);
    for (const query of ["refunds", canaries.foreign, `refunds or ${canaries.foreign}`, "everybody asks"]) {
      expect(JSON.stringify(await documents.search(query))).not.toContain(canaries.foreign);
    }
  });

  test.each([
    ["", { user: null }],
    ["a person of nowhere", { user: "01890000-0000-7000-8000-000000000001" }],
  ])("nobody finds anything: %s", async (_, more) => {
    expect(await seenBy({ ...member(), ...more })).toEqual([]);
  });

  test("a person and a service are not each other", async () => {
    const [service] = services as [Caller];
    await manage.setAccess("beta", { ...nobody, services: [service.tokenId as TokenId] });
    expect(await seenBy({ ...member(), user: toUuid(service.tokenId), service: null })).toEqual([]);
    expect(await seenBy({ ...scopeOf(service), service: member().user })).toEqual([]);
    expect(await seenBy(scopeOf(service))).toEqual(["alpha", "beta"]);
  });

  test("a reader changes nothing, whatever the statement", async () => {
    for (const sql of [
      "update document_passages set body = 'x'",
      "update documents set title = 'x'",
      "delete from document_collections",
      "delete from collection_grants",
    ]) {
      expect(await world.database.tenant(member(), (tx) => tx.run(text(sql))), sql).toBe(0);
    }
    const open = world.database.tenant(member(), (tx) =>
      tx.run(
        text(
          "insert into collection_grants (organization_id, collection_id, user_id) select organization_id, id, $1::uuid from document_collections",
        ),
        [member().user],
      ),
    );
    await expect(open).rejects.toMatchObject({ code: "42501" });
  });

  test("a revoked service and a removed person lose it at once", async () => {
    const [, service] = services as [Caller, Caller];
    expect(await seenBy(scopeOf(service))).toEqual(["alpha"]);
    const leaver = people[1]?.userId as UserId;
    expect(await seenBy(personScope(leaver))).toEqual(["alpha"]);
    await world.database.transaction(async (tx) => {
      await revokeToken(tx, world.wakes, manageTokens(owner), service.tokenId, requestId);
      await removeMember(tx, world.wakes, manageMembers(owner), leaver, requestId);
    });
    expect(await seenBy(scopeOf(service))).toEqual([]);
    expect(await seenBy(personScope(leaver))).toEqual([]);
  });

  test("a token without the scope is refused before the database is asked", async () => {
    const documents = documentsFor(world.database, member(), new Set());
    await expect(documents.search("refunds")).rejects.toMatchObject({ code: "insufficient_scope" });
    await expect(documents.read("document_x")).rejects.toMatchObject({ code: "insufficient_scope" });
  });
});
