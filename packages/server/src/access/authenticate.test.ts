import { type CallboardError, newId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Sql, statement } from "../storage/index.ts";
import { Authenticator } from "./authenticate.ts";
import type { CredentialId } from "./caller.ts";
import { manageMembers, manageTokens } from "./decide.ts";
import { createWorld, requestId, type World } from "./fixture.ts";
import { removeMember, updateMember } from "./people.ts";
import { newSecret } from "./secret.ts";
import { createToken, revokeToken } from "./tokens.ts";

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.end());

const bearer = (secret: string) => `Bearer ${secret}`;
const refusal = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "accepted",
    (error: CallboardError) => error.code,
  );

/** Counts statements on their way to the database. */
function counting(sql: Sql) {
  const counted = { statements: 0 };
  const count =
    <A extends unknown[], R>(call: (...args: A) => R) =>
    (...args: A): R => {
      counted.statements++;
      return call(...args);
    };
  const through: Sql = {
    rows: count(sql.rows.bind(sql)) as Sql["rows"],
    row: count(sql.row.bind(sql)) as Sql["row"],
    run: count(sql.run.bind(sql)),
  };
  return { through, counted };
}

function authenticatorOf(options: { now?: () => number } = {}) {
  const { through, counted } = counting(world.database);
  return { counted, authenticator: new Authenticator({ sql: through, wakes: world.wakes, ...options }) };
}

describe("a request's token", () => {
  test("of a person gives the person with role, groups, scopes and epoch", async () => {
    const { organizationId, userId, ownerSecret } = await world.organization({ membersEditAgents: true });
    const caller = await world.as(ownerSecret);
    expect(caller).toMatchObject({
      organizationId,
      kind: "user",
      userId,
      role: "owner",
      groups: [],
      agentIds: null,
      mayAttribute: false,
      membersEditAgents: true,
      rawRuns: false,
      expiresAtMs: null,
    });
    expect(caller.epoch).toBeGreaterThanOrEqual(1);
    expect(caller.scopes.has("agents:write")).toBe(true);
  });

  test("of a service gives a principal of its own without a person", async () => {
    const organization = await world.organization();
    const { token, secret } = await organization.service({ may_attribute: true });
    const caller = await world.as(secret);
    expect(caller).toMatchObject({
      kind: "service",
      userId: null,
      role: null,
      email: null,
      tokenId: token.id,
      mayAttribute: true,
    });
    expect([...(caller.agentIds ?? ["none"])]).toEqual([]);
    expect(caller.expiresAtMs).toBeGreaterThan(Date.now() + 89 * 86_400_000);
  });

  test("that is none, or garbage, is refused without a question to the database", async () => {
    const { authenticator, counted } = authenticatorOf();
    const garbage = [
      undefined,
      "",
      "Bearer",
      "Bearer ",
      bearer("x"),
      bearer(`cbp_${"a".repeat(49)}`),
      "Basic dXNlcjpwYXNz",
    ];
    for (const header of [
      ...garbage,
      `${bearer(newSecret("personal"))} x`,
      bearer(`${newSecret("personal").slice(0, -1)}!`),
    ]) {
      expect(await refusal(authenticator.authenticate(header))).toBe("unauthenticated");
    }
    expect(counted.statements).toBe(0);
    await authenticator.stop();
  });

  test("that nobody was given is refused", async () => {
    expect(await refusal(world.as(newSecret("personal")))).toBe("unauthenticated");
  });

  test("is taken in any spelling of Bearer", async () => {
    const { ownerSecret } = await world.organization();
    expect(await refusal(world.authenticator.authenticate(`bearer  ${ownerSecret}`))).toBe("accepted");
  });

  test("of a guest is accepted", async () => {
    const organization = await world.organization();
    expect((await world.as((await organization.person("guest")).secret)).role).toBe("guest");
  });

  test("ends at the moment it expires, remembered or not", async () => {
    let nowMs = Date.now();
    const organization = await world.organization();
    const { secret } = await organization.service({ expires_in_days: 1 });
    const { authenticator } = authenticatorOf({ now: () => nowMs });
    const { expiresAtMs } = await authenticator.authenticate(bearer(secret));
    nowMs = (expiresAtMs as number) - 1;
    expect(await refusal(authenticator.authenticate(bearer(secret)))).toBe("accepted");
    nowMs += 1;
    expect(await refusal(authenticator.authenticate(bearer(secret)))).toBe("unauthenticated");
    await authenticator.stop();
  });
});

