/** Agents, their versions, and the tools they may be given. */
import type { ToolInfo } from "@callboard/protocol";
import {
  type Acts,
  createAgent,
  editAgent,
  type Grant,
  listAgents,
  readAgent,
  readAgentAccess,
  shareAgent,
} from "../access/index.ts";
import type { Agents } from "../agents/index.ts";
import type { Sql, Transaction } from "../storage/index.ts";
import type { ApiRequest, Handlers } from "./handler.ts";

export type AgentRooms = {
  readonly sql: Sql;
  readonly acts: Acts;
  readonly agents: Agents;
  /** The tools that this server has now, in the order of their names. */
  readonly tools: () => readonly ToolInfo[];
};

type AgentRoute =
  | "agents.list"
  | "agents.create"
  | "agents.get"
  | "agents.update"
  | "agents.delete"
  | "agents.publish"
  | "agents.unpublish"
  | "agents.versions"
  | "agents.version"
  | "agents.activate"
  | "agents.diff"
  | "agents.getAccess"
  | "agents.setAccess"
  | "tools.list";
/** The routes about one agent. */
type OneAgent = Exclude<AgentRoute, "agents.list" | "agents.create" | "tools.list">;

export function agentHandlers({ sql, acts, agents, tools }: AgentRooms): Pick<Handlers, AgentRoute> {
  const factsIn = (from: Sql, { caller, params }: ApiRequest<OneAgent>) =>
    agents.facts(from, caller.organizationId, params.agent_id);
  const requireSeen = (tx: Transaction, grant: Grant<"agent.edit">, { headers }: ApiRequest<OneAgent>) =>
    agents.requireRevision(tx, grant, headers["if-match"]);
  const reader = async (request: ApiRequest<OneAgent>) => readAgent(request.caller, await factsIn(sql, request));

  return {
    "agents.list": async ({ caller, query }) => agents.list(sql, listAgents(caller), query),

    "agents.create": (request) =>
      acts.once(request, "agent.create", (tx, caller) =>
        agents.create(tx, createAgent(caller), request.body, request.requestId),
      ),

    "agents.get": async (request) => agents.get(sql, await reader(request)),

    "agents.update": (request) =>
      acts.run(request, "agent.update", request.params.agent_id, async (tx, caller) => {
        const facts = await factsIn(tx, request);
        const edit = editAgent(caller, facts);
        await requireSeen(tx, edit, request);
        const { draft, ...settings } = request.body;
        if (Object.keys(settings).length > 0) {
          await agents.configure(tx, shareAgent(caller, facts), settings, request.requestId);
        }
        return draft === undefined ? agents.get(tx, edit) : agents.edit(tx, edit, draft, request.requestId);
      }),

    "agents.delete": async (request) => {
      await acts.run(request, "agent.delete", request.params.agent_id, async (tx, caller) => {
        const facts = await factsIn(tx, request);
        const share = shareAgent(caller, facts);
        await requireSeen(tx, editAgent(caller, facts), request);
        await agents.delete(tx, share, request.requestId);
      });
    },

    "agents.publish": (request) =>
      acts.run(request, "agent.publish", request.params.agent_id, async (tx, caller) => {
        const grant = editAgent(caller, await factsIn(tx, request));
        await requireSeen(tx, grant, request);
        return agents.publish(tx, grant, request.requestId);
      }),

    "agents.unpublish": (request) =>
      acts.run(request, "agent.unpublish", request.params.agent_id, async (tx, caller) => {
        const grant = editAgent(caller, await factsIn(tx, request));
        await requireSeen(tx, grant, request);
        return agents.unpublish(tx, grant, request.requestId);
      }),

    "agents.versions": async (request) => agents.versions(sql, await reader(request), request.query),

    "agents.version": async (request) => agents.version(sql, await reader(request), request.params.version),

    "agents.activate": (request) =>
      acts.run(request, "agent.activate", request.params.agent_id, async (tx, caller) => {
        const grant = editAgent(caller, await factsIn(tx, request));
        await requireSeen(tx, grant, request);
        return agents.activate(tx, grant, request.params.version, request.requestId);
      }),

    "agents.diff": async (request) => agents.diff(sql, await reader(request), request.query),

    "agents.getAccess": async (request) =>
      agents.access(sql, readAgentAccess(request.caller, await factsIn(sql, request))),

    "agents.setAccess": (request) =>
      acts.run(request, "agent.set_access", request.params.agent_id, async (tx, caller) => {
        const grant = shareAgent(caller, await factsIn(tx, request));
        return agents.setAccess(tx, grant, request.body, request.requestId);
      }),

    "tools.list": async () => ({ data: [...tools()], next_cursor: null }),
  };
}
