// Our server: the public API.
//   --set token=...   bearer token        --set agent.t20=<agentId> ... one per scenario key (see _agents.mjs)
// run(): create the thread, which starts the first run, and follow its stream to the run's end; the tokens are
// counted in the final message, as the floors count them in what they relay.
import { count } from "./_agents.mjs";

const H = (o) => ({ authorization: `Bearer ${o.token}` });
const START = (text) => ({ input: { type: "user.message", content: [{ type: "text", text }] } });
const create = async (ctx, a, text = "hello") => {
  const r = await ctx.req("POST", `/api/v1/agents/${ctx.opts[`agent.${a}`] ?? a}/threads`, START(text));
  if (r.status >= 300) throw new Error(`${r.status} ${r.text.slice(0, 200)}`);
  return r.json();
};
const follow = (ctx, { thread, run }, on, hooks) =>
  ctx.sse("GET", `/api/v1/threads/${thread.id}/events/stream?until_run=${run.id}`, undefined, on, undefined, hooks);
export default {
  name: "ours",
  base: "http://127.0.0.1:4000",
  headers: H,
  async run(ctx, a) {
    const made = await create(ctx, a);
    let tokens = 0,
      bad = "no end";
    await follow(ctx, made, (e, d) => {
      if (e === "agent.message") tokens = count(d);
      else if (e === "run.completed") bad = "";
      else if (e === "run.failed" || e === "run.canceled") bad = d;
    });
    if (bad) throw new Error(bad.slice(0, 200));
    return { tokens };
  },
  // W8: the agent's run alone, and through an endpoint; both answer when the run has ended
  async bare(ctx) {
    const r = await ctx.req("POST", `/api/v1/agents/${ctx.opts["agent.t20"]}/runs`, START("hello"), {
      prefer: "wait=30",
    });
    if (r.status !== 200 || count(r.text) !== 20) throw new Error(`${r.status} ${r.text.slice(0, 200)}`);
  },
  async endpoint(ctx) {
    const r = await ctx.req("POST", "/endpoints/ask", { text: "hello" });
    if (r.status !== 200 || count(r.text) !== 20) throw new Error(`${r.status} ${r.text.slice(0, 200)}`);
  },
  // W9: a job under way, and an open poll of it
  async job(ctx, path, number) {
    const r = await ctx.req("POST", `/endpoints/${path}`, { number });
    if (r.status !== 202) throw new Error(`${r.status} ${r.text.slice(0, 200)}`);
    const id = r.json().job_id;
    for (;;) {
      const now = (await ctx.req("GET", `/api/v1/jobs/${id}`)).json();
      if (now.state === "running") return id;
      await new Promise((r) => setTimeout(r, 20));
    }
  },
  cancel: (ctx, id) => ctx.req("DELETE", `/api/v1/jobs/${id}`),
  poll: (ctx, id) => ctx.req("GET", `/api/v1/jobs/${id}?wait=60`),
  async stream(ctx, a, onToken, hooks) {
    await follow(
      ctx,
      await create(ctx, a),
      (e, d) => {
        if (e === "agent.message.delta") {
          const n = count(d);
          if (n) onToken(n);
        }
      },
      hooks,
    );
  },
  async idle(ctx) {
    const made = await create(ctx, "slow");
    return new Promise((ok, no) => {
      follow(ctx, made, () => {}, { onOpen: (r) => ok(() => r.destroy()) }).catch(no);
    });
  },
  async seed(ctx, n) {
    const { thread } = await create(ctx, "t20", "lorem ".repeat(20));
    for (let i = 0; i < n / 2; i++) {
      const r = await ctx.req("POST", `/api/v1/threads/${thread.id}/events`, START("lorem ".repeat(20)).input);
      if (r.status !== 200) throw new Error(`${r.status} ${r.text.slice(0, 200)}`);
      await new Promise((r) => setTimeout(r, 30));
    }
    return thread.id;
  },
  async read(ctx, id, n) {
    const r = await ctx.req("GET", `/api/v1/threads/${id}/events?limit=${n}`);
    const b = r.json();
    return { items: b.data.length, bytes: r.text.length };
  },
};
