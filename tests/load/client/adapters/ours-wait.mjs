// Our server, one request a run: `POST …/runs` with `Prefer: wait`, answered when the run has ended.

import { count } from "./_agents.mjs";
import ours from "./ours.mjs";
export default {
  ...ours,
  name: "ours, waiting",
  async run(ctx, a) {
    const r = await ctx.req(
      "POST",
      `/api/v1/agents/${ctx.opts[`agent.${a}`]}/runs`,
      { input: { type: "user.message", text: "hello" } },
      { prefer: "wait=30" },
    );
    const b = r.json();
    if (b.state !== "completed") throw new Error(r.text.slice(0, 200));
    return { tokens: count(b.result.text) };
  },
};
