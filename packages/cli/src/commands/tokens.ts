import { type Command, InvalidArgumentError, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { collect, type PageOptions, paged, pageOf, printPage, wholeNumber } from "../options.ts";
import { printFields, printJson } from "../output.ts";

type CreateOptions = {
  kind: "personal" | "service";
  label: string;
  scope?: string[];
  agent?: string[];
  expiresInDays?: number | "never";
};

export function addTokenCommands(program: Command, contextOf: ContextOf): void {
  const tokens = program.command("tokens").description("secrets that prove who is asking");

  tokens
    .command("create")
    .description("create a token; its secret is printed once and kept nowhere")
    .addOption(new Option("--kind <kind>", "whom it acts as").choices(["personal", "service"]).default("personal"))
    .option("--label <text>", "what it is for", "cli")
    .option("--scope <scope>", "what it may do, like threads:read (repeatable; default: what the kind needs)", collect)
    .option("--agent <agent>", "an agent that a service token may call, by id or slug (repeatable)", collect)
    .option("--expires-in-days <days>", "days until it expires, or never (default: 90)", days)
    .action((options: CreateOptions, command: Command) => createToken(contextOf(command), options));

  paged(tokens.command("list"))
    .description("list your tokens, or all of the organization's for its admins")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.tokens.list(pageOf(options));
      printPage(json, page, ["id", "kind", "label", "prefix", "expires_at", "last_used_at", "revoked_at"]);
    });

  tokens
    .command("revoke <id>")
    .description("end a token at once")
    .action(async (tokenId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const token = await client.tokens.revoke(tokenId);
      if (json) printJson(token);
      else printFields(token);
    });
}

async function createToken({ client, json }: Context, options: CreateOptions): Promise<void> {
  const { kind, label, scope, agent, expiresInDays } = options;
  const agents = await Promise.all(
    (agent ?? []).map(async (name) => (name.startsWith("agent_") ? name : (await client.agents.get(name)).id)),
  );
  const created = await client.tokens.create({
    kind,
    label,
    // The server knows its scopes and says which one it does not know.
    ...(scope ? { scopes: scope as NonNullable<Parameters<typeof client.tokens.create>[0]["scopes"]> } : {}),
    ...(agent ? { agent_ids: agents } : {}),
    ...(expiresInDays === undefined ? {} : { expires_in_days: expiresInDays === "never" ? null : expiresInDays }),
  });
  if (json) return printJson(created);
  printFields({ ...created.token, secret: created.secret });
}

// Not null for never: commander turns a parsed null into an empty text.
function days(text: string): number | "never" {
  if (text === "never") return text;
  const count = wholeNumber(text);
  if (count === 0) throw new InvalidArgumentError("Expected at least one day, or never.");
  return count;
}
