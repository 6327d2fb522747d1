/** What the model was told and what it said. */
import { fromUuid, type Transcript } from "@callboard/protocol";
import type { SecretKeys } from "../secrets/index.ts";
import type { Sql } from "../storage/index.ts";
import type { RunRow } from "./run.ts";
import { openCall } from "./sealed.ts";
import { callsOf, stepsOf } from "./store.ts";

export async function readTranscript(sql: Sql, keys: SecretKeys, row: RunRow): Promise<Transcript> {
  const { organization_id: organization } = row;
  const steps = await stepsOf(sql, organization, [row.id]);
  const calls = (await callsOf(sql, organization, [row.id])).map((call) => openCall(keys, organization, call));
  return {
    run_id: fromUuid("run", row.id),
    prompt: row.prompt,
    variables: row.variables,
    input: row.input.map(({ role, content }) => ({ ...(role === undefined ? {} : { role }), content })),
    steps: steps.map((step) => {
      const parts = step.parts as Array<{ type: string; text?: string }>;
      const textOf = (type: string) =>
        parts
          .filter((part) => part.type === type)
          .map((part) => part.text ?? "")
          .join("");
      const thinking = textOf("thinking");
      return {
        step: step.step,
        joined: step.joined.map(({ content }) => ({ content })),
        model: step.model,
        text: textOf("text"),
        ...(thinking === "" ? {} : { thinking }),
        finish_reason: step.finish_reason,
        usage: { input_tokens: step.input_tokens, output_tokens: step.output_tokens, cost_micros: step.cost_micros },
        tool_calls: calls
          .filter((call) => call.step === step.step)
          .map((call) => ({
            call_id: fromUuid("call", call.id),
            tool: call.tool,
            effect: call.effect,
            state: call.state,
            input: call.input as never,
            ...(call.output === null ? {} : { output: call.output as never }),
          })),
        created_at: step.created_at,
      };
    }),
  };
}
