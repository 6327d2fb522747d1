import { defineEndpoint } from "@callboard/kit";
import { triage, triageInput, triageOutput } from "../lib/triage.ts";

export default defineEndpoint({
  summary: "Sort a ticket: category, priority, a report, and a drafted reply. Waits for the answer.",
  method: "POST",
  mode: "sync",
  input: triageInput,
  output: triageOutput,
  handle: ({ input, runAgent }) => triage(runAgent, input),
});
