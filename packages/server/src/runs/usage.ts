/**
 * What model calls used: the steps of runs, and what is kept of deleted threads.
 *
 * Steps are found through their runs, whose ids grow with time; `steps_time` narrows a sum to its days.
 */
import {
  type AgentId,
  fromUuid,
  type ModelCall,
  parseId,
  type RouteQuery,
  toUuid,
  type UsageTotals,
  type UserId,
} from "@callboard/protocol";
import { type Grant, invalidRequest, isAdmin } from "../access/index.ts";
import { type Sql, statement } from "../storage/index.ts";

const calls = `(
    select s.run_id, s.step, r.agent_id, r.principal->>'userId' as user_id, r.principal->>'tokenId' as token_id,
           s.provider, s.model, s.input_tokens, s.output_tokens, s.cost_micros, s.price, s.created_at
      from steps s join runs r on r.organization_id = s.organization_id and r.id = s.run_id
     where s.organization_id = $1 and s.created_at >= $2 and s.created_at < $3
    union all
    select run_id, step, agent_id, user_id, token_id, provider, model, input_tokens, output_tokens, cost_micros, price,
           created_at
      from usage_kept where organization_id = $1 and created_at >= $2 and created_at < $3) as c`;
/** $4: the person or service token whose calls alone are shown; null for everybody's. */
const own = `($4::text is null or c.user_id = $4 or (c.user_id is null and c.token_id = $4))`;

const sums = `count(*) as calls, count(distinct c.run_id) as runs, coalesce(sum(c.input_tokens), 0)::bigint as input_tokens,
  coalesce(sum(c.output_tokens), 0)::bigint as output_tokens, coalesce(sum(c.cost_micros), 0)::bigint as cost_micros`;
const keys = {
  none: "null::text",
  agent: "c.agent_id::text",
  user: "c.user_id",
  model: "c.provider || '/' || c.model",
  day: "to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD')",
} as const;
const totals = Object.fromEntries(
  Object.entries(keys).map(([name, key]) => [
    name,
    statement(
      `usage.totals_${name}`,
      `select ${key} as key, ${sums} from ${calls} where ${own}
        ${name === "none" ? "" : "group by 1"} order by cost_micros desc, 1 nulls last limit 1000`,
    ),
  ]),
) as Record<keyof typeof keys, ReturnType<typeof statement>>;

type TotalRow = UsageTotals["data"][number];

const DAY_MS = 86_400_000;
const MAX_DAYS = 400;

/** Whose calls a caller reads: an admin everybody's, others their own. */
const shownTo = ({ caller }: Grant<"usage.read">): string | null =>
  isAdmin(caller) ? null : (caller.userId ?? caller.tokenId);

/** Sums of a time; by default the last 30 days. @throws invalid_request for a time that is none or too long */
export async function usageTotals(
  sql: Sql,
  grant: Grant<"usage.read">,
  query: RouteQuery<"usage.totals">,
  now: Date,
): Promise<UsageTotals> {
  const to = query.to === undefined ? now : new Date(query.to);
  const from = query.from === undefined ? new Date(to.getTime() - 30 * DAY_MS) : new Date(query.from);
  if (!(from < to) || to.getTime() - from.getTime() > MAX_DAYS * DAY_MS) {
    throw invalidRequest([{ path: "from", message: `expected a time before \`to\`, at most ${MAX_DAYS} days` }]);
  }
  const group = query.group_by ?? null;
  const values = [toUuid(grant.organizationId), from.toISOString(), to.toISOString(), shownTo(grant)];
  const rows = await sql.rows<TotalRow>(totals[group ?? "none"], values);
  const data = rows.map((row) => ({
    ...row,
    key: group === "agent" && row.key !== null ? fromUuid("agent", row.key) : row.key,
  }));
  return { from: from.toISOString(), to: to.toISOString(), group_by: group, data };
}

const list = statement(
  "usage.calls",
  `select c.* from ${calls}
    where ${own} and ($5::uuid is null or c.agent_id = $5) and ($6::uuid is null or c.run_id = $6)
      and (c.run_id, c.step) < ($7::uuid, $8::int)
    order by c.run_id desc, c.step desc limit $9`, // both by their primary key, backwards
);
type CallRow = Omit<ModelCall, "run_id" | "agent_id" | "user_id" | "token_id"> & {
  run_id: string;
  agent_id: string | null;
  user_id: UserId | null;
  token_id: ModelCall["token_id"];
};

const toCall = (row: CallRow): ModelCall => ({
  ...row,
  run_id: fromUuid("run", row.run_id),
  agent_id: row.agent_id === null ? null : (fromUuid("agent", row.agent_id) as AgentId),
});

const BEGINNING = "1970-01-01T00:00:00.000Z";
const END = "9999-12-31T00:00:00.000Z";
const CURSOR = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(\d{1,9})$/;

/** Model calls, newest first. @throws invalid_request for a wrong cursor */
export async function listModelCalls(
  sql: Sql,
  grant: Grant<"usage.read">,
  query: RouteQuery<"usage.calls">,
): Promise<{ data: ModelCall[]; next_cursor: string | null }> {
  const agent = query.agent_id === undefined ? undefined : parseId("agent", query.agent_id);
  const run = query.run_id === undefined ? undefined : parseId("run", query.run_id);
  // An id that is none has no calls; it is no error, as it is none for another organization's id.
  if ((query.agent_id !== undefined && agent === undefined) || (query.run_id !== undefined && run === undefined)) {
    return { data: [], next_cursor: null };
  }
  const after = query.cursor === undefined ? undefined : CURSOR.exec(Buffer.from(query.cursor, "base64url").toString());
  if (after === null) {
    throw invalidRequest([{ path: "cursor", message: "expected a next_cursor that this list has given" }]);
  }
  const rows = await sql.rows<CallRow>(list, [
    toUuid(grant.organizationId),
    BEGINNING,
    END,
    shownTo(grant),
    agent === undefined ? null : toUuid(agent),
    run === undefined ? null : toUuid(run),
    after?.[1] ?? "ffffffff-ffff-ffff-ffff-ffffffffffff",
    after === undefined ? 0 : Number(after[2]),
    query.limit + 1,
  ]);
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return {
    data: shown.map(toCall),
    next_cursor: more ? Buffer.from(`${last.run_id}/${last.step}`).toString("base64url") : null,
  };
}

const ofStep = statement(
  "usage.of_step",
  `select input_tokens, output_tokens, cost_micros from steps where organization_id = $1 and run_id = $2 and step = $3`,
);
type StepUsage = { input_tokens: number; output_tokens: number; cost_micros: number };
/** What one step's model call used; undefined when the step was never written. */
export const stepUsage = (sql: Sql, organization: string, run: string, step: number): Promise<StepUsage | undefined> =>
  sql.row<StepUsage>(ofStep, [organization, run, step]);
