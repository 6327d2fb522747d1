/** Built-in tools: the files of the run's thread. */
import { defineTool, type JsonSchema, type StandardSchema, type Tool } from "@callboard/kit";
import { type FileId, parseId } from "@callboard/protocol";
import { z } from "zod";

/** Zod's own types are more exact than the interface; this is the one place where they meet. */
const input = <T extends z.ZodType>(schema: T) => schema as unknown as StandardSchema<z.input<T>, z.output<T>>;
const shown = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input" }) as JsonSchema;

const MAX_READ_CHARS = 100_000;

const nothing = z.strictObject({});
const readInput = z.strictObject({
  file_id: z.string().describe("The file's id, like file_01h455vb4pex5vsknk084sn02q."),
  offset: z.number().int().min(0).default(0).describe("Character to start from."),
});
const writeInput = z.strictObject({
  name: z.string().min(1).max(255).describe("File name, like report.md."),
  content: z.string().max(1_000_000).describe("The whole text of the file."),
  media_type: z.string().max(100).default("text/plain").describe("Media type, like text/markdown."),
});

export const fileTools: Record<string, Tool> = {
  list_files: defineTool({
    description: "List the files of this conversation: id, name, media type, size.",
    input: input(nothing),
    inputJsonSchema: shown(nothing),
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
  read_file: defineTool({
    description: "Read a text file of this conversation, up to 100,000 characters at a time.",
    input: input(readInput),
    inputJsonSchema: shown(readInput),
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
  write_file: defineTool({
    description: "Write a text file that the people in this conversation can download.",
    input: input(writeInput),
    inputJsonSchema: shown(writeInput),
    effect: "idempotent",
    run: async ({ name, content, media_type }, { files }) => {
      const file = await files.write({ name, mediaType: media_type, bytes: content });
      return { id: file.id, name: file.name, size_bytes: file.size_bytes };
    },
  }),
};
