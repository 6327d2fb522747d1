import { defineEndpoint } from "@callboard/kit";
import { z } from "zod";
import concierge from "../agents/concierge.ts";
import { flag, localeFrom, tenantOf } from "../lib/patterns.ts";

/** Houses that have the new menu. A real project would ask its feature flags here. */
const withNewMenu = new Set(["harbour"]);

export default defineEndpoint({
  summary: "Ask the concierge of one's own house.",
  method: "POST",
  mode: "sync",
  input: z.strictObject({ question: z.string().min(1) }),
  output: z.object({ answer: z.string(), locale: z.string() }),
  async handle({ input, headers, caller, runAgent, problem }) {
    const tenant = tenantOf(caller.groups);
    if (tenant === undefined) throw problem(403, "the caller belongs to no house, or to several");
    const locale = localeFrom(headers.get("accept-language"), ["en", "de", "fr"]);
    const variables = { LOCALE: locale, TENANT: tenant, NEW_MENU: flag(withNewMenu.has(tenant)) };
    const run = await runAgent(concierge, { message: input.question, variables });
    return { answer: run.output(), locale };
  },
});
