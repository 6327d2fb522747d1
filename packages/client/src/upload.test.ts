import { expect, test } from "vitest";
import { createClient } from "./client.ts";
import { type Seen, scriptedServer, sendJson, sendRefusal } from "./testing/scripted-server.ts";
import type { Upload } from "./upload.ts";

const content = new Uint8Array([0, 13, 10, 255, 45, 45]);
const streamed = () =>
  new ReadableStream<Uint8Array>({
    start(out) {
      out.enqueue(content.slice(0, 2));
      out.enqueue(content.slice(2));
      out.close();
    },
  });

async function partOf(seen: Seen | undefined): Promise<{ name: string; type: string; bytes: Uint8Array }> {
  const contentType = seen?.headers["content-type"] as string;
  const form = await new Response(new Uint8Array(seen?.body ?? []), {
    headers: { "content-type": contentType },
  }).formData();
  expect([...form.keys()]).toEqual(["file"]);
  const file = form.get("file") as File;
  return { name: file.name, type: file.type, bytes: new Uint8Array(await file.arrayBuffer()) };
}

const cases: [string, Upload, { name: string; type: string }][] = [
  ["bytes", { name: "a.bin", content }, { name: "a.bin", type: "application/octet-stream" }],
  [
    "a Blob with its own type",
    { name: "Größe.txt", content: new Blob([content], { type: "text/plain;charset=utf-8" }) },
    { name: "Größe.txt", type: "text/plain" },
  ],
  [
    "a stream with a given type",
    { name: "a.csv", content: streamed(), mediaType: "text/csv" },
    { name: "a.csv", type: "text/csv" },
  ],
];

test.each(cases)("%s is sent as one part named file", async (_, upload, expected) => {
  const server = await scriptedServer((_, response) => sendJson(response, 201, { id: "file_1" }));
  expect(await createClient({ baseUrl: server.url }).files.uploadToAgent("support", upload)).toEqual({ id: "file_1" });
  expect(server.seen[0]).toMatchObject({ method: "POST", url: "/api/v1/agents/support/files" });
  expect(await partOf(server.seen[0])).toEqual({ ...expected, bytes: content });
});

test("a quote in the name cannot end the name", async () => {
  const server = await scriptedServer((_, response) => sendJson(response, 201, {}));
  await createClient({ baseUrl: server.url }).files.uploadToThread("thread_1", { name: 'a"; x="b', content });
  expect(String(server.seen[0]?.body)).toContain('name="file"; filename="a%22; x=%22b"');
});

test("a retry sends the same key, the same boundary and the same bytes", async () => {
  const server = await scriptedServer((_, response, index) => {
    if (index === 0) sendRefusal(response, 503, "unavailable", { "retry-after": "0" });
    else sendJson(response, 201, {});
  });
  await createClient({ baseUrl: server.url }).files.uploadToThread("thread_1", { name: "a", content });
  const [first, second] = server.seen;
  expect(first?.url).toBe("/api/v1/threads/thread_1/files");
  expect(second?.body).toEqual(first?.body);
  expect(second?.headers["content-type"]).toBe(first?.headers["content-type"]);
  expect(second?.headers["idempotency-key"]).toBe(first?.headers["idempotency-key"]);
});

test("a stream is not sent a second time", async () => {
  const server = await scriptedServer((_, response) =>
    sendRefusal(response, 503, "unavailable", { "retry-after": "0" }),
  );
  const upload = createClient({ baseUrl: server.url }).files.uploadToThread("thread_1", {
    name: "a",
    content: streamed(),
  });
  await expect(upload).rejects.toMatchObject({ code: "unavailable" });
  expect(server.seen).toHaveLength(1);
});
