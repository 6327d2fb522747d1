/** A run that has ended, as code of the project gets it: from endpoints and from tools. */
import { type FinishedRun, RunNotCompleted, type StandardSchema } from "@callboard/kit";
import type { Run } from "@callboard/protocol";

/** @param schema what the handler was promised; undefined for none */
export async function toFinished(run: Run, schema: StandardSchema | undefined): Promise<FinishedRun<unknown>> {
  const base = { id: run.id, threadId: run.thread_id, agentVersion: run.agent_version, usage: run.usage };
  if (run.state !== "completed") {
    const error = run.error ?? { code: "internal", message: `the run is ${run.state}`, retryable: true };
    const state = run.state === "canceled" ? "canceled" : "failed";
    const unfinished = {
      ...base,
      state,
      error,
      output: (): never => {
        throw new RunNotCompleted(unfinished);
      },
    } as const;
    return unfinished;
  }
  const { text, output } = run.result;
  const answer = output ?? text;
  // The live version may be another one than the file's: the types hold all the same.
  const checked = schema === undefined ? undefined : await schema["~standard"].validate(answer);
  return {
    ...base,
    state: "completed",
    text,
    output: () => {
      if (checked?.issues !== undefined) {
        throw new Error(`the output of run ${run.id} does not fit the schema of the agent's file: is it published?`);
      }
      return checked === undefined ? answer : checked.value;
    },
  };
}
