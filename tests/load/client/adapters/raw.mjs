// The mock model itself: the lower bound of every latency.
import { AGENTS, count } from "./_agents.mjs";

const body = (a) => ({ model: AGENTS[a], stream: true, messages: [{ role: "user", content: "hello" }] });
const stream = (ctx, a, onToken, hooks) =>
  ctx.sse(
    "POST",
    "/v1/chat/completions",
    body(a),
    (_e, d) => {
      const n = count(d);
      if (n) onToken(n);
    },
    undefined,
    hooks,
  );
export default {
  name: "raw model",
  base: "http://127.0.0.1:4010",
  stream,
  async run(ctx, a) {
    let n = 0;
    if (a === "k3") {
      for (let i = 0; i < 3; i++) await stream(ctx, "t20", () => {});
    }
    await stream(ctx, "t20", (k) => {
      n += k;
    });
    return { tokens: n };
  },
};
