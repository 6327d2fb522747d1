// The floors in ../floors/relay.mjs: POST /run {agent,text} streams the model's own events through.
import { count } from "./_agents.mjs";

const stream = (ctx, agent, onToken, hooks) =>
  ctx.sse(
    "POST",
    "/run",
    { agent, text: "hello" },
    (_e, d) => {
      const n = count(d);
      if (n) onToken(n);
    },
    undefined,
    hooks,
  );
export default {
  name: "bare relay",
  stream,
  async run(ctx, a) {
    let n = 0;
    await stream(ctx, a, (k) => {
      n += k;
    });
    return { tokens: n };
  },
  idle: (ctx) =>
    new Promise((ok, no) => {
      ctx
        .sse("POST", "/run", { agent: "slow", text: "x" }, () => {}, undefined, {
          onOpen: (r) => ok(() => r.destroy()),
        })
        .catch(no);
    }),
  async seed(ctx, n) {
    return (await ctx.req("POST", "/seed", { n })).json().id;
  },
  async read(ctx, id, n) {
    const r = await ctx.req("GET", `/threads/${id}/events?limit=${n}`);
    return { items: r.json().data.length, bytes: r.text.length };
  },
};
