/** What both triage endpoints take, do and answer. */
import type { RunAgent } from "@callboard/kit";
import { z } from "zod";
import ticketClassifier, { classification } from "../agents/ticket-classifier.ts";
import ticketTriage from "../agents/ticket-triage.ts";
import { productChoices } from "./products.ts";

export const triageInput = z.strictObject({
  ticket_body: z.string().min(1).max(20_000),
  product: z.enum(productChoices).default("any"),
});

export const triageOutput = classification.extend({
  /** For a person: similar tickets, articles, what to ask. */
  report: z.string(),
  /** The thread whose `reply.md` holds the draft of a reply. */
  thread_id: z.string(),
});

/** Two agents, one after the other: the report with a drafted reply, then the facts as data. */
export async function triage(
  runAgent: RunAgent,
  { ticket_body: message, product }: z.output<typeof triageInput>,
  next: () => void = () => {},
): Promise<z.input<typeof triageOutput>> {
  const variables = { PRODUCT: product };
  const report = await runAgent(ticketTriage, { message, variables });
  const text = report.output();
  next();
  const facts = await runAgent(ticketClassifier, { message: `${message}\n\nReport:\n${text}`, variables });
  return { ...facts.output(), report: text, thread_id: report.threadId };
}
