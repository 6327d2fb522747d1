import { newId } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Database, type Sql, statement } from "../storage/index.ts";
import { createTestDatabase } from "../testing/database.ts";
import { accountLimit, addressLimit, attempt, sweepThrottles } from "./throttle.ts";

let database: Database;
let second: Database;
let drop: () => Promise<void>;
beforeAll(async () => {
  const made = await createTestDatabase();
  drop = made.drop;
  database = new Database({ connectionString: made.url, poolSize: 4 });
  second = new Database({ connectionString: made.url, poolSize: 4 });
});
afterAll(async () => {
  await Promise.all([database.close(), second.close()]);
  await drop();
});

const account = () => `${newId("user")}@example.com`;
const refusal = (work: Promise<unknown>): Promise<{ code: string; details: { retry_after_ms: number } } | undefined> =>
  work.then(
    () => undefined,
    (error) => error,
  );
const fail = (sql: Sql, name: string, address: string | null = null) =>
  refusal(attempt(sql, { account: name, address }));
const exhaust = async (name: string) => {
  for (let i = 0; i < accountLimit.burst; i++) expect(await fail(database, name)).toBeUndefined();
};

describe("attempts at an account", () => {
  test("are counted before they are made, right across processes", async () => {
    const name = account();
    const tries = Array.from({ length: 40 }, (_, i) => fail(i % 2 === 0 ? database : second, name));
    const refused = (await Promise.all(tries)).filter((error) => error !== undefined);
    expect(refused).toHaveLength(40 - accountLimit.burst);
  });

  test("are refused with the time after which one more is possible, and never for longer", async () => {
    const name = account();
    await exhaust(name);
    for (let i = 0; i < 3; i++) {
      const error = await fail(database, name);
      expect(error?.code).toBe("too_many_attempts");
      expect(error?.details.retry_after_ms).toBeGreaterThan(0);
      // Being refused makes nobody wait longer.
      expect(error?.details.retry_after_ms).toBeLessThanOrEqual(accountLimit.everySeconds * 1000);
    }
  });

  test("are the same for all spellings of the address", async () => {
    const name = account();
    await exhaust(name);
    expect((await fail(database, ` ${name.toUpperCase()} `))?.code).toBe("too_many_attempts");
  });

  test("begin again after a success", async () => {
    const name = account();
    for (let i = 1; i < accountLimit.burst; i++) await attempt(database, { account: name, address: null });
    await (await attempt(database, { account: name, address: null })).succeeded();
    await exhaust(name);
  });

  test("from where it has signed in before are not used up by strangers", async () => {
    const name = account();
    await exhaust(name);
    const own = { account: name, address: "192.0.2.1", known: true };
    expect(await refusal(attempt(database, own))).toBeUndefined();
  });
});

describe("attempts from an address", () => {
  test("are counted for all accounts together", async () => {
    const address = "198.51.100.7";
    const began = performance.now();
    const tries = Array.from({ length: addressLimit.burst + 40 }, () => fail(database, account(), address));
    const refused = (await Promise.all(tries)).filter((error) => error !== undefined).length;
    const back = Math.ceil((performance.now() - began) / 1000 / addressLimit.everySeconds);
    expect(refused).toBeLessThanOrEqual(40);
    expect(refused).toBeGreaterThanOrEqual(40 - back);
  });

  test("are one for the 64 bits of an IPv6 network, and for the two ways to write an IPv4 one", async () => {
    const keys = async (addresses: string[]) => {
      await database.run(statement(`test.clear-${newId("user")}`, "delete from throttles"));
      for (const address of addresses) await attempt(database, { account: null, address });
      const [row] = await database.rows<{ n: number }>(
        statement(`test.n-${newId("user")}`, "select count(*) n from throttles"),
      );
      return row?.n;
    };
    expect(await keys(["2001:db8::1", "2001:DB8:0:0::ffff", "2001:0db8::2:3", "2001:db8:0:0:1:2:3:4"])).toBe(1);
    expect(await keys(["2001:db8::1", "2001:db8:0:1::1"])).toBe(2);
    expect(await keys(["192.0.2.9", "::ffff:192.0.2.9"])).toBe(1);
    expect(await keys(["::1", "::2"])).toBe(1);
  });

  test("never fail on what stands in the place of an address", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 60 }), async (address) => {
        expect((await fail(database, account(), address))?.code ?? "too_many_attempts").toBe("too_many_attempts");
      }),
      { numRuns: 50 },
    );
  });
});

test("buckets that are full again are forgotten", async () => {
  const age = statement("test.age-throttles", "update throttles set full_at = now() - interval '1 second'");
  await attempt(database, { account: account(), address: null });
  await database.run(age);
  await sweepThrottles(database);
  const left = statement("test.left-throttles", "select count(*) n from throttles");
  expect(await database.row(left)).toEqual({ n: 0 });
});
