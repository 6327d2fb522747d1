/** Model connections. Keys come in here and never leave. */
import { type Acts, manageModels, readModels } from "../access/index.ts";
import type { Agents } from "../agents/index.ts";
import type { Connections } from "../models/index.ts";
import type { Handlers } from "./handler.ts";

export type ModelRooms = {
  readonly acts: Acts;
  readonly connections: Connections;
  readonly agents: Pick<Agents, "userOfConnection">;
};

type ModelRoute = "models.list" | "models.create" | "models.get" | "models.update" | "models.delete";

export function modelHandlers({ acts, connections, agents }: ModelRooms): Pick<Handlers, ModelRoute> {
  return {
    "models.list": async ({ caller, query }) => connections.list(readModels(caller), query),

    "models.create": (request) =>
      acts.once(request, "model_connection.create", (tx, caller) =>
        connections.create(tx, manageModels(caller), request.body, request.requestId),
      ),

    "models.get": async ({ caller, params }) => connections.get(readModels(caller), params.connection_id),

    "models.update": (request) =>
      acts.run(request, "model_connection.update", request.params.connection_id, (tx, caller) =>
        connections.update(tx, manageModels(caller), request.params.connection_id, request.body, request.requestId),
      ),

    "models.delete": async (request) => {
      await acts.run(request, "model_connection.delete", request.params.connection_id, (tx, caller) =>
        connections.delete(
          tx,
          manageModels(caller),
          request.params.connection_id,
          (...asked) => agents.userOfConnection(...asked),
          request.requestId,
        ),
      );
    },
  };
}
