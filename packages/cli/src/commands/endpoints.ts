import { type Command, Option } from "commander";
import { type DescribedEndpoint, endpointsIn } from "../code/openapi.ts";
import type { ContextOf } from "../context.ts";
import { untilInterrupted } from "../follow.ts";
import { readJsonArgument } from "../json-input.ts";
import { plain, printJson, printTable, write } from "../output.ts";
import { readOpenApi } from "../project/described.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
type CallOptions = { method: (typeof METHODS)[number] };

export function addEndpointCommands(program: Command, contextOf: ContextOf): void {
  const endpoints = program.command("endpoints").description("custom routes of the server's project");

  endpoints
    .command("list")
    .description("list the endpoints that the server has")
    .action(async (_: unknown, command: Command) => {
      const { baseUrl, json } = contextOf(command);
      const found = endpointsIn(await readOpenApi(baseUrl));
      const rows = found.map(({ method, parts, summary }) => ({ method, path: pathOf(parts), summary }));
      if (json) for (const row of rows) printJson(row);
      else printTable(["method", "path", "summary"], rows);
    });

  endpoints
    .command("call <path> [input]")
    .description("call an endpoint and print its answer; a job is waited for")
    .addOption(new Option("--method <method>", "how the endpoint is called").choices(METHODS).default("POST"))
    .addHelpText(
      "after",
      "\nThe input is JSON, or - for standard input. With GET and DELETE its fields go into the query.",
    )
    .action(async (path: string, input: string | undefined, { method }: CallOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const below = path.replace(/^\/endpoints(?=\/|$)/, ""); // as `list` shows it
      const value = input === undefined ? undefined : await readJsonArgument(input);
      // Aborted, the call cancels the job that it waits for.
      await untilInterrupted(json, async (signal) => {
        const answer = await client.endpoints.call(below, value, { method, signal });
        if (json) printJson(answer ?? null);
        else if (answer !== undefined) write(`${plain(JSON.stringify(answer, null, 2))}\n`);
      });
    });
}

const pathOf = (parts: DescribedEndpoint["parts"]): string =>
  ["/endpoints", ...parts.map((part) => ("literal" in part ? part.literal : `{${part.param}}`))].join("/");
