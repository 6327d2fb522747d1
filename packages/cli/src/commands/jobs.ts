import type { Job } from "@callboard/client";
import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { exitCode } from "../errors.ts";
import { followJobOnTerminal, untilInterrupted } from "../follow.ts";
import { wholeNumber } from "../options.ts";
import { printFields, printJson } from "../output.ts";

export function addJobCommands(program: Command, contextOf: ContextOf): void {
  const jobs = program.command("jobs").description("calls of endpoints that outlive their request");
  const print = (json: boolean, job: Job) => (json ? printJson(job) : printFields(job));

  jobs
    .command("get <job>")
    .description("retrieve a job")
    .action(async (jobId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.jobs.get(jobId));
    });

  jobs
    .command("wait <job>")
    .description("retrieve a job once it has ended; exit code 3 when it failed or was canceled")
    .action(async (jobId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      await untilInterrupted(json, async (signal) => {
        const job = await client.jobs.wait(jobId, { signal });
        print(json, job);
        if (job.state !== "completed") process.exitCode = exitCode.runFailed;
      });
    });

  jobs
    .command("follow <job>")
    .description("print what the job says until it has ended")
    .option("--after-seq <n>", "number of the last event you have", wholeNumber)
    .action(async (jobId: string, { afterSeq }: { afterSeq?: number }, command: Command) => {
      await followJobOnTerminal(contextOf(command), jobId, { afterSeq });
    });

  jobs
    .command("cancel <job>")
    .description("cancel a job with the runs it has started")
    .action(async (jobId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.jobs.cancel(jobId));
    });
}
