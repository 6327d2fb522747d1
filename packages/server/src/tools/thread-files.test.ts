import type { ToolContext, ToolFiles } from "@callboard/kit";
import { type File, type FileId, newId } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { callTool, checkInput } from "./call.ts";
import { toolsOf } from "./fixture.ts";

const tools = await toolsOf();

/** The files of one thread, in memory: what the engine gives is tested there. */
class MemoryFiles implements ToolFiles {
  readonly all = new Map<FileId, { file: File; bytes: Uint8Array }>();
  list = async () => [...this.all.values()].map(({ file }) => file);
  async read(id: FileId) {
    const found = this.all.get(id);
    if (found === undefined) throw new Error(`there is no file ${id} in this thread`);
    return found;
  }
  async write({ name, mediaType, bytes }: { name: string; mediaType: string; bytes: Uint8Array | string }) {
    const content = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    const file: File = {
      id: newId("file"),
      thread_id: newId("thread"),
      kind: "artifact",
      name,
      media_type: mediaType,
      size_bytes: content.length,
      sha256: "",
      run_id: null,
      created_at: "2026-01-31T09:30:00.000Z",
    };
    this.all.set(file.id, { file, bytes: content });
    return file;
  }
}

async function use(name: string, input: unknown, files: ToolFiles) {
  const tool = tools.get(name);
  if (tool === undefined) throw new Error(`there is no tool ${name}`);
  const checked = await checkInput(tool, input);
  if (!checked.ok) return checked;
  const context = { files, signal: new AbortController().signal } as unknown as ToolContext;
  return callTool(tool, checked.value, context);
}

describe("the files of a thread", () => {
  test("can be written, listed and read back", async () => {
    const files = new MemoryFiles();
    const content = "Grüße 😀\nline two";
    const written = await use("write_file", { name: "report.md", content, media_type: "text/markdown" }, files);
    const id = [...files.all.keys()][0];
    expect(written).toMatchObject({
      output: { id, name: "report.md", size_bytes: new TextEncoder().encode(content).length },
    });
    expect(await use("list_files", {}, files)).toMatchObject({
      output: [{ id, name: "report.md", kind: "artifact", media_type: "text/markdown" }],
    });
    expect(await use("read_file", { file_id: id }, files)).toMatchObject({
      output: { name: "report.md", text: content, total_characters: content.length },
    });
  });

  test("are read in parts of 100,000 characters", async () => {
    const files = new MemoryFiles();
    await use("write_file", { name: "long.txt", content: "a".repeat(100_000) + "b".repeat(50_000) }, files);
    const file_id = [...files.all.keys()][0];
    expect(await use("read_file", { file_id }, files)).toMatchObject({
      output: { text: "a".repeat(100_000), total_characters: 150_000 },
    });
    expect(await use("read_file", { file_id, offset: 100_000 }, files)).toMatchObject({
      output: { text: "b".repeat(50_000) },
    });
    expect(await use("read_file", { file_id, offset: 200_000 }, files)).toMatchObject({ output: { text: "" } });
  });

  test("that are not there, or no ids, are errors the model can read", async () => {
    const files = new MemoryFiles();
    const absent = newId("file");
    expect(await use("read_file", { file_id: absent }, files)).toMatchObject({
      outcome: "error",
      reason: `there is no file ${absent} in this thread`,
    });
    expect(await use("read_file", { file_id: "../etc/passwd" }, files)).toMatchObject({
      outcome: "error",
      reason: "../etc/passwd is not a file's id",
    });
  });

  test("take no arguments beyond their own", async () => {
    const files = new MemoryFiles();
    expect(await use("list_files", { thread_id: "thread_x" }, files)).toMatchObject({ ok: false });
    expect(await use("read_file", { file_id: newId("file"), offset: -1 }, files)).toMatchObject({ ok: false });
    expect(await use("write_file", { name: "", content: "x" }, files)).toMatchObject({ ok: false });
  });

  test("binary ones are shown as text, with what is not text marked", async () => {
    const files = new MemoryFiles();
    await files.write({
      name: "raw",
      mediaType: "application/octet-stream",
      bytes: new Uint8Array([0xff, 0x41, 0x00]),
    });
    const file_id = [...files.all.keys()][0];
    expect(await use("read_file", { file_id }, files)).toMatchObject({ output: { text: "\ufffdA\ufffd" } });
  });
});
