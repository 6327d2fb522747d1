import { defineTool } from "@callboard/kit";
import { z } from "zod";

/** Takes a secret and gives one back, or fails with it. */
export default defineTool({
  description: "Opens the vault.",
  input: z.object({ pin: z.string(), fails: z.boolean().default(false) }),
  effect: "read",
  sensitive: true,
  async run({ pin, fails }) {
    if (fails) throw new Error(`the vault does not open with ${pin}`);
    return { gold: `gold-${pin}` };
  },
});
