import { createHash, randomBytes, randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Database, statement } from "../storage/index.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { completeBlob, deleteBlob, readBytes, storeBytes, sweepBlobs } from "./blobs.ts";

const CHUNK = 256 * 1024;
const chunks = statement(
  "blobs_test.chunks",
  "select position, length(bytes) as size from blob_chunks where blob_id = $1 order by position",
);
const blobs = statement("blobs_test.blobs", "select id, complete from blobs where organization_id = $1");
const age = statement("blobs_test.age", "update blobs set created_at = now() - interval '61 minutes' where id = $1");

let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = new Database({ connectionString: testDatabase.url, poolSize: 3 });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

/** Bytes as they come in, in pieces of the given sizes, over and over. */
async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
async function read(organization: string, blob: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of readBytes(database, organization, blob)) parts.push(part);
  return Buffer.concat(parts);
}

describe("bytes", () => {
  test("come back as they were, in whole chunks, however they came in", async () => {
    const around = fc.constantFrom(0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7);
    const size = fc.constantFrom(1000, 65_536, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK);
    await fc.assert(
      fc.asyncProperty(around, fc.array(size, { minLength: 1, maxLength: 3 }), async (length, sizes) => {
        const organization = randomUUID();
        const bytes = randomBytes(length);
        const stored = await storeBytes(database, organization, inPieces(bytes, sizes), 10 * CHUNK);
        expect(stored).toEqual({
          blob: stored.blob,
          sizeBytes: length,
          sha256: createHash("sha256").update(bytes).digest("hex"),
        });
        expect((await read(organization, stored.blob)).equals(bytes)).toBe(true);
        const rows = await database.rows<{ position: number; size: number }>(chunks, [stored.blob]);
        expect(rows.map(({ position }) => position)).toEqual(rows.map((_, i) => i));
        for (const row of rows.slice(0, -1)) expect(row.size).toBe(CHUNK);
        await deleteBlob(database, organization, stored.blob);
      }),
      { numRuns: 25 },
    );
  });

  test("that come in a buffer which is used again are kept as they were", async () => {
    const organization = randomUUID();
    const buffer = Buffer.alloc(CHUNK + 100);
    async function* source() {
      for (const value of [1, 2]) {
        buffer.fill(value);
        yield buffer;
      }
    }
    const { blob } = await storeBytes(database, organization, source(), 10 * CHUNK);
    const expected = Buffer.concat([Buffer.alloc(CHUNK + 100, 1), Buffer.alloc(CHUNK + 100, 2)]);
    expect((await read(organization, blob)).equals(expected)).toBe(true);
  });

  test("of another organization are not there", async () => {
    const organization = randomUUID();
    const { blob } = await storeBytes(database, organization, inPieces(randomBytes(10), [10]), CHUNK);
    expect(await read(randomUUID(), blob)).toHaveLength(0);
    await deleteBlob(database, randomUUID(), blob);
    expect(await read(organization, blob)).toHaveLength(10);
  });
});

describe("an upload that fails", () => {
  test("at the limit passes, one byte more is refused and leaves nothing", async () => {
    const organization = randomUUID();
    const limit = CHUNK + 10;
    await storeBytes(database, organization, inPieces(randomBytes(limit), [1000]), limit);
    const before = await database.rows(blobs, [organization]);
    const over = storeBytes(database, organization, inPieces(randomBytes(limit + 1), [1000]), limit);
    await expect(over).rejects.toMatchObject({ code: "file_too_large", status: 413, details: { max_bytes: limit } });
    expect(await database.rows(blobs, [organization])).toEqual(before);
  });

  test("because its source breaks leaves nothing", async () => {
    const organization = randomUUID();
    async function* source() {
      yield randomBytes(2 * CHUNK);
      throw new Error("the client went away");
    }
    await expect(storeBytes(database, organization, source(), 10 * CHUNK)).rejects.toThrow("the client went away");
    expect(await database.rows(blobs, [organization])).toEqual([]);
  });
});

describe("what is left of uploads", () => {
  test("is removed after an hour, unless a file has it", async () => {
    const organization = randomUUID();
    const store = async () => (await storeBytes(database, organization, inPieces(randomBytes(10), [10]), CHUNK)).blob;
    const [kept, young, old] = [await store(), await store(), await store()];
    await completeBlob(database, organization, kept);
    await database.run(age, [kept]);
    await database.run(age, [old]);
    expect(await sweepBlobs(database)).toBe(1);
    expect((await database.rows<{ id: string }>(blobs, [organization])).map(({ id }) => id).sort()).toEqual(
      [kept, young].sort(),
    );
    expect(await read(organization, old)).toHaveLength(0);
  });

  test("cannot become a file once it is gone, nor twice", async () => {
    const organization = randomUUID();
    const { blob } = await storeBytes(database, organization, inPieces(randomBytes(10), [10]), CHUNK);
    await completeBlob(database, organization, blob);
    await expect(completeBlob(database, organization, blob)).rejects.toMatchObject({ code: "unavailable" });
    await expect(completeBlob(database, organization, randomUUID())).rejects.toMatchObject({ code: "unavailable" });
  });
});
