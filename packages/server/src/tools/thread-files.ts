/** Built-in tools: the files of the run's thread. */
import type { Tool } from "@callboard/kit";
import { type FileId, parseId } from "@callboard/protocol";
import { z } from "zod";
import { zodTool } from "./zod-tool.ts";

const MAX_READ_CHARS = 100_000;

export const fileTools: Record<string, Tool> = {
  list_files: zodTool({
    description: "List the files of this conversation: id, name, media type, size.",
    input: z.strictObject({}),
    effect: "read",
    run: async (_, { files }) =>
      (await files.list()).map(({ id, name, kind, media_type, size_bytes }) => ({
        id,
        name,
        kind,
        media_type,
        size_bytes,
      })),
  }),
  read_file: zodTool({
    description: "Read a text file of this conversation, up to 100,000 characters at a time.",
    input: z.strictObject({
      file_id: z.string().describe("The file's id, like file_01h455vb4pex5vsknk084sn02q."),
      offset: z.number().int().min(0).default(0).describe("Character to start from."),
    }),
    effect: "read",
    run: async ({ file_id, offset }, { files }) => {
      const id = parseId("file", file_id);
      if (id === undefined) throw new Error(`${file_id} is not a file's id`);
      const { file, bytes } = await files.read(id as FileId);
      const text = new TextDecoder("utf-8", { fatal: false }).decode(bytes);
      const part = text.slice(offset, offset + MAX_READ_CHARS);
      return { name: file.name, text: part, total_characters: text.length };
    },
  }),
  write_file: zodTool({
    description: "Write a text file that the people in this conversation can download.",
    input: z.strictObject({
      name: z.string().min(1).max(255).describe("File name, like report.md."),
      content: z.string().max(1_000_000).describe("The whole text of the file."),
      media_type: z.string().max(100).default("text/plain").describe("Media type, like text/markdown."),
    }),
    effect: "idempotent",
    run: async ({ name, content, media_type }, { files }) => {
      const file = await files.write({ name, mediaType: media_type, bytes: content });
      return { id: file.id, name: file.name, size_bytes: file.size_bytes };
    },
  }),
};
