import { basename } from "node:path";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { saveTo, toUpload } from "../local-file.ts";
import { given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { plain, printJson, printOne, write } from "../output.ts";

const kinds = ["attachment", "artifact"] as const;
type Kind = (typeof kinds)[number];
type UploadOptions = { thread?: string; agent?: string; type?: string };

export function addFileCommands(program: Command, contextOf: ContextOf): void {
  const files = program.command("files").description("files of threads");

  files
    .command("upload <path>")
    .description("upload a file to a thread, or to an agent before a thread exists")
    .option("--thread <thread>", "the thread")
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
      printOne(json, file);
    });

  paged(files.command("list <thread>"))
    .description("list a thread's files, newest first")
    .addOption(new Option("--kind <kind>", "only what callers added, or what agents wrote").choices(kinds))
    .action(async (threadId: string, { kind, ...options }: PageOptions & { kind?: Kind }, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, (at) => client.files.list(threadId, { ...at, ...given({ kind }) }));
      printPage(json, page, ["id", "kind", "name", "media_type", "size_bytes", "created_at"]);
    });

  files
    .command("get <file>")
    .description("retrieve what is known about a file")
    .action(async (fileId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.files.get(fileId));
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

  confirming(files.command("delete <file>"))
    .description("remove a file")
    .action(async (fileId: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete file ${fileId}`, options, json)) await client.files.delete(fileId);
    });
}

/** The server's name for the file, unless it would lead out of this folder. */
function localName(name: string): string {
  const safe = basename(plain(name).replaceAll("\\", "/"));
  if (safe === "" || safe === "." || safe === "..")
    throw new UsageError("expected --output: the file has no usable name");
  return safe;
}
