import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { findTicket, ticket, ticketId } from "../lib/desk.ts";

export default defineTool({
  description: "Reads one earlier support ticket in full, by its id: the customer's message and what solved it.",
  input: z.strictObject({ id: ticketId.describe("Id from search_tickets, such as T-20417.") }),
  output: ticket,
  effect: "read",
  public: { input: true, output: true },
  run: ({ id }) => findTicket(id),
});
