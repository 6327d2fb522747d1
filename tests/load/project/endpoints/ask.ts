/** W8: the least an endpoint around an agent does. */
import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

export default defineEndpoint({
  method: "POST",
  mode: "sync",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({ answer: z.string() }),
  async handle({ input, runAgent }) {
    const run = await runAgent("t20", { message: input.text });
    return { answer: String(run.output()) };
  },
});
