import type { CallboardClient } from "@callboard/client";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { Context, ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { groupIds, ssoConnectionId } from "../names.ts";
import { changes, collect, given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printOne } from "../output.ts";

type Settings = {
  name?: string;
  issuer?: string;
  clientId?: string;
  clientSecret?: boolean;
  clientSecretEnv?: string;
  domain?: string[];
  defaultRole?: "member" | "guest";
  provisioning?: boolean;
  groupsClaim?: string | false;
  groupMapping?: string[] | false;
  enabled?: boolean;
};
type NewConnection = Parameters<CallboardClient["ssoConnections"]["create"]>[0];
type Changes = Parameters<CallboardClient["ssoConnections"]["update"]>[1];

export function addSsoConnectionCommands(program: Command, contextOf: ContextOf): void {
  const connections = program
    .command("sso-connections")
    .description("single sign-on: issuers whose people may come in; a connection is named by slug or id");

  paged(connections.command("list"))
    .description("list connections; client secrets are never shown")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.ssoConnections.list);
      printPage(json, page, ["slug", "id", "issuer", "email_domains", "enabled", "start_url"]);
    });

  connections
    .command("get <connection>")
    .description("retrieve a connection with the addresses to register at the issuer")
    .action(async (connection: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.ssoConnections.get(await ssoConnectionId(client, connection)));
    });

  withSettings(connections.command("create <slug>"))
    .description("add a connection; --issuer, --client-id and --domain are needed")
    .action(async (slug: string, settings: Settings, command: Command) => {
      const context = contextOf(command);
      const body = { slug, name: slug, ...(await fieldsOf(context, settings)) };
      printOne(context.json, await context.client.ssoConnections.create(body as unknown as NewConnection));
    });

  withSettings(connections.command("update <connection>"))
    .description("change a connection; the sessions that came by it end")
    .option("--no-client-secret", "the client has none")
    .action(async (connection: string, settings: Settings, command: Command) => {
      const context = contextOf(command);
      const { client, json } = context;
      const fields = changes(command, await fieldsOf(context, settings));
      const id = await ssoConnectionId(client, connection);
      printOne(json, await client.ssoConnections.update(id, fields as Changes));
    });

  confirming(connections.command("delete <connection>"))
    .description("delete a connection; the sessions that came by it end")
    .action(async (connection: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete single sign-on connection ${connection}`, options, json)) {
        await client.ssoConnections.delete(await ssoConnectionId(client, connection));
      }
    });
}

const withSettings = (command: Command): Command =>
  command
    .option("--name <text>", "what people read on the button (default: the slug)")
    .option("--issuer <url>", "the issuer's address, as its discovery document names it")
    .option("--client-id <id>", "this server's name at the issuer")
    .option("--client-secret", "read the client secret from standard input")
    .option("--client-secret-env <name>", "read the client secret from this environment variable")
    .option("--domain <domain>", "only people with a verified address there are let in (repeatable)", collect)
    .addOption(new Option("--default-role <role>", "of people it brings in").choices(["member", "guest"]))
    .option("--provisioning", "people who are neither members nor invited become members")
    .option("--no-provisioning", "only members and invited people are let in")
    .option("--groups-claim <claim>", "the claim that names a person's groups")
    .option("--no-groups-claim", "groups are not taken from the issuer")
    .option("--group-mapping <value=group>", "value of that claim, and a group by slug or id (repeatable)", collect)
    .option("--no-group-mapping", "no value means a group")
    .option("--enabled", "people may sign in by it")
    .option("--no-enabled", "they may not");

async function fieldsOf({ client, secret }: Context, settings: Settings) {
  const { clientSecret, clientSecretEnv, groupsClaim, groupMapping } = settings;
  const isGiven = clientSecret === true || clientSecretEnv !== undefined;
  return given({
    name: settings.name,
    issuer: settings.issuer,
    client_id: settings.clientId,
    client_secret: isGiven
      ? await secret("the client secret", clientSecretEnv)
      : clientSecret === false
        ? null
        : undefined,
    email_domains: settings.domain,
    default_role: settings.defaultRole,
    provisioning: settings.provisioning,
    groups_claim: groupsClaim === false ? null : groupsClaim,
    group_mapping: groupMapping === false ? {} : groupMapping && (await mappingOf(client, groupMapping)),
    enabled: settings.enabled,
  });
}

async function mappingOf(client: CallboardClient, texts: readonly string[]): Promise<Record<string, string>> {
  const pairs = texts.map((text) => {
    const at = text.lastIndexOf("=");
    if (at < 1) throw new UsageError(`expected --group-mapping value=group; found ${text}`);
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  const ids = await groupIds(
    client,
    pairs.map(([, group]) => group),
  );
  return Object.fromEntries(pairs.map(([value], at) => [value, ids[at] as string]));
}