describe("what is remembered", () => {
  test("is one read for requests that come together and within a second", async () => {
    let nowMs = Date.now();
    const { ownerSecret } = await world.organization();
    const { authenticator, counted } = authenticatorOf({ now: () => nowMs });
    const header = bearer(ownerSecret);
    await Promise.all(Array.from({ length: 20 }, () => authenticator.authenticate(header)));
    await authenticator.authenticate(header);
    expect(counted.statements).toBe(1);
    nowMs += 1000;
    await authenticator.authenticate(header);
    expect(counted.statements).toBe(2);
    await authenticator.stop();
  });

  test("ends at once when a token is revoked", async () => {
    const organization = await world.organization();
    const { token, secret } = await organization.service();
    const caller = await world.as(secret);
    expect(await world.authenticator.stillValid(caller)).toBe(true);
    const grant = manageTokens(await organization.owner());
    await world.database.transaction((tx) => revokeToken(tx, world.wakes, grant, token.id, requestId));
    expect(await refusal(world.as(secret))).toBe("unauthenticated");
    expect(await world.authenticator.stillValid(caller)).toBe(false);
  });

  test("ends at once when its person is suspended, and returns with the suspension's end", async () => {
    const organization = await world.organization();
    const { userId, secret } = await organization.person("member");
    await world.as(secret);
    const suspend = async (suspended: boolean) => {
      const grant = manageMembers(await organization.owner());
      await world.database.transaction((tx) => updateMember(tx, world.wakes, grant, userId, { suspended }, requestId));
    };
    await suspend(true);
    expect(await refusal(world.as(secret))).toBe("unauthenticated");
    await suspend(false);
    expect(await refusal(world.as(secret))).toBe("accepted");
  });

  test("ends at once when its person is removed", async () => {
    const organization = await world.organization();
    const { userId, secret } = await organization.person("member");
    await world.as(secret);
    const grant = manageMembers(await organization.owner());
    await world.database.transaction((tx) => removeMember(tx, world.wakes, grant, userId, requestId));
    expect(await refusal(world.as(secret))).toBe("unauthenticated");
  });

  test("of another organization stays when one changes", async () => {
    const { ownerSecret } = await world.organization();
    const other = await world.organization();
    const { authenticator, counted } = authenticatorOf();
    await authenticator.authenticate(bearer(ownerSecret));
    world.wakes.send("access", toUuid(other.organizationId));
    await authenticator.authenticate(bearer(ownerSecret));
    expect(counted.statements).toBe(1);
    world.wakes.send("access", "*");
    await authenticator.authenticate(bearer(ownerSecret));
    expect(counted.statements).toBe(2);
    await authenticator.stop();
  });

  test("shows a new role with a new epoch on the next request", async () => {
    const organization = await world.organization();
    const { userId, secret } = await organization.person("member");
    const before = await world.as(secret);
    const grant = manageMembers(await organization.owner());
    await world.database.transaction((tx) =>
      updateMember(tx, world.wakes, grant, userId, { role: "admin" }, requestId),
    );
    const after = await world.as(secret);
    expect([before.role, after.role]).toEqual(["member", "admin"]);
    expect(after.epoch).toBeGreaterThan(before.epoch);
  });
});

describe("an act with rights that have ended meanwhile", () => {
  test("is held to the rights of this moment", async () => {
    const organization = await world.organization();
    const { userId, secret } = await organization.person("admin");
    const stale = await world.as(secret);
    const grant = manageMembers(await organization.owner());
    await world.database.transaction((tx) =>
      updateMember(tx, world.wakes, grant, userId, { role: "member" }, requestId),
    );
    const held = await world.database.transaction((tx) => world.authenticator.hold(stale, tx));
    expect([stale.role, held.role]).toEqual(["admin", "member"]);
    const act = world.acts.run({ caller: stale, requestId }, "token.create", newId("token"), async (_tx, caller) =>
      manageMembers(caller),
    );
    expect(await refusal(act)).toBe("forbidden");
  });

  test("is refused when the token has ended", async () => {
    const organization = await world.organization();
    const { token, secret } = await organization.service();
    const stale = await world.as(secret);
    const grant = manageTokens(await organization.owner());
    await world.database.transaction((tx) => revokeToken(tx, world.wakes, grant, token.id, requestId));
    expect(await refusal(world.database.transaction((tx) => world.authenticator.hold(stale, tx)))).toBe(
      "unauthenticated",
    );
  });
});

describe("the time of last use", () => {
  const read = statement("test.last-used", "select last_used_at from tokens where id = $1");
  const lastUsed = async (tokenId: CredentialId) =>
    (await world.database.row<{ last_used_at: string | null }>(read, [toUuid(tokenId)]))?.last_used_at;

  test("is written when the authenticator is flushed, at most once a minute", async () => {
    let nowMs = Date.now();
    const { ownerSecret } = await world.organization();
    const { authenticator } = authenticatorOf({ now: () => nowMs });
    const { tokenId } = await authenticator.authenticate(bearer(ownerSecret));
    expect(await lastUsed(tokenId)).toBeNull();
    await authenticator.flush();
    const first = new Date(nowMs).toISOString();
    expect(await lastUsed(tokenId)).toBe(first);
    nowMs += 59_000;
    await authenticator.authenticate(bearer(ownerSecret));
    await authenticator.flush();
    expect(await lastUsed(tokenId)).toBe(first);
    nowMs += 1_000;
    await authenticator.authenticate(bearer(ownerSecret));
    await authenticator.stop();
    expect(await lastUsed(tokenId)).toBe(new Date(nowMs).toISOString());
  });

  test("that cannot be written harms nobody", async () => {
    const organization = await world.organization();
    const run = vi.fn(() => Promise.reject(new Error("away")));
    const sql: Sql = { rows: (s, v) => world.database.rows(s, v), row: (s, v) => world.database.row(s, v), run };
    const authenticator = new Authenticator({ sql, wakes: world.wakes });
    await authenticator.authenticate(bearer(organization.ownerSecret));
    await authenticator.stop();
    expect(run).toHaveBeenCalledOnce();
  });
});

test("a personal token can be made for nobody but its maker", async () => {
  const organization = await world.organization();
  const member = await organization.person("member");
  const caller = await world.as(member.secret);
  const body = { kind: "personal", label: "mine", expires_in_days: 90 } as const;
  const made = await world.database.transaction((tx) => createToken(tx, manageTokens(caller), body, requestId));
  expect((await world.as(made.secret)).userId).toBe(member.userId);
});
