/**
 * What sensitive tools are given and say, encrypted in the transcript: the model reads it, people with the right to
 * transcripts read it, and a copy of the database does not tell it.
 */
import type { Json } from "@callboard/protocol";
import {
  openText,
  openValue,
  type SealedSecret,
  type SecretKeys,
  type SecretShelf,
  type StoredSecret,
  sealText,
  sealValue,
} from "../secrets/index.ts";
import { FIRST_UUID, statement } from "../storage/index.ts";
import type { CallRow, CallUpdate } from "./change.ts";
import type { StoredCall, StoredStep } from "./store.ts";

/** Uuids of the organization and the run. */
type RunIdentity = { readonly organization: string; readonly run: string };
const identityOf = ({ organization, run }: RunIdentity): string => `runs/${organization}/${run}`;

/** @param isHidden whether that tool is sensitive */
export function sealParts(
  keys: SecretKeys,
  run: RunIdentity,
  parts: readonly unknown[],
  isHidden: (tool: string) => boolean,
): unknown[] {
  return parts.map((part) => {
    const { type, tool, input } = part as { type: string; tool: string; input: Json };
    if (type !== "tool_call" || !isHidden(tool)) return part;
    return { ...(part as object), input: sealValue(keys, input, identityOf(run)) };
  });
}

export function sealCall(keys: SecretKeys, run: RunIdentity, call: CallRow): CallRow {
  const identity = identityOf(run);
  return {
    ...call,
    input: sealValue(keys, call.input as Json, identity),
    outputText: call.outputText === null ? null : sealText(keys, call.outputText, identity),
  };
}

export function sealUpdate(keys: SecretKeys, run: RunIdentity, update: CallUpdate): CallUpdate {
  const { output, outputText } = update;
  const identity = identityOf(run);
  return {
    ...update,
    ...(output === undefined ? {} : { output: sealValue(keys, output as Json, identity) }),
    ...(outputText === undefined ? {} : { outputText: sealText(keys, outputText, identity) }),
  };
}

export function openStep(keys: SecretKeys, organization: string, step: StoredStep): StoredStep {
  const identity = identityOf({ organization, run: step.run_id });
  const parts = step.parts.map((part) => {
    const { type, input } = part as { type: string; input?: unknown };
    return type === "tool_call" ? { ...(part as object), input: openValue(keys, input, identity) } : part;
  });
  return { ...step, parts };
}

export function openCall(keys: SecretKeys, organization: string, call: StoredCall): StoredCall {
  const identity = identityOf({ organization, run: call.run_id });
  return {
    ...call,
    input: openValue(keys, call.input, identity),
    output: openValue(keys, call.output, identity),
    output_text: call.output_text === null ? null : openText(keys, call.output_text, identity),
  };
}

// Changing the server's key. What is sealed stands inside of larger texts, and is found and replaced as text there.

const SEALED = String.raw`\{"\$sealed":(\{"key_id":"[0-9a-f]{8}","data_key":\{[^{}]*\},"iv":"[^"]*","tag":"[^"]*","data":"[^"]*"\})\}`;

/** @param texts SQL of what may hold sealed values, as one text */
const toShelf = (table: string, texts: string, assignments: string): SecretShelf<StoredSecret & { run: string }> => {
  const others = statement(
    `runs.other-sealed-${table}`,
    `with found as materialized (
       select t.organization_id, t.run_id, sealed[1] as sealed
         from ${table} t cross join lateral regexp_matches(${texts}, $4, 'g') as sealed
        where (t.organization_id, t.run_id) > ($2::uuid, $3::uuid) and strpos(${texts}, '"$sealed"') > 0
          and sealed[1] not like $1),
     runs_found as (select distinct organization_id, run_id from found order by organization_id, run_id limit $5)
     select found.* from found join runs_found using (organization_id, run_id) order by organization_id, run_id`,
  );
  const replace = statement(
    `runs.replace-sealed-${table}`,
    `update ${table} t set ${assignments} where organization_id = $1 and run_id = $2 and strpos(${texts}, $3) > 0`,
  );
  return {
    name: table,
    async others(sql, keyId, afterIdentity, limit) {
      const [, organization = FIRST_UUID, run = FIRST_UUID] = afterIdentity.split("/");
      type Row = { organization_id: string; run_id: string; sealed: string };
      const rows = await sql.rows<Row>(others, [`{"key_id":"${keyId}"%`, organization, run, SEALED, limit]);
      return rows.map(({ organization_id, run_id, sealed }) => ({
        organization: organization_id,
        run: run_id,
        identity: identityOf({ organization: organization_id, run: run_id }),
        sealed: JSON.parse(sealed) as SealedSecret,
      }));
    },
    async replace(sql, { organization, run, sealed: before }, sealed) {
      const values = [organization, run, JSON.stringify(before), JSON.stringify(sealed)];
      return (await sql.run(replace, values)) > 0;
    },
  };
};

/** Steps and tool calls of sensitive tools. */
export const transcriptSecrets: readonly SecretShelf[] = [
  toShelf("steps", "t.parts::text", "parts = replace(t.parts::text, $3, $4)::json"),
  toShelf(
    "tool_calls",
    "concat(t.input::text, t.output::text, t.output_text)",
    `input = replace(t.input::text, $3, $4)::json, output = replace(t.output::text, $3, $4)::json,
     output_text = replace(t.output_text, $3, $4)`,
  ),
];
