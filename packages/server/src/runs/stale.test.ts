import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { Attempts } from "./stale.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ agents: { talker: { name: "Talker" } } });
});
afterAll(() => server.stop());

test("what is asked while access changes all the time is delayed, not refused", { timeout: 600_000 }, async () => {
  const owner = server.client();
  const tokens = await Promise.all(
    Array.from(
      { length: 80 },
      async (_, i) => (await owner.post("/tokens", { label: `t${i}`, scopes: ["agents:read"] })).body.token.id,
    ),
  );
  let isOver = false;
  const changes = (async () => {
    for (const id of tokens) {
      expect((await owner.post(`/tokens/${id}/revoke`)).status).toBe(200);
    }
    isOver = true;
  })();
  const statuses: number[] = [];
  const starter = async () => {
    while (!isOver) {
      const { status, body } = await owner.post("/agents/talker/threads", {
        input: { type: "user.message", text: "hi" },
      });
      statuses.push(status);
      const sent = await owner.post(`/threads/${body.thread?.id}/events`, { type: "user.message", text: "again" });
      statuses.push(sent.status);
    }
  };
  await Promise.all([changes, ...Array.from({ length: 8 }, starter)]);
  expect(new Set(statuses)).toEqual(new Set([201, 200]));
});

test("where each attempt takes long, there are as many before it is refused", async () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  const attempts = new Attempts();
  now.mockReturnValue(60_000);
  for (let failed = 0; failed < 30; failed++) await attempts.again();
  await expect(attempts.again()).rejects.toMatchObject({ code: "unavailable", details: { retry_after_ms: 1000 } });
  now.mockRestore();
});
