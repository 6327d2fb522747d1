import { expect, test } from "vitest";
import { createClient } from "./client.ts";
import { paginate } from "./paginate.ts";
import { scriptedServer, sendJson } from "./testing/scripted-server.ts";

const pages = [
  { data: [{ id: "run_1" }, { id: "run_2" }], next_cursor: "c1" },
  { data: [], next_cursor: "c2" },
  { data: [{ id: "run_3" }], next_cursor: null },
];

test("a loop over a list reads page after page, an empty one included", async () => {
  const server = await scriptedServer((_, response, index) => sendJson(response, 200, pages[index]));
  const client = createClient({ baseUrl: server.url });
  const ids: string[] = [];
  for await (const run of paginate((page) => client.runs.list({ ...page, limit: 2 }))) ids.push(run.id);
  expect(ids).toEqual(["run_1", "run_2", "run_3"]);
  expect(server.seen.map((seen) => seen.url)).toEqual([
    "/api/v1/runs?limit=2",
    "/api/v1/runs?cursor=c1&limit=2",
    "/api/v1/runs?cursor=c2&limit=2",
  ]);
});

test("a loop that is left early reads no further page", async () => {
  const server = await scriptedServer((_, response, index) => sendJson(response, 200, pages[index]));
  const client = createClient({ baseUrl: server.url });
  for await (const run of paginate((page) => client.runs.list(page))) if (run.id === "run_2") break;
  expect(server.seen).toHaveLength(1);
});
