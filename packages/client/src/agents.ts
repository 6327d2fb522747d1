import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, IfRevision, QueryInput, RequestOptions } from "./types.ts";

/** `agent` is an id or a slug everywhere. */
export function agentCalls({ call }: Transport) {
  const byId = (agent: string, options?: RequestOptions) => ({ params: { agent_id: agent }, ...options });
  const byVersion = (agent: string, version: number, options?: RequestOptions) => ({
    params: { agent_id: agent, version: String(version) },
    ...options,
  });
  return {
    /** Agents that the caller may use or edit, by slug. */
    list: (query?: QueryInput<"agents.list">, options?: RequestOptions) => call("agents.list", { query, ...options }),

    /** Creates an agent as a draft. */
    create: (body: RouteBodyInput<"agents.create">, options?: CreateOptions) =>
      call("agents.create", { body, ...options }),

    get: (agent: string, options?: RequestOptions) => call("agents.get", byId(agent, options)),

    /** Changes the draft or the settings. */
    update: (agent: string, body: RouteBodyInput<"agents.update">, options?: RequestOptions & IfRevision) =>
      call("agents.update", { ...byId(agent, options), body }),

    /** Deletes an agent that has no threads. */
    delete: (agent: string, options?: RequestOptions & IfRevision) => call("agents.delete", byId(agent, options)),

    /** Freezes the draft as a new version and makes it live. */
    publish: (agent: string, options?: RequestOptions & IfRevision) => call("agents.publish", byId(agent, options)),

    /** Takes the live version away; the versions stay. */
    unpublish: (agent: string, options?: RequestOptions & IfRevision) => call("agents.unpublish", byId(agent, options)),

    /** Versions, newest first. */
    versions: (agent: string, query?: QueryInput<"agents.versions">, options?: RequestOptions) =>
      call("agents.versions", { ...byId(agent, options), query }),

    version: (agent: string, version: number, options?: RequestOptions) =>
      call("agents.version", byVersion(agent, version, options)),

    /** Makes an older version live again. */
    activate: (agent: string, version: number, options?: RequestOptions & IfRevision) =>
      call("agents.activate", byVersion(agent, version, options)),

    /** Compares two versions, or a version with the draft. */
    diff: (agent: string, query: QueryInput<"agents.diff">, options?: RequestOptions) =>
      call("agents.diff", { ...byId(agent, options), query }),

    /** Who is invited. */
    getAccess: (agent: string, options?: RequestOptions) => call("agents.getAccess", byId(agent, options)),

    /** Replaces who is invited. */
    setAccess: (agent: string, body: RouteBodyInput<"agents.setAccess">, options?: RequestOptions) =>
      call("agents.setAccess", { ...byId(agent, options), body }),
  };
}

export function toolCalls({ call }: Transport) {
  return {
    /** Tools that agents on this server may be given. */
    list: (options?: RequestOptions) => call("tools.list", { ...options }),
  };
}

export function modelCalls({ call }: Transport) {
  const byId = (connectionId: string, options?: RequestOptions) => ({
    params: { connection_id: connectionId },
    ...options,
  });
  return {
    /** Model connections. Keys are never returned. */
    list: (query?: QueryInput<"models.list">, options?: RequestOptions) => call("models.list", { query, ...options }),

    create: (body: RouteBodyInput<"models.create">, options?: CreateOptions) =>
      call("models.create", { body, ...options }),

    get: (connectionId: string, options?: RequestOptions) => call("models.get", byId(connectionId, options)),

    update: (connectionId: string, body: RouteBodyInput<"models.update">, options?: RequestOptions) =>
      call("models.update", { ...byId(connectionId, options), body }),

    /** Deletes a connection that is not the default. */
    delete: (connectionId: string, options?: RequestOptions) => call("models.delete", byId(connectionId, options)),
  };
}
