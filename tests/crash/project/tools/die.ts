import { defineTool } from "@callboard/kit";
import { input } from "../ledger.ts";

export default defineTool({
  description: "Ends its process, like a native module that fails.",
  input,
  effect: "idempotent",
  run: () => process.abort(),
});
