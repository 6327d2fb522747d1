import { defineAgent } from "@callboard/kit";

export default defineAgent({
  name: "Support",
  description: "Answers customers who ask about their parcels.",
  instructions: `You answer customers of \${SHOP:-our shop} who ask about their parcels.
Look a parcel up with track_parcel before you say anything about it. Without a number, ask for it.
If you do not know, say so. At most five sentences.`,
  variables: {
    SHOP: { schema: { type: "string", maxLength: 80, description: "Name of the shop." } },
  },
  tools: ["track_parcel"],
  limits: { max_steps: 6 },
});
