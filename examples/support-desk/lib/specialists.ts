/** What a specialist of the desk answers to the case planner, so that plans can be made of it. */
import { z } from "zod";

export const finding = z.strictObject({
  cause: z.string().max(300).describe("The probable cause, in one sentence."),
  steps: z.array(z.string().max(300)).max(6).describe("What to do, in order."),
  sources: z.array(z.string().max(40)).max(6).describe("Ids of the tickets and articles this rests on."),
  confident: z.boolean().describe("Whether the sources answer the question."),
});
