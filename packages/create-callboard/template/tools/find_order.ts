import { defineTool } from "@callboard/kit";
import { z } from "zod";

/** Put your own system here: `context.fetch` reaches it. */
const orders = [
  { number: "A-1001", state: "shipped", item: "Card reader", arrives: "tomorrow" },
  { number: "A-1002", state: "packed", item: "Receipt paper, 20 rolls", arrives: "in three days" },
];

export default defineTool({
  description: "Finds an order by its number, like A-1001.",
  input: z.strictObject({ number: z.string().regex(/^A-\d{4}$/, "expected a number like A-1001") }),
  output: z.object({ number: z.string(), state: z.string(), item: z.string(), arrives: z.string() }),
  effect: "read",
  run({ number }) {
    const order = orders.find((one) => one.number === number);
    if (order === undefined) throw new Error(`there is no order ${number}`);
    return order;
  },
});
