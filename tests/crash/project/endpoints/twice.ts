import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

/** Two runs, one after the other, as a job. */
export default defineEndpoint({
  method: "POST",
  mode: "polling",
  input: z.object({ number: z.number() }),
  output: z.object({ number: z.number(), said: z.array(z.string()), runs: z.array(z.string()) }),
  async handle({ input, runAgent }) {
    const runs = [await runAgent("work", { message: "Go." }), await runAgent("work", { message: "Again." })];
    return { ...input, said: runs.map((run) => String(run.output())), runs: runs.map((run) => run.id) };
  },
});
