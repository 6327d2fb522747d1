/** The audit log's chain: what is written fits, whatever is changed afterwards is found. */
import { newId, type OrganizationId, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { audit, listAudit, type NewEntry } from "./audit.ts";
import { type ChainEntry, entryHash } from "./audit-chain.ts";
import { auditHead, checkAudit } from "./audit-check.ts";
import { readAudit } from "./decide.ts";
import { createWorld, type World } from "./fixture.ts";

let world: World;
/** Somebody with the database's own power, who has switched the guards off. */
let intruder: pg.Client;
let organizationId: OrganizationId;

beforeAll(async () => {
  world = await createWorld();
  intruder = new pg.Client({ connectionString: world.url });
  await intruder.connect();
  await intruder.query("set session_replication_role = replica"); // nothing chains what this session writes
  await intruder.query("alter table audit_entries disable trigger audit_guard");
  await intruder.query("alter table audit_heads disable trigger audit_guard");
});
afterAll(async () => {
  await intruder.end();
  await world.end();
});
beforeEach(() => {
  organizationId = newId("organization");
});

const entry = (n: number): NewEntry => ({
  actor: { operatorOf: organizationId },
  action: "group.update",
  target: `thing-${n}`,
  outcome: n % 3 === 0 ? "refused" : "done",
  details: { n, text: 'ÜÄ "quoted" \\ \u2028', nested: { list: [1, 2.5, null, true] } },
  requestId: n % 2 === 0 ? null : newId("request"),
});

async function write(count: number): Promise<void> {
  for (let n = 1; n <= count; n++) await audit(world.database, entry(n));
}
const check = (anchor?: string) => checkAudit(world.database, organizationId, anchor);
const tamper = (text: string, values: unknown[] = []) =>
  intruder.query(text.replaceAll("$org", `'${toUuid(organizationId)}'`), values);

describe("a log that nobody touched", () => {
  test("fits, from the first entry to the head", async () => {
    await write(7);
    const found = await check();
    expect(found).toMatchObject({ ok: true, entries: 7, erased_through: 0, problem: null, head: { seq: 7 } });
    expect(found.head).toEqual(await auditHead(world.database, organizationId));
  });

  test("fits when it is empty", async () => {
    expect(await check()).toMatchObject({ ok: true, entries: 0, head: { seq: 0, hash: "0".repeat(64) } });
  });

  test("has one number after another and the hash of the entry before, also for entries that come at once", async () => {
    const inTransaction = (n: number) => world.database.transaction((tx) => audit(tx, entry(n)));
    const alone = (n: number) => audit(world.database, entry(n));
    await Promise.all(Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? inTransaction(n) : alone(n))));
    const found = await check();
    expect(found).toMatchObject({ ok: true, entries: 60, head: { seq: 60 } });
  });

  test("holds the anchors of all its times", async () => {
    await write(2);
    const early = (await check()).head.anchor;
    await write(2);
    const late = (await check()).head.anchor;
    expect([(await check(early)).ok, (await check(late)).ok]).toEqual([true, true]);
  });
});

