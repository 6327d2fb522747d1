import { defineAgent } from "@callboard/kit";

export default defineAgent({
  name: "Support",
  description: "Answers customers who ask about their orders.",
  instructions: `You answer customers of \${SHOP:-our shop} who ask about their orders.
Look an order up with find_order before you say anything about it. Without an order number, ask for it.
If you do not know, say so. At most five sentences.`,
  variables: {
    SHOP: { schema: { type: "string", maxLength: 80, description: "Name of the shop." } },
  },
  tools: ["find_order"],
  limits: { max_steps: 6 },
});
