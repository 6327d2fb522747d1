/** The audit log: read through a server, checked on the database itself. */
import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { exitCode, UsageError } from "../errors.ts";
import { type PageOptions, paged, pageOf, printPage } from "../options.ts";
import { printJson, printTable } from "../output.ts";

type ListOptions = PageOptions & {
  action?: string;
  actor?: string;
  target?: string;
  outcome?: "done" | "refused";
  since?: string;
  until?: string;
};
type CheckOptions = { organization?: string; anchor?: string; json?: boolean };

export function addAuditCommands(program: Command, contextOf: ContextOf): void {
  const audit = program.command("audit").description("who did what, and whether the log of it is whole");

  paged(audit.command("list"))
    .description("list entries, newest first")
    .option("--action <action>", "only this act, like token.create")
    .option("--actor <id>", "only acts of this user or service token")
    .option("--target <id>", "only acts on this thing")
    .option("--outcome <outcome>", "done or refused")
    .option("--since <time>", "entries of this time and later, RFC 3339 in UTC")
    .option("--until <time>", "entries before this time")
    .action(async (options: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const { actor, action, target, outcome, since, until } = options;
      const filter = Object.entries({ action, actor_id: actor, target, outcome, since, until });
      const given = Object.fromEntries(filter.filter(([, value]) => value !== undefined));
      const page = await client.audit.list({ ...pageOf(options), ...given });
      const data = page.data.map((entry) => ({ ...entry, actor: entry.actor.id ?? entry.actor.kind }));
      if (json) printJson(page);
      else
        printPage(false, { ...page, data }, ["seq", "created_at", "actor", "action", "target", "outcome", "details"]);
    });

  const onDatabase = (command: Command): Command =>
    command
      .option("--organization <id>", "only this organization's log (default: all)")
      .addHelpText("after", "\nThe database is DATABASE_URL, else the one that `npm start` runs in this folder.");

  onDatabase(audit.command("verify"))
    .description("check every entry of the log in the server's database; exit code 1 when one does not fit")
    .option("--anchor <seq:hash>", "what `audit head` printed at some time: the log must still hold it")
    .action(async (_: CheckOptions, command: Command) => {
      const { organization, anchor, json } = command.optsWithGlobals<CheckOptions>();
      if (anchor !== undefined && !/^\d{1,15}:[0-9a-f]{64}$/.test(anchor)) {
        throw new UsageError("expected --anchor as a number, a colon and a hash of 64 hex digits");
      }
      const { auditVerify } = await import("@callboard/server");
      const checks = await auditVerify({
        ...(organization === undefined ? {} : { organization }),
        ...(anchor === undefined ? {} : { anchor }),
      });
      if (json) for (const check of checks) printJson(check);
      else {
        const rows = checks.map(({ problem, head, ok, ...check }) => ({
          ...check,
          head: head.seq,
          result: ok ? "ok" : `BROKEN at ${problem?.seq}: ${problem?.message}`,
        }));
        printTable(["organization_id", "entries", "head", "result"], rows);
      }
      if (checks.some(({ ok }) => !ok)) process.exitCode = exitCode.failed;
    });

  onDatabase(audit.command("head"))
    .description("print number and hash of the last entry in the server's database, to keep elsewhere")
    .action(async (_: CheckOptions, command: Command) => {
      const { organization, json } = command.optsWithGlobals<CheckOptions>();
      const { auditHeads } = await import("@callboard/server");
      const heads = await auditHeads(organization === undefined ? {} : { organization });
      if (json) for (const head of heads) printJson(head);
      else printTable(["organization_id", "anchor"], heads);
    });
}
