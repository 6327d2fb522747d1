/** The audit log: read through a server, checked on the database itself. */
import { type CallboardClient, paginate } from "@callboard/client";
import { type Command, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { exitCode, UsageError } from "../errors.ts";
import { given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printJson, printOne, printTable } from "../output.ts";

const outcomes = ["done", "refused"] as const;
type Filter = {
  action?: string;
  actor?: string;
  target?: string;
  outcome?: (typeof outcomes)[number];
  since?: string;
  until?: string;
};
type CheckOptions = { organization?: string; anchor?: string; server?: true; json?: boolean };
type Check = Awaited<ReturnType<CallboardClient["audit"]["verify"]>>;

export function addAuditCommands(program: Command, contextOf: ContextOf): void {
  const audit = program.command("audit").description("who did what, and whether the log of it is whole");

  filtered(paged(audit.command("list")))
    .description("list entries, newest first")
    .action(async (options: PageOptions & Filter, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, (at) => client.audit.list({ ...at, ...queryOf(options) }));
      const data = page.data.map((entry) => ({ ...entry, actor: entry.actor.id ?? entry.actor.kind }));
      if (json) printJson(page);
      else
        printPage(false, { ...page, data }, ["seq", "created_at", "actor", "action", "target", "outcome", "details"]);
    });

  filtered(audit.command("export"))
    .description("print every entry as a line of JSON, newest first, to keep elsewhere")
    .action(async (options: Filter, command: Command) => {
      const { client } = contextOf(command);
      const entries = paginate((at) => client.audit.list({ limit: 200, ...at, ...queryOf(options) }));
      for await (const entry of entries) printJson(entry);
    });

  const onDatabase = (command: Command): Command =>
    command
      .option("--organization <organization>", "only this organization's log (default: all)")
      .option("--server", "ask a running server about its own log, as an owner or admin, in the place of the database")
      .addHelpText("after", "\nThe database is DATABASE_URL, else the one that `npm start` runs in this folder.");

  onDatabase(audit.command("verify"))
    .description("check every entry of the log; exit code 1 when one does not fit")
    .option("--anchor <seq:hash>", "what `audit head` printed at some time: the log must still hold it")
    .action(async (_: CheckOptions, command: Command) => {
      const { organization, anchor, server, json } = command.optsWithGlobals<CheckOptions>();
      if (anchor !== undefined && !/^\d{1,15}:[0-9a-f]{64}$/.test(anchor)) {
        throw new UsageError("expected --anchor as a number, a colon and a hash of 64 hex digits");
      }
      if (server === true) return verifyOnServer(contextOf(command), anchor);
      const { auditVerify } = await import("@callboard/server");
      const checks = await auditVerify({
        ...(organization === undefined ? {} : { organization }),
        ...(anchor === undefined ? {} : { anchor }),
      });
      if (json) for (const check of checks) printJson(check);
      else {
        const rows = checks.map((check) => ({ organization_id: check.organization_id, ...rowOf(check) }));
        printTable(["organization_id", "entries", "head", "result"], rows);
      }
      if (checks.some(({ ok }) => !ok)) process.exitCode = exitCode.failed;
    });

  onDatabase(audit.command("head"))
    .description("print number and hash of the last entry, to keep elsewhere")
    .action(async (_: CheckOptions, command: Command) => {
      const { organization, server, json } = command.optsWithGlobals<CheckOptions>();
      if (server === true) return printOne(json === true, await contextOf(command).client.audit.head());
      const { auditHeads } = await import("@callboard/server");
      const heads = await auditHeads(organization === undefined ? {} : { organization });
      if (json) for (const head of heads) printJson(head);
      else printTable(["organization_id", "anchor"], heads);
    });
}

const filtered = (command: Command): Command =>
  command
    .option("--action <action>", "only this act, like token.create")
    .option("--actor <id>", "only acts of this user or service token")
    .option("--target <id>", "only acts on this thing")
    .addOption(new Option("--outcome <outcome>", "only what was done, or what was refused").choices(outcomes))
    .option("--since <time>", "entries of this time and later, RFC 3339 in UTC")
    .option("--until <time>", "entries before this time");

const queryOf = ({ actor, action, target, outcome, since, until }: Filter) =>
  given({ action, actor_id: actor, target, outcome, since, until });

const rowOf = ({ entries, head, ok, problem }: Check) => ({
  entries,
  head: head.seq,
  result: ok ? "ok" : `BROKEN at ${problem?.seq}: ${problem?.message}`,
});

async function verifyOnServer({ client, json }: Context, anchor: string | undefined): Promise<void> {
  const check = await client.audit.verify(given({ anchor }));
  if (json) printJson(check);
  else printTable(["entries", "head", "result"], [rowOf(check)]);
  if (!check.ok) process.exitCode = exitCode.failed;
}
