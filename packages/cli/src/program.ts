/** The whole command line. */
import { Command } from "commander";
import { addAgentCommands } from "./commands/agents.ts";
import { addAuditCommands } from "./commands/audit.ts";
import { addDocumentCommands } from "./commands/documents.ts";
import { addEndpointCommands } from "./commands/endpoints.ts";
import { addEventCommands } from "./commands/events.ts";
import { addFileCommands } from "./commands/files.ts";
import { addJobCommands } from "./commands/jobs.ts";
import { addMeCommand } from "./commands/me.ts";
import { addGroupCommands, addInvitationCommands } from "./commands/people.ts";
import { addPermissionCommands } from "./commands/permissions.ts";
import { addProjectCommands } from "./commands/project.ts";
import { addRunCommands } from "./commands/runs.ts";
import { addServerCommands } from "./commands/server.ts";
import { addThreadCommands } from "./commands/threads.ts";
import { addTokenCommands } from "./commands/tokens.ts";
import { addUsageCommands } from "./commands/usage.ts";
import { contextFrom } from "./context.ts";

const exits = `
Exit codes: 0 done, 1 the server refused or could not be reached, 2 wrong usage,
3 the run or job that was waited for failed or was canceled, 4 plan found changes, 130 Ctrl-C.`;

export function createProgram(env: NodeJS.ProcessEnv): Command {
  const program = new Command("callboard")
    .description("Run a Callboard server, and talk to one.")
    .option("--base-url <url>", "address of the server (default: CALLBOARD_URL, then the local server's)")
    .option("--token <secret>", "who is asking (default: CALLBOARD_TOKEN, then the local server's)")
    .option("--json", "print JSON, one value per line")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", exits)
    .exitOverride();
  const contextOf = contextFrom(env);
  addServerCommands(program, env);
  addThreadCommands(program, contextOf);
  addEventCommands(program, contextOf);
  addRunCommands(program, contextOf);
  addPermissionCommands(program, contextOf);
  addEndpointCommands(program, contextOf);
  addJobCommands(program, contextOf);
  addFileCommands(program, contextOf);
  addDocumentCommands(program, contextOf);
  addAgentCommands(program, contextOf);
  addProjectCommands(program, contextOf, env);
  addTokenCommands(program, contextOf);
  addInvitationCommands(program, contextOf);
  addGroupCommands(program, contextOf);
  addUsageCommands(program, contextOf);
  addAuditCommands(program, contextOf);
  addMeCommand(program, contextOf);
  return program;
}
