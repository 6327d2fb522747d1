import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

/** Fails with a secret in its words: in the call, or some time later where nobody catches it. */
export default defineEndpoint({
  method: "POST",
  mode: "sync",
  input: z.object({ secret: z.string(), later: z.boolean().default(false) }),
  output: z.string(),
  async handle({ input: { secret, later }, log }) {
    const error = new Error(`refused: Authorization: Bearer ${secret}`, { cause: new Error(`token=${secret}`) });
    if (!later) {
      log.warn("about to fail", { token: secret, request: { headers: { authorization: `Bearer ${secret}` } } });
      throw error;
    }
    setTimeout(() => {
      throw error;
    }, 50);
    return "soon";
  },
});
