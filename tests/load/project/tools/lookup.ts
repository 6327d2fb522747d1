import { defineTool } from "@callboard/kit";
import { z } from "zod";

export default defineTool({
  description: "Looks a word up.",
  input: z.object({ q: z.string() }),
  effect: "read",
  run: ({ q }) => `found ${q}`,
});
