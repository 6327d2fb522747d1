import type { ToolFiles } from "@callboard/kit";
import { newId } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { use as call, MemoryFiles, toolsOf } from "./fixture.ts";

const tools = await toolsOf();

const use = (name: string, input: unknown, files: ToolFiles) => call(tools, name, input, { files });

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
    expect(await use("list_files", { thread_id: "thread_x" }, files)).toMatchObject({ outcome: "error" });
    expect(await use("read_file", { file_id: newId("file"), offset: -1 }, files)).toMatchObject({ outcome: "error" });
    expect(await use("write_file", { name: "", content: "x" }, files)).toMatchObject({ outcome: "error" });
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
