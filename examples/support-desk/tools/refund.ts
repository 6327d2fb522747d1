import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { ticketId } from "../lib/desk.ts";

const input = z.strictObject({
  customer_id: z
    .string()
    .regex(/^[A-Z]{1,3}-\d{3,8}$/)
    .describe("Customer number on the invoice, like QH-20417."),
  amount_cents: z.int().positive().max(1_000_000).describe("How much goes back, in cents."),
  currency: z.enum(["EUR", "CHF", "GBP"]).default("EUR").describe("Of the invoice."),
  reason: z.string().trim().min(1).max(500).describe("Why, in one sentence that the customer may read."),
  ticket_id: ticketId.optional().describe("The ticket it belongs to."),
});

const output = z.strictObject({ reference: z.string(), file_id: z.string(), amount_cents: z.int() });

/**
 * The tool has the last word on large amounts: whichever agent uses it, above 500.00 a person decides. An agent
 * may ask for more, as `refund-desk` does. "Allow for this thread" is for one customer.
 */
export default defineTool({
  description: "Credits an amount to a customer and writes credit-note.json to this thread. Cannot be taken back.",
  input,
  output,
  effect: "once",
  approval: ({ amount_cents }) => amount_cents > 50_000,
  approvalScope: ({ customer_id }) => customer_id,
  public: { input: true, output: true },
  async run({ customer_id, amount_cents, currency, reason, ticket_id }, context) {
    const reference = `CN-${context.callId.slice(-8).toUpperCase()}`;
    const note = { reference, customer_id, amount_cents, currency, reason, ticket_id: ticket_id ?? null };
    const file = await context.files.write({
      name: "credit-note.json",
      mediaType: "application/json",
      bytes: `${JSON.stringify(note, null, 2)}\n`,
    });
    return { reference, file_id: file.id, amount_cents };
  },
});
