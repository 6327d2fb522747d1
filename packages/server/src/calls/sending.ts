/** What is sent to an existing thread: rights again, the thread's own prompt, and the files a message names. */
import {
  type AgentConfig,
  type ClientEvent,
  type ContentPart,
  fromUuid,
  type RequestId,
  type SendEventsAnswer,
  type ThreadId,
  toUuid,
  type VariableValue,
} from "@callboard/protocol";
import { attributeTo, type Caller, callAgent, findPerson, rawRun } from "../access/index.ts";
import { renderInstructions } from "../agents/index.ts";
import { type FileRow, lockFiles, moveFiles, toFile } from "../files/index.ts";
import {
  findRun,
  lockLog,
  type Principal,
  principalOf,
  type RunInput,
  sendEvents,
  type ThreadLog,
} from "../runs/index.ts";
import type { Transaction } from "../storage/index.ts";
import { filesIn, isOwnUpload, notAttachable, render } from "./starting.ts";
import type { CallWorld } from "./world.ts";

/** What a run without a saved agent works under. */
type RawTold = { config: AgentConfig; prompt: string; history: RunInput[] };

/**
 * Applies events to a thread the caller may write to, in a transaction.
 *
 * A message asks for the right to call the agent as it stands now; its run works under the version and the
 * variables of the thread.
 *
 * @param more `variables` given anew for this and later runs, absent keeps the thread's; `raw`: what this one run
 *   works under in place of the thread's agent; `requestId` for the audit log, absent where no request asks
 * @throws StaleAccess; agent_not_published, api_access_disabled, forbidden and what `sendEvents` refuses
 */
export async function sendTo(
  world: CallWorld,
  tx: Transaction,
  caller: Caller,
  threadId: ThreadId,
  events: readonly ClientEvent[],
  more: { variables?: Record<string, VariableValue> | undefined; raw?: RawTold; requestId?: RequestId } = {},
): Promise<SendEventsAnswer> {
  const log = await lockLog(tx, world, caller, threadId);
  const startsRun = events.some((event) => event.type === "user.message");
  const told = more.raw ?? { ...(await toldIn(world, tx, caller, log, more.variables)), history: [] };
  const principal = startsRun ? await principalIn(world, tx, caller, log) : principalOf(caller, null);
  const attach = (content: readonly ContentPart[]) => attachFiles(tx, caller, log, content);
  const requestId = more.requestId ?? null;
  return sendEvents(tx, world, log, { caller, requestId, principal, ...told, attach }, events);
}

/** The prompt, and for a thread without an agent the configuration, of runs that start on this thread now. */
async function toldIn(
  world: CallWorld,
  tx: Transaction,
  caller: Caller,
  log: ThreadLog,
  given: Record<string, VariableValue> | undefined,
): Promise<{ prompt: string; config: AgentConfig | null }> {
  const { agent_id, agent_version, last_run_id, variables } = log.row;
  if (agent_id === null || agent_version === null) {
    const last =
      last_run_id === null ? undefined : await findRun(tx, caller.organizationId, fromUuid("run", last_run_id));
    return { prompt: last?.prompt ?? "", config: (last?.config as AgentConfig | undefined) ?? null };
  }
  const config = await world.agents.version(caller.organizationId, fromUuid("agent", agent_id), agent_version, tx);
  if (given === undefined)
    return { prompt: renderInstructions(config.instructions, variables, config.variables), config: null };
  const rendered = render(config, { ...variables, ...given });
  log.row.variables = rendered.variables;
  return { prompt: rendered.prompt, config: null };
}

/** Whom the run works for: the caller, or on a service's thread the person it was opened for. */
async function principalIn(world: CallWorld, tx: Transaction, caller: Caller, log: ThreadLog): Promise<Principal> {
  const { agent_id, attributed_user_id } = log.row;
  if (agent_id === null) {
    rawRun(caller);
    return principalOf(caller, null);
  }
  const facts = await world.agents.factsIn(tx, caller, fromUuid("agent", agent_id));
  callAgent(caller, facts);
  if (caller.kind === "user" || attributed_user_id === null || facts === undefined) return principalOf(caller, null);
  const id = fromUuid("user", attributed_user_id);
  const person = await findPerson(tx, caller.organizationId, id);
  attributeTo(caller, person, facts);
  return principalOf(caller, person === undefined ? null : { id, email: person.email, groups: person.groups });
}

/**
 * Attaches the files a message names to its thread: they are there already, or are the caller's own uploads.
 *
 * @throws file_not_attachable
 */
async function attachFiles(
  tx: Transaction,
  caller: Caller,
  log: ThreadLog,
  content: readonly ContentPart[],
): Promise<void> {
  const ids = [...new Set(filesIn(content))];
  if (ids.length === 0) return;
  const { organization_id, id: thread, agent_id } = log.row;
  const rows = new Map((await lockFiles(tx, organization_id, ids.map(toUuid))).map((row) => [row.id, row]));
  const toMove: FileRow[] = [];
  for (const id of ids) {
    const row = rows.get(toUuid(id));
    if (row?.thread_id === thread) continue;
    if (row === undefined || !isOwnUpload(row, caller) || row.agent_id !== agent_id) throw notAttachable(id);
    toMove.push(row);
  }
  if (toMove.length === 0) return;
  await moveFiles(
    tx,
    organization_id,
    toMove.map((row) => row.id),
    thread,
  );
  for (const row of toMove) log.append("file.added", null, { file: toFile({ ...row, thread_id: thread }) });
}
