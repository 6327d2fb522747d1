import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { applyDocuments, loadDocuments } from "./documents.ts";

let server: TestServer;
let folder: string;
beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), "callboard-documents-"));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function write(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, "documents", path)), { recursive: true });
    await writeFile(join(folder, "documents", path), text);
  }
}
async function apply(): Promise<void> {
  const caller = await server.app.authenticator.authenticate(`Bearer ${server.token}`);
  await applyDocuments(server.app, caller, await loadDocuments(folder));
}
const documents = async () =>
  (await server.client().get("/document-collections/desk/documents")).body.data as Array<{ id: string; name: string }>;
const access = async () => (await server.client().get("/document-collections/desk/access")).body;
const idOf = (all: Array<{ id: string; name: string }>, wanted: string) => all.find(({ name }) => name === wanted)?.id;

describe("documents in files", () => {
  test("become a collection, opened to groups that are made where they are missing", async () => {
    await write({
      "desk/collection.json": JSON.stringify({ name: "Desk", language: "english", groups: ["desk"] }),
      "desk/a.md": "# Alpha\n\nFirst.",
      "desk/b.txt": "Second.",
    });
    await apply();
    expect((await documents()).map(({ name }) => name).sort()).toEqual(["a.md", "b.txt"]);
    const [group] = (await server.client().get("/groups")).body.data;
    expect([group.slug, await access()]).toEqual([
      "desk",
      { organization: false, users: [], groups: [group.id], services: [] },
    ]);
  });

  test("stay as they are when they are applied again, and are replaced when they changed", async () => {
    const before = await documents();
    await apply();
    expect(await documents()).toEqual(before);
    await write({ "desk/a.md": "# Alpha\n\nFirst, better." });
    await apply();
    const after = await documents();
    expect(idOf(after, "b.txt")).toBe(idOf(before, "b.txt"));
    expect(idOf(after, "a.md")).toBe(idOf(before, "a.md"));
    expect(after.find(({ name }) => name === "a.md")).toMatchObject({ revision: "2" });
    expect((await server.client().get(`/documents/${idOf(after, "a.md")}/content`)).text).toContain("better");
  });

  test("follow their file in whom they are opened to, and keep people who were granted beside it", async () => {
    const { groups } = await access();
    await server.client().put("/document-collections/desk/access", { groups, users: [server.ownerId] });
    await write({ "desk/collection.json": JSON.stringify({ name: "Desk", language: "english", organization: true }) });
    await apply();
    expect(await access()).toEqual({ organization: true, users: [server.ownerId], groups: [], services: [] });
  });

  test("that cannot be read are all named", async () => {
    await write({
      "desk/c.docx": "PK",
      "broken/collection.json": "{",
      "wrong/collection.json": JSON.stringify({ name: "W", group: "x" }),
      "Big Name/collection.json": JSON.stringify({ name: "B" }),
    });
    const told = await loadDocuments(folder).catch((error: Error) => error.message);
    for (const path of ["desk/c.docx", "documents/broken", "documents/wrong", "documents/Big Name"]) {
      expect(told).toContain(path);
    }
  });
});

test("a project without documents has none", async () => {
  expect(await loadDocuments(join(folder, "nowhere"))).toEqual([]);
});
