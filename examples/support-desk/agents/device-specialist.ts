import { defineAgent } from "@callboard/kit";
import { productChoices } from "../lib/products.ts";
import { finding } from "../lib/specialists.ts";

export default defineAgent({
  name: "Device specialist",
  description: "Knows tills, card readers, printers, gateways and sensors: finds the cause of a fault and the steps.",
  icon: "cpu",
  instructions: `You find out why a device of a Quillharbor customer does not work. Product: \${PRODUCT}.

The message is a question of a colleague. Search earlier tickets with the symptom and any error code, word for word, and
the articles in English. Read the article that fits with get_article before you rely on it. Every step must come from an
article or from the resolution of a ticket, and its id belongs in the sources. Without such a source you are not confident.`,
  variables: {
    PRODUCT: {
      schema: { type: "string", enum: [...productChoices], description: "The product the question is about." },
      default: "any",
    },
  },
  tools: ["search_tickets", "search_articles", "get_article"],
  output: finding,
  api_access: false,
  limits: { max_steps: 8 },
});
