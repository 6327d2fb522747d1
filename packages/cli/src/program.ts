/** The whole command line. */
import { Command } from "commander";
import { checkIds } from "./arguments.ts";
import { addAgentCommands } from "./commands/agents.ts";
import { addAuditCommands } from "./commands/audit.ts";
import { addBudgetCommands } from "./commands/budgets.ts";
import { addCollectionCommands } from "./commands/collections.ts";
import { addDocumentCommands } from "./commands/documents.ts";
import { addEndpointCommands } from "./commands/endpoints.ts";
import { addEventCommands } from "./commands/events.ts";
import { addFileCommands } from "./commands/files.ts";
import { addGroupCommands } from "./commands/groups.ts";
import { addInvitationCommands } from "./commands/invitations.ts";
import { addJobCommands } from "./commands/jobs.ts";
import { addMeCommand } from "./commands/me.ts";
import { addMemberCommands } from "./commands/members.ts";
import { addModelCommands } from "./commands/models.ts";
import { addOrganizationCommands } from "./commands/organization.ts";
import { addPermissionCommands } from "./commands/permissions.ts";
import { addProjectCommands } from "./commands/project.ts";
import { addRunCommands } from "./commands/runs.ts";
import { addServerCommands } from "./commands/server.ts";
import { addPasswordCommands, addSessionCommands } from "./commands/sessions.ts";
import { addSsoConnectionCommands } from "./commands/sso-connections.ts";
import { addThreadCommands } from "./commands/threads.ts";
import { addTokenCommands } from "./commands/tokens.ts";
import { addToolCommands } from "./commands/tools.ts";
import { addUsageCommands } from "./commands/usage.ts";
import { createContexts } from "./context.ts";
import { addExamples } from "./examples.ts";

const exits = `
Exit codes: 0 done, 1 the server refused or could not be reached, 2 wrong usage,
3 the run or job that was waited for failed or was canceled, 4 plan found changes, 130 Ctrl-C.`;

/** @param closing takes what is to be done when the command is over, whatever came of it */
export function createProgram(env: NodeJS.ProcessEnv, closing: (() => Promise<void>)[] = []): Command {
  const program = new Command("callboard")
    .description("Run a Callboard server, and talk to one.")
    .option("--base-url <url>", "address of the server (default: CALLBOARD_URL, then the local server's)")
    .option("--token-file <path>", "a file with a token (default: CALLBOARD_TOKEN, then the local server's)")
    .option("--as <email>", "sign in for this command; the password is CALLBOARD_PASSWORD, or asked for")
    .option("--json", "print JSON, one value per line")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "callboard: ")) })
    .showHelpAfterError("callboard <command> --help has the options and an example")
    .addHelpText("after", exits)
    .exitOverride();
  const { prepare, contextOf } = createContexts(env, closing);
  program.hook("preAction", (_, command) => prepare(command));
  program.commandsGroup("Server and project:");
  addServerCommands(program, env);
  addProjectCommands(program, contextOf, env);
  program.commandsGroup("Work:");
  addThreadCommands(program, contextOf);
  addEventCommands(program, contextOf);
  addRunCommands(program, contextOf);
  addPermissionCommands(program, contextOf);
  addFileCommands(program, contextOf);
  addEndpointCommands(program, contextOf);
  addJobCommands(program, contextOf);
  program.commandsGroup("Agents and what they know:");
  addAgentCommands(program, contextOf);
  addToolCommands(program, contextOf);
  addModelCommands(program, contextOf);
  addCollectionCommands(program, contextOf);
  addDocumentCommands(program, contextOf);
  program.commandsGroup("People and access:");
  addOrganizationCommands(program, contextOf);
  addMemberCommands(program, contextOf);
  addInvitationCommands(program, contextOf);
  addGroupCommands(program, contextOf);
  addTokenCommands(program, contextOf);
  addSsoConnectionCommands(program, contextOf);
  addSessionCommands(program, contextOf);
  addPasswordCommands(program, contextOf);
  addMeCommand(program, contextOf);
  program.commandsGroup("Cost and records:");
  addBudgetCommands(program, contextOf);
  addUsageCommands(program, contextOf);
  addAuditCommands(program, contextOf);
  addExamples(program);
  checkIds(program);
  return program;
}
