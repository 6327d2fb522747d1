import { basename } from "node:path";
import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { saveTo, toUpload } from "../local-file.ts";
import { type PageOptions, paged, pageOf, printPage } from "../options.ts";
import { plain, printFields, printJson, write } from "../output.ts";

type UploadOptions = { thread?: string; agent?: string; type?: string };

export function addFileCommands(program: Command, contextOf: ContextOf): void {
  const files = program.command("files").description("files of threads");

  files
    .command("upload <path>")
    .description("upload a file to a thread, or to an agent before a thread exists")
    .option("--thread <id>", "the thread")
    .option("--agent <agent>", "the agent")
    .option("--type <media type>", "media type (default: by the file's ending)")
    .action(async (path: string, { thread, agent, type }: UploadOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if ((thread === undefined) === (agent === undefined))
        throw new UsageError("expected one of --thread and --agent");
      const upload = await toUpload(path, type);
      const file =
        thread === undefined
          ? await client.files.uploadToAgent(agent as string, upload)
          : await client.files.uploadToThread(thread, upload);
      if (json) printJson(file);
      else printFields(file);
    });

  paged(files.command("list <thread>"))
    .description("list a thread's files, newest first")
    .action(async (threadId: string, options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.files.list(threadId, pageOf(options));
      printPage(json, page, ["id", "kind", "name", "media_type", "size_bytes", "created_at"]);
    });

  files
    .command("download <file>")
    .description("download a file; an existing file is never overwritten")
    .option("--output <path>", "where to write it, - for standard output (default: its own name, here)")
    .action(async (fileId: string, { output }: { output?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      const file = await client.files.get(fileId);
      const { body } = await client.files.download(fileId);
      // Only an empty file may come without a body.
      const bytes = (body ?? new Blob([]).stream()) as ReadableStream<Uint8Array>;
      if (output === "-") {
        for await (const chunk of bytes) await new Promise((resolve) => process.stdout.write(chunk, resolve));
        return;
      }
      const path = output ?? localName(file.name);
      await saveTo(path, bytes);
      if (json) printJson({ ...file, path });
      else write(`${path}\n`);
    });
}

/** The server's name for the file, unless it would lead out of this folder. */
function localName(name: string): string {
  const safe = basename(plain(name).replaceAll("\\", "/"));
  if (safe === "" || safe === "." || safe === "..")
    throw new UsageError("expected --output: the file has no usable name");
  return safe;
}
