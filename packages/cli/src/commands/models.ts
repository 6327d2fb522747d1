import type { CallboardClient, ModelConnection } from "@callboard/client";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { Context, ContextOf } from "../context.ts";
import { exitCode } from "../errors.ts";
import { modelId } from "../names.ts";
import { changes, given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { plain, printJson, printOne, write } from "../output.ts";

const kinds = [
  "openai",
  "anthropic",
  "google",
  "openai-compatible",
  "demo",
] as const satisfies ModelConnection["kind"][];
type Settings = { key?: boolean; keyEnv?: string; providerUrl?: string; model?: string; default?: true };
type CreateOptions = Settings & { kind: (typeof kinds)[number] };
type NewConnection = Parameters<CallboardClient["models"]["create"]>[0];

/** Short: what is asked is whether an answer comes. */
const QUESTION = "Answer with the word ready.";

export function addModelCommands(program: Command, contextOf: ContextOf): void {
  const models = program
    .command("models")
    .description("model connections: a provider, its key and its address; one is named by slug or id");

  paged(models.command("list"))
    .description("list model connections; keys are never shown")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.models.list);
      printPage(json, page, ["slug", "id", "kind", "default_model", "base_url", "has_key", "is_default"]);
    });

  models
    .command("get <connection>")
    .description("retrieve a model connection; its key is never shown")
    .action(async (connection: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.models.get(await modelId(client, connection)));
    });

  withSettings(models.command("create <slug>"))
    .description("add a model connection; agents name it by its slug, also as a fallback")
    .addOption(new Option("--kind <kind>", "the provider").choices(kinds).makeOptionMandatory())
    .action(async (slug: string, { kind, ...settings }: CreateOptions, command: Command) => {
      const context = contextOf(command);
      const body = { slug, kind, ...(await fieldsOf(context, settings)) };
      printOne(context.json, await context.client.models.create(body as NewConnection));
    });

  withSettings(models.command("update <connection>"))
    .description("change a model connection, for instance its key; the old key is not used any more")
    .option("--no-key", "forget its key")
    .action(async (connection: string, settings: Settings, command: Command) => {
      const context = contextOf(command);
      const { client, json } = context;
      const fields = changes(command, await fieldsOf(context, settings));
      printOne(json, await client.models.update(await modelId(client, connection), fields));
    });

  models
    .command("test <connection>")
    .description(
      "ask the model for one word, as a raw run, which the organization has to allow; exit code 3 when none comes",
    )
    .option("--model <id>", "the provider's name for the model (default: the connection's)")
    .action(async (connection: string, { model }: { model?: string }, command: Command) => {
      const context = contextOf(command);
      const { slug } = await context.client.models.get(await modelId(context.client, connection));
      await test(context, { connection: slug, ...given({ id: model }) });
    });

  confirming(models.command("delete <connection>"))
    .description("delete a model connection that is not the default")
    .action(async (connection: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete model connection ${connection}`, options, json)) {
        await client.models.delete(await modelId(client, connection));
      }
    });
}

const withSettings = (command: Command): Command =>
  command
    .option("--key", "read the provider's key from standard input")
    .option("--key-env <name>", "read the provider's key from this environment variable")
    .option("--provider-url <url>", "the provider's address; openai-compatible needs one")
    .option("--model <id>", "the provider's name for the model that is used where an agent names none")
    .option("--default", "agents that name no connection use this one");

async function fieldsOf({ secret }: Context, { key, keyEnv, providerUrl, model, default: isDefault }: Settings) {
  const isGiven = key === true || keyEnv !== undefined;
  const api_key = isGiven ? await secret("the provider's key", keyEnv) : key === false ? null : undefined;
  return given({ api_key, base_url: providerUrl, default_model: model, is_default: isDefault });
}

async function test({ client, json }: Context, model: { connection: string; id?: string }): Promise<void> {
  const input = { type: "user.message" as const, text: QUESTION };
  const { id } = await client.runs.createRaw({ input, config: { model } });
  const run = await client.runs.wait(id);
  if (json) printJson(run);
  else if (run.state === "completed") write(`${plain(run.result?.text ?? "")}\n`);
  else write(`${run.state}: ${plain(run.error?.code ?? "")}: ${plain(run.error?.message ?? "")}\n`);
  if (run.state !== "completed") process.exitCode = exitCode.runFailed;
}
