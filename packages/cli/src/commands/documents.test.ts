import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { callboard, folder } from "../testing/callboard.ts";
import { json, scriptedServer } from "../testing/scripted-server.ts";

const hit = {
  citation: {
    document_id: "document_1",
    revision: "1",
    title: "Refunds\u001b[2J",
    passage: 2,
    page: 3,
    start: 0,
    end: 9,
  },
  collection: { id: "collection_1", slug: "handbook" },
  name: "refunds.pdf",
  text: "Refunds take\u0007 ten days.",
  highlight: "Refunds take\u0007 ten days.",
  matches: [{ start: 0, end: 7 }],
  score: 0.6,
};

test("search prints what was found with its citation, and nothing that speaks to the terminal", async () => {
  const server = await scriptedServer({ "POST /documents/search": json({ data: [hit] }) });
  const args = ["documents", "search", "refunds", "--collection", "handbook", "--limit", "3"];
  expect(await callboard(server.url, args)).toEqual({
    code: 0,
    stdout: "Refunds[2J\nhandbook · passage 2, page 3 · document_1\nRefunds take ten days.\n\n",
    stderr: "",
  });
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ query: "refunds", collection: "handbook", limit: 3 });
});

test("add sends the file with its type", async () => {
  const server = await scriptedServer({
    "POST /document-collections/handbook/documents": json({ id: "document_1", name: "a.md" }, 201),
  });
  const cwd = await folder();
  await writeFile(join(cwd, "a.md"), "# A\n");
  const { code, stdout } = await callboard(server.url, ["documents", "add", "handbook", "a.md"], cwd);
  expect([code, stdout]).toEqual([0, "id    document_1\nname  a.md\n"]);
  expect(server.seen[0]?.body).toContain('filename="a.md"\r\nContent-Type: text/markdown\r\n\r\n# A\n');
});

test("replace sends the file, and the revision that was seen", async () => {
  const server = await scriptedServer({
    "PUT /documents/document_1/content": json({ id: "document_1", revision: "3" }),
  });
  const cwd = await folder();
  await writeFile(join(cwd, "a.md"), "# A\n");
  const args = ["documents", "replace", "document_1", "a.md", "--revision", "2"];
  expect(await callboard(server.url, args, cwd)).toMatchObject({
    code: 0,
    stdout: "id        document_1\nrevision  3\n",
  });
  expect(server.seen[0]?.headers["if-match"]).toBe('"2"');
  expect(server.seen[0]?.body).toContain('filename="a.md"\r\nContent-Type: text/markdown\r\n\r\n# A\n');
});

test("collections create opens it to groups by their slugs", async () => {
  const server = await scriptedServer({
    "GET /groups?limit=200": json({ data: [{ id: "group_1", slug: "payments" }], next_cursor: null }),
    "POST /document-collections": json({ id: "collection_1", slug: "rules" }, 201),
  });
  const args = ["collections", "create", "rules", "--language", "english", "--group", "payments"];
  expect(await callboard(server.url, [...args, "--group", "group_2"])).toMatchObject({ code: 0 });
  expect(JSON.parse(server.seen[1]?.body ?? "")).toEqual({
    slug: "rules",
    name: "rules",
    language: "english",
    access: { organization: false, users: [], groups: ["group_1", "group_2"], services: [] },
  });
});

test("show prints a document's text", async () => {
  const content = ((response) => void response.end("Whole\u001b text\n")) as ReturnType<typeof json>;
  const server = await scriptedServer({ "GET /documents/document_1/content": content });
  expect((await callboard(server.url, ["documents", "show", "document_1"])).stdout).toBe("Whole text\n");
});