describe("a log that somebody touched", () => {
  const found = async () => {
    const { ok, problem } = await check();
    return ok ? "nothing" : `${problem?.kind} ${problem?.seq}`;
  };

  test.each([
    ["actor_kind = 'user'", "changed 3"],
    ["actor_id = 'user_x'", "changed 3"],
    ["action = 'group.delete'", "changed 3"],
    ["target = null", "changed 3"],
    ["outcome = 'done'", "changed 3"],
    ["details = '{}'", "changed 3"],
    ["request_id = 'req_x'", "changed 3"],
    ["created_at = created_at + interval '1 millisecond'", "changed 3"],
    ["id = gen_random_uuid()", "changed 3"],
    ["prev_hash = hash", "unlinked 3"],
    ["hash = sha256('x')", "changed 3"],
  ])("is found out when an entry has %s", async (change, expected) => {
    await write(5);
    await tamper(`update audit_entries set ${change} where organization_id = $org and seq = 3`);
    expect(await found()).toBe(expected);
  });

  test("is found out when an entry and its hash were changed together", async () => {
    await write(5);
    await tamper(
      `update audit_entries set target = 'other', hash = audit_hash(row(organization_id, id, actor_kind, actor_id, action,
         'other', outcome, details, request_id, created_at, seq, prev_hash, hash)::audit_entries)
        where organization_id = $org and seq = 3`,
    );
    expect(await found()).toBe("unlinked 4");
  });

  test("is found out when an entry in the middle was taken out", async () => {
    await write(5);
    await tamper("delete from audit_entries where organization_id = $org and seq = 3");
    expect(await found()).toBe("missing 3");
  });

  test("is found out when the others were numbered anew after that", async () => {
    await write(5);
    await tamper("delete from audit_entries where organization_id = $org and seq = 3");
    await tamper("update audit_entries set seq = seq + 100 where organization_id = $org and seq > 3");
    await tamper("update audit_entries set seq = seq - 101 where organization_id = $org and seq > 100");
    await tamper("update audit_heads set seq = 4 where organization_id = $org");
    expect(await found()).toBe("unlinked 3");
  });

  test("is found out when the end was cut off", async () => {
    await write(5);
    await tamper("delete from audit_entries where organization_id = $org and seq > 3");
    expect(await found()).toBe("missing 4");
  });

  test("is found out by an anchor when the head was cut off too", async () => {
    await write(5);
    const { anchor } = (await check()).head;
    await tamper("delete from audit_entries where organization_id = $org and seq > 3");
    await tamper(
      `update audit_heads set seq = 3, hash = (select hash from audit_entries where organization_id = $org and seq = 3)
        where organization_id = $org`,
    );
    expect(await found()).toBe("nothing");
    expect((await check(anchor)).problem).toMatchObject({ kind: "anchor", seq: 4 });
  });

  test("is found out by an anchor when the whole chain was made anew", async () => {
    await write(5);
    const { anchor } = (await check()).head;
    await tamper("delete from audit_entries where organization_id = $org");
    await tamper("delete from audit_heads where organization_id = $org");
    await write(5);
    expect(await found()).toBe("nothing");
    expect((await check(anchor)).problem).toMatchObject({ kind: "anchor", seq: 5 });
  });

  test("is found out when everything is gone but the head, or the head but not the rest", async () => {
    await write(3);
    await tamper("delete from audit_heads where organization_id = $org");
    expect(await found()).toBe("head 3");
    await tamper("delete from audit_entries where organization_id = $org");
    await write(1);
    await tamper("delete from audit_entries where organization_id = $org");
    expect(await found()).toBe("missing 1");
  });

  test("is found out whatever was changed, wherever", async () => {
    await write(12);
    const before = (await tamper("select * from audit_entries where organization_id = $org order by seq")).rows;
    const head = (await tamper("select * from audit_heads where organization_id = $org")).rows[0];
    const seq = fc.integer({ min: 1, max: 12 });
    const changes = fc.oneof(
      fc.record({
        kind: fc.constant("field" as const),
        seq,
        column: fc.constantFrom("actor_kind", "actor_id", "action", "target", "details", "request_id", "created_at"),
        value: fc.string({ minLength: 1, maxLength: 8 }).map((text) => text.replaceAll("\u0000", "x")),
        rehash: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("remove" as const), seq, renumber: fc.boolean() }),
      fc.record({ kind: fc.constant("swap" as const), seq, other: seq }),
      fc.record({ kind: fc.constant("copy" as const), seq }),
    );
    const writeBack = async (rows: Record<string, unknown>[]) => {
      await tamper("delete from audit_entries where organization_id = $org");
      for (const row of rows) {
        const columns = Object.keys(row);
        await tamper(
          `insert into audit_entries (${columns}) values (${columns.map((_, i) => `$${i + 1}`)})`,
          Object.values(row),
        );
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(changes, { minLength: 1, maxLength: 3 }), async (list) => {
        let rows = structuredClone(before).map((row) => ({
          ...row,
          prev_hash: Buffer.from(row.prev_hash),
          hash: Buffer.from(row.hash),
        }));
        for (const change of list) {
          const at = Math.min(change.seq, rows.length) - 1;
          const row = rows[at];
          if (row === undefined) continue;
          if (change.kind === "field") {
            if (change.column === "details") row.details = { n: change.value };
            else if (change.column === "created_at")
              row.created_at = new Date(Date.parse(row.created_at) + 1 + change.value.length);
            else row[change.column] = `${row[change.column] ?? ""}${change.value}`;
            if (change.rehash) {
              const details = JSON.stringify(row.details);
              row.hash = entryHash({
                ...row,
                seq: Number(row.seq),
                created_at: row.created_at.toISOString?.() ?? row.created_at,
                details,
              } as ChainEntry);
            }
          } else if (change.kind === "remove") {
            rows.splice(at, 1);
            if (change.renumber) rows = rows.map((one, i) => ({ ...one, seq: i + 1 }));
          } else if (change.kind === "swap") {
            const other = rows[Math.min(change.other, rows.length) - 1];
            if (other === undefined) continue;
            [row.seq, other.seq] = [other.seq, row.seq];
          } else
            rows = [...rows, { ...row, id: crypto.randomUUID(), seq: rows.length + 1 }].map((one, i) => ({
              ...one,
              seq: i + 1,
            }));
        }
        const text = (list: Record<string, unknown>[]) =>
          JSON.stringify([...list].sort((a, b) => Number(a.seq) - Number(b.seq)));
        await writeBack(rows);
        const { ok } = await check();
        expect(ok).toBe(text(rows) === text(before));
      }),
      { numRuns: 60 },
    );
    await writeBack(before);
    expect(await check()).toMatchObject({ ok: true, head: { seq: Number(head.seq) } });
  });
});

test("the list can be narrowed by action, actor, target, outcome and time, and goes on where a page ended", async () => {
  const { organizationId: id, owner, ownerSecret, userId } = await world.organization();
  organizationId = id;
  for (let n = 1; n <= 6; n++) await audit(world.database, entry(n));
  await audit(world.database, { ...entry(7), actor: { caller: await owner() } });
  const grant = readAudit(await world.as(ownerSecret));
  const seqs = async (query: Partial<Parameters<typeof listAudit>[2]>) => {
    const page = await listAudit(world.database, grant, { limit: 50, ...query });
    return page.data.map(({ target }) => target);
  };
  expect(await seqs({ action: "group.update", outcome: "refused" })).toEqual(["thing-6", "thing-3"]);
  expect(await seqs({ target: "thing-4" })).toEqual(["thing-4"]);
  expect(await seqs({ actor_id: userId })).toEqual(["thing-7"]);
  expect(await seqs({ actor_id: userId, target: "thing-4" })).toEqual([]);
  expect(await seqs({ since: "2100-01-01T00:00:00.000Z" })).toEqual([]);
  expect(await seqs({ until: "2000-01-01T00:00:00.000Z" })).toEqual([]);
  const first = await listAudit(world.database, grant, { limit: 2, action: "group.update" });
  const next = await listAudit(world.database, grant, {
    limit: 2,
    action: "group.update",
    cursor: first.next_cursor ?? "",
  });
  expect([...first.data, ...next.data].map(({ target }) => target)).toEqual([
    "thing-7",
    "thing-6",
    "thing-5",
    "thing-4",
  ]);
});
