/** W9: a job that waits until it is canceled. */
import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

export default defineEndpoint({
  method: "POST",
  mode: "polling",
  input: z.strictObject({ number: z.number() }),
  output: z.null(),
  async handle({ signal, relayStatus }) {
    relayStatus("waiting", { progress: 0 });
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return null;
  },
});
