import { setTimeout as sleep } from "node:timers/promises";
import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";

/** A job that is given a key in a header, and is slow. */
export default defineEndpoint({
  method: "POST",
  mode: "polling",
  input: z.object({ ms: z.number() }),
  output: z.boolean(),
  async handle({ input, headers }) {
    await sleep(input.ms);
    return headers.get("x-api-key")?.startsWith("canary") ?? false;
  },
});
