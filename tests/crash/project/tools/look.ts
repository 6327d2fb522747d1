import { defineTool } from "@callboard/kit";
import { input, record } from "../ledger.ts";

export default defineTool({
  description: "Looks a thing up.",
  input,
  effect: "read",
  run: ({ key }, { callId }) => record("look", callId, key),
});
