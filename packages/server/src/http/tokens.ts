/** Tokens. A secret is in the answer that creates it and nowhere else. */
import { type AccessWakes, type Acts, createToken, listTokens, manageTokens, revokeToken } from "../access/index.ts";
import type { Sql } from "../storage/index.ts";
import type { Handlers } from "./handler.ts";

export type TokenRooms = {
  readonly sql: Sql;
  readonly acts: Acts;
  readonly wakes: Pick<AccessWakes, "send">;
};

export function tokenHandlers({
  sql,
  acts,
  wakes,
}: TokenRooms): Pick<Handlers, "tokens.list" | "tokens.create" | "tokens.revoke"> {
  return {
    "tokens.list": async ({ caller, query }) => listTokens(sql, manageTokens(caller), query),

    "tokens.create": (request) =>
      acts.once(request, "token.create", (tx, caller) =>
        createToken(tx, manageTokens(caller), request.body, request.requestId),
      ),

    "tokens.revoke": (request) =>
      acts.run(request, "token.revoke", request.params.token_id, (tx, caller) =>
        revokeToken(tx, wakes, manageTokens(caller), request.params.token_id, request.requestId),
      ),
  };
}
