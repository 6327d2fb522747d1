import { agentCalls, modelCalls, toolCalls } from "./agents.ts";
import { budgetCalls, usageCalls } from "./budgets.ts";
import { collectionCalls, documentCalls } from "./documents.ts";
import { endpointCalls, jobCalls } from "./endpoints.ts";
import { eventCalls } from "./events.ts";
import { fileCalls } from "./files.ts";
import { auditCalls, groupCalls, meCalls, memberCalls, organizationCalls, tokenCalls } from "./organization.ts";
import { permissionCalls } from "./permissions.ts";
import { runCalls } from "./runs.ts";
import {
  invitationCalls,
  passwordCalls,
  passwordLinkCalls,
  sessionCalls,
  sessionListCalls,
  ssoConnectionCalls,
} from "./sign-in.ts";
import { threadCalls } from "./threads.ts";
import { type ClientOptions, createTransport } from "./transport.ts";

/**
 * A client of one server, acting as the principal of one token. It opens nothing until it is used.
 *
 * Verbs have the names of the routes. Their arguments are the ids in the path, then the body or the query,
 * then options. They answer with the JSON of the API.
 *
 * Creating calls carry an Idempotency-Key, so that their automatic retries cannot create twice.
 *
 * ```ts
 * const client = createClient({ baseUrl: "http://127.0.0.1:4100", token });
 * const { run } = await client.threads.run("support", { text: "Where is my parcel?" });
 * ```
 *
 * Every verb throws: CallboardApiError for a refusal, CallboardConnectionError when no answer came, the
 * signal's reason when it was aborted.
 */
export function createClient(options: ClientOptions) {
  const transport = createTransport(options);
  return {
    threads: threadCalls(transport),
    events: eventCalls(transport),
    runs: runCalls(transport),
    permissions: permissionCalls(transport),
    endpoints: endpointCalls(transport),
    jobs: jobCalls(transport),
    files: fileCalls(transport),
    collections: collectionCalls(transport),
    documents: documentCalls(transport),
    agents: agentCalls(transport),
    tools: toolCalls(transport),
    models: modelCalls(transport),
    me: meCalls(transport),
    organization: organizationCalls(transport),
    members: memberCalls(transport),
    groups: groupCalls(transport),
    audit: auditCalls(transport),
    budgets: budgetCalls(transport),
    usage: usageCalls(transport),
    tokens: tokenCalls(transport),
    session: sessionCalls(transport),
    sessions: sessionListCalls(transport),
    password: passwordCalls(transport),
    passwordLinks: passwordLinkCalls(transport),
    invitations: invitationCalls(transport),
    ssoConnections: ssoConnectionCalls(transport),
  };
}

export type CallboardClient = ReturnType<typeof createClient>;
