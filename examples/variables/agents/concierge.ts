import { defineAgent } from "@callboard/kit";

export default defineAgent({
  name: "Concierge",
  description: "Answers in the visitor's language, for the visitor's house, with the new menu where it is switched on.",
  instructions: `You are the concierge of \${TENANT}. Answer in the language \${LOCALE}.
Show the new menu: \${NEW_MENU}.`,
  variables: {
    LOCALE: { schema: { type: "string", format: "locale" }, default: "en" },
    TENANT: { schema: { type: "string", pattern: "^[a-z0-9-]{1,64}$" } },
    NEW_MENU: { schema: { type: "string", enum: ["true", "false"] }, default: "false" },
  },
});
