import { defineTool } from "@callboard/kit";
import { input, record } from "../ledger.ts";

export default defineTool({
  description: "Puts a thing in its place.",
  input,
  effect: "idempotent",
  run: ({ key }, { callId }) => record("put", callId, key),
});
