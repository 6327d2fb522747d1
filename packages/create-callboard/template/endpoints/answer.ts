import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";
import support from "../agents/support.ts";

export default defineEndpoint({
  summary: "Answer a customer's question.",
  method: "POST",
  mode: "sync",
  input: z.strictObject({ question: z.string().min(1).max(4000) }),
  output: z.object({ answer: z.string(), thread_id: z.string() }),
  async handle({ input, runAgent }) {
    const run = await runAgent(support, { message: input.question, variables: { SHOP: "Quillharbor" } });
    return { answer: run.output(), thread_id: run.threadId };
  },
});
