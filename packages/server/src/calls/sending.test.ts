import { toUuid } from "@callboard/protocol";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/server.ts";

const POOL = 4;
let server: TestServer;
beforeAll(async () => {
  const env = { CALLBOARD_POOL_SIZE: String(POOL) };
  server = await startTestServer({ agents: { talker: { name: "Talker" } }, env });
});
afterAll(() => server.stop());

test("messages need no connection beside their own, also where nothing is remembered of their agent", async () => {
  const owner = server.client();
  const open = async () => (await owner.post("/agents/talker/threads", {})).body.thread.id;
  const threads = await Promise.all(Array.from({ length: POOL }, open));
  const other = new pg.Client({ connectionString: server.databaseUrl });
  await other.connect();
  try {
    // Whatever is remembered is dropped; and all connections are taken by messages that wait for their threads.
    expect((await owner.post("/groups", { slug: "others", name: "Others" })).status).toBe(201);
    const watcher = new pg.Client({ connectionString: server.databaseUrl });
    await watcher.connect();
    const { pid } = (await other.query("select pg_backend_pid() as pid")).rows[0];
    await other.query("begin");
    await other.query("select 1 from threads where id = any($1::uuid[]) for update", [threads.map(toUuid)]);
    const message = { type: "user.message", text: "Hello" };
    const sent = Promise.all(threads.map((id) => owner.post(`/threads/${id}/events`, message)));
    const blocked = "select count(*)::int as n from pg_stat_activity where $1 = any(pg_blocking_pids(pid))";
    while ((await watcher.query(blocked, [pid])).rows[0].n < POOL);
    await watcher.end();
    await other.query("commit");
    expect((await sent).map(({ status }) => status)).toEqual(threads.map(() => 200));
  } finally {
    await other.end();
  }
});
