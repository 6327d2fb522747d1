/** Tokens. A secret is in the answer that creates it and nowhere else. */
import {
  type AccessWakes,
  type Acts,
  createToken,
  listTokens,
  manageTokens,
  revokeToken,
  rotateToken,
  updateToken,
} from "../access/index.ts";
import type { Sql } from "../storage/index.ts";
import type { Handlers } from "./handler.ts";

export type TokenRooms = {
  readonly sql: Sql;
  readonly acts: Acts;
  readonly wakes: Pick<AccessWakes, "send">;
};

type TokenRoute = "tokens.list" | "tokens.create" | "tokens.update" | "tokens.rotate" | "tokens.revoke";

export function tokenHandlers({ sql, acts, wakes }: TokenRooms): Pick<Handlers, TokenRoute> {
  return {
    "tokens.list": async ({ caller, query }) => listTokens(sql, manageTokens(caller), query),

    "tokens.create": (request) =>
      acts.once(request, "token.create", (tx, caller) =>
        createToken(tx, manageTokens(caller), request.body, request.requestId),
      ),

    "tokens.update": ({ params, body, ...request }) =>
      acts.run(request, "token.update", params.token_id, (tx, caller) =>
        updateToken(tx, wakes, manageTokens(caller), params.token_id, body, request.requestId),
      ),

    // With a key, because a repeat after a lost answer would end the secret that nobody has seen.
    "tokens.rotate": (request) =>
      acts.once(request, "token.rotate", (tx, caller) =>
        rotateToken(tx, wakes, manageTokens(caller), request.params.token_id, request.body, request.requestId),
      ),

    "tokens.revoke": (request) =>
      acts.run(request, "token.revoke", request.params.token_id, (tx, caller) =>
        revokeToken(tx, wakes, manageTokens(caller), request.params.token_id, request.requestId),
      ),
  };
}
