/** W9: a job whose agent's model does not answer. */
import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

export default defineEndpoint({
  method: "POST",
  mode: "polling",
  timeoutMs: 3_600_000,
  input: z.strictObject({ number: z.number() }),
  output: z.string(),
  handle: async ({ input, runAgent }) => String((await runAgent("slow", { message: `job ${input.number}` })).output()),
});
