import { defineEndpoint } from "@callboard/kit";
import { triage, triageInput, triageOutput } from "../lib/triage.ts";

export default defineEndpoint({
  summary: "Sort a ticket as a job: answers at once, and the job says how far it is.",
  method: "POST",
  mode: "polling",
  input: triageInput,
  output: triageOutput,
  handle({ input, runAgent, relayStatus }) {
    relayStatus("Looking for similar tickets and articles", { progress: 0.1 });
    return triage(runAgent, input, () => relayStatus("Writing the facts down", { progress: 0.7 }));
  },
});
