/** What a command needs to do its work. */
import { type CallboardClient, createClient } from "@callboard/client";
import type { Command } from "commander";
import { type ConnectionOptions, findConnection } from "./connection.ts";

export type Context = {
  client: CallboardClient;
  /** Address of the server. */
  baseUrl: string;
  /** Print JSON, one value per line. */
  json: boolean;
};

/** The context of a command that talks to a server. @throws UsageError when there is no token */
export type ContextOf = (command: Command) => Context;

export const contextFrom =
  (env: NodeJS.ProcessEnv): ContextOf =>
  (command) => {
    const options = command.optsWithGlobals<ConnectionOptions & { json?: boolean }>();
    const connection = findConnection(options, env);
    return { client: createClient(connection), baseUrl: connection.baseUrl, json: options.json === true };
  };
