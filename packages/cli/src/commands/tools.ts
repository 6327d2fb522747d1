import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { printJson, printTable } from "../output.ts";

export function addToolCommands(program: Command, contextOf: ContextOf): void {
  program
    .command("tools")
    .description("what a model may ask for")
    .command("list")
    .description("list the tools that agents on this server may be given")
    .action(async (_: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const tools = await client.tools.list();
      if (json) printJson(tools);
      else printTable(["name", "effect", "sensitive", "description"], tools.data);
    });
}
