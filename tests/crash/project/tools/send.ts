import { defineTool } from "@callboard/kit";
import { input, record } from "../ledger.ts";

export default defineTool({
  description: "Sends a thing away.",
  input,
  effect: "once",
  run: ({ key }, { callId }) => record("send", callId, key),
});
