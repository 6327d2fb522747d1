import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { findTicket, ticketId } from "../lib/desk.ts";
import { priorities, teams } from "../lib/products.ts";

const input = z.strictObject({
  team: z.enum(teams).describe("Who should take over."),
  priority: z.enum(priorities).default("high").describe("How pressing it is for the customer's business."),
  summary: z.string().trim().min(1).max(500).describe("One or two sentences: who is affected, by what, since when."),
  reason: z
    .string()
    .trim()
    .min(1)
    .max(1000)
    .default("The steps known to the desk did not solve it.")
    .describe("Why the desk cannot solve it alone, and what was tried."),
  ticket_ids: z.array(ticketId).max(10).default([]).describe("Earlier tickets that look like the same cause."),
});

const output = z.strictObject({
  reference: z.string().describe("Name of this escalation; give it to the customer."),
  file_id: z.string(),
  team: z.enum(teams),
  priority: z.enum(priorities),
});

/**
 * Waking a team twice for one matter is what `once` prevents: after a crash in the middle of the call its
 * outcome is reported as unknown and it is not repeated. `approval: "always"` puts a person before it.
 */
export default defineTool({
  description:
    "Hands a case to a specialist team and writes escalation.json to this thread. A person must allow each call.",
  input,
  output,
  effect: "once",
  approval: "always",
  public: { input: true, output: true },
  async run({ team, priority, summary, reason, ticket_ids }, context) {
    const related = [...new Set(ticket_ids)].map((id) => {
      const { subject, status } = findTicket(id);
      return { id, subject, status };
    });
    // The call's own id names the escalation, so that the file, the event log and the team speak of the same thing.
    const reference = `ESC-${context.callId.slice(-8).toUpperCase()}`;
    const record = {
      reference,
      team,
      priority,
      summary,
      reason,
      related_tickets: related,
      requested_by: context.caller.email ?? context.caller.userId ?? context.caller.kind,
      thread_id: context.thread.id,
      run_id: context.run.id,
    };
    const file = await context.files.write({
      name: "escalation.json",
      mediaType: "application/json",
      bytes: `${JSON.stringify(record, null, 2)}\n`,
    });
    context.relayStatus(`Escalated to ${team} as ${reference}`);
    return { reference, file_id: file.id, team, priority };
  },
});
