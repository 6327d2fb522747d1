import type { CallboardClient } from "@callboard/client";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { agentIds } from "../names.ts";
import { changes, collect, given, listed, type PageOptions, paged, printPage, wholeNumber } from "../options.ts";
import { printFields, printJson, printOne } from "../output.ts";

type CreateOptions = {
  kind: "personal" | "service";
  label: string;
  scope?: string[];
  agent?: string[];
  attribute?: true;
  requestsPerMinute?: number;
  expiresInDays?: number | "never";
};
type UpdateOptions = { label?: string; scope?: string[]; agent?: string[]; attribute?: boolean };
type RotateOptions = { overlapSeconds?: number; expiresInDays?: number | "never" };
/** The server knows its scopes and says which one it does not know. */
type Scopes = NonNullable<Parameters<CallboardClient["tokens"]["create"]>[0]["scopes"]>;

export function addTokenCommands(program: Command, contextOf: ContextOf): void {
  const tokens = program.command("tokens").description("secrets that prove who is asking");

  tokens
    .command("create")
    .description("create a token; its secret is printed once and kept nowhere")
    .addOption(new Option("--kind <kind>", "whom it acts as").choices(["personal", "service"]).default("personal"))
    .option("--label <text>", "what it is for", "cli")
    .option("--scope <scope>", "what it may do, like threads:read (repeatable; default: what the kind needs)", collect)
    .option("--agent <agent>", "an agent that a service token may call, by id or slug (repeatable)", collect)
    .option("--attribute", "a service token may act for people")
    .option("--requests-per-minute <n>", "how often it may ask (default: the server's limit)", wholeNumber)
    .option("--expires-in-days <days>", "days until it expires, or never (default: 90)", days)
    .action((options: CreateOptions, command: Command) => createToken(contextOf(command), options));

  paged(tokens.command("list"))
    .description("list your tokens, or all of the organization's for its admins")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.tokens.list);
      printPage(json, page, ["id", "kind", "label", "prefix", "expires_at", "last_used_at", "revoked_at"]);
    });

  tokens
    .command("update <token>")
    .description("rename a token, take scopes away, or change what a service token may call")
    .option("--label <text>", "what it is for")
    .option("--scope <scope>", "a scope that it keeps; the others go (repeatable)", collect)
    .option("--agent <agent>", "an agent that a service token may call; the others go (repeatable)", collect)
    .option("--attribute", "a service token may act for people")
    .option("--no-attribute", "it may not")
    .action(async (tokenId: string, options: UpdateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const { label, scope, agent, attribute } = options;
      const body = changes(command, {
        label,
        scopes: scope as Scopes | undefined,
        agent_ids: agent && (await agentIds(client, agent)),
        may_attribute: attribute,
      });
      const token = await client.tokens.update(tokenId, body);
      printOne(json, token);
    });

  tokens
    .command("rotate <token>")
    .description("replace a token's secret; the new one is printed once and kept nowhere")
    .option("--overlap-seconds <n>", "how long the old secret still works, at most 86400 (default: 0)", wholeNumber)
    .option("--expires-in-days <days>", "days until it expires, or never (default: as many as at first)", days)
    .action(async (tokenId: string, { overlapSeconds, expiresInDays }: RotateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const rotated = await client.tokens.rotate(tokenId, {
        ...given({ overlap_seconds: overlapSeconds }),
        ...expiry(expiresInDays),
      });
      if (json) printJson(rotated);
      else printFields({ ...rotated.token, secret: rotated.secret });
    });

  tokens
    .command("revoke <token>")
    .description("end a token at once")
    .action(async (tokenId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const token = await client.tokens.revoke(tokenId);
      printOne(json, token);
    });
}

async function createToken({ client, json }: Context, options: CreateOptions): Promise<void> {
  const { kind, label, scope, agent, attribute, requestsPerMinute, expiresInDays } = options;
  const created = await client.tokens.create({
    kind,
    label,
    ...(scope ? { scopes: scope as Scopes } : {}),
    ...(agent ? { agent_ids: await agentIds(client, agent) } : {}),
    ...given({ may_attribute: attribute, requests_per_minute: requestsPerMinute }),
    ...expiry(expiresInDays),
  });
  if (json) return printJson(created);
  printFields({ ...created.token, secret: created.secret });
}

const expiry = (days: number | "never" | undefined) =>
  days === undefined ? {} : { expires_in_days: days === "never" ? null : days };

// Not null for never: commander turns a parsed null into an empty text.
function days(text: string): number | "never" {
  if (text === "never") return text;
  const count = wholeNumber(text);
  if (count === 0) throw new InvalidArgumentError("Expected at least one day, or never.");
  return count;
}
