// Floors: what the machine can do when the server does almost nothing.
//   PORT=4101 STORE=none|pg DB=url node relay.mjs
// none: relays the model's stream byte for byte and stores nothing.
// pg: the same, plus ONE durable commit for each run (thread row + 2 message rows) before the stream ends.
import http from "node:http";
import { AGENTS } from "./client/adapters/_agents.mjs";

const port = +(process.env.PORT ?? 4101),
  store = process.env.STORE ?? "none",
  model = new URL(process.env.MODEL_URL ?? "http://127.0.0.1:4010");
const up = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 4096 });
let save = async () => {},
  read;
if (store === "pg") {
  const { createRequire } = await import("node:module");
  const pg = createRequire(process.env.PG_FROM ?? import.meta.url)("pg");
  const pool = new pg.Pool({ connectionString: process.env.DB, max: +(process.env.POOL ?? 16) });
  await pool.query("create table if not exists relay_msg(thread uuid, seq int, body text, primary key(thread,seq))");
  save = (id, rows) =>
    pool.query({
      name: "ins",
      text: "insert into relay_msg select $1, n-1, b from unnest($2::text[]) with ordinality as t(b,n)",
      values: [id, rows],
    });
  read = async (id, n) =>
    (
      await pool.query({
        name: "sel",
        text: "select seq, body from relay_msg where thread=$1 order by seq desc limit $2",
        values: [id, n],
      })
    ).rows;
}
const call = (payload, onRes) => {
  const data = JSON.stringify(payload);
  const r = http.request(
    {
      host: model.hostname,
      port: model.port,
      method: "POST",
      path: "/v1/chat/completions",
      agent: up,
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(data) },
    },
    onRes,
  );
  r.end(data);
  return r;
};
const body = (req) =>
  new Promise((ok) => {
    let s = "";
    req.setEncoding("utf8");
    req.on("data", (d) => {
      s += d;
    });
    req.on("end", () => ok(JSON.parse(s || "{}")));
  });
const tools = [
  {
    type: "function",
    function: { name: "lookup", parameters: { type: "object", properties: { q: { type: "string" } } } },
  },
];
http
  .createServer(async (req, res) => {
    if (req.method === "POST" && req.url === "/run") {
      const b = await body(req),
        id = crypto.randomUUID();
      const messages = [{ role: "user", content: b.text }];
      const loop = () => {
        const up1 = call(
          { model: AGENTS[b.agent], stream: true, messages, ...(b.agent === "k3" ? { tools } : {}) },
          (m) => {
            if (b.agent === "k3") {
              // a minimal agent loop: read, run the tool, call again
              let s = "";
              m.setEncoding("utf8");
              m.on("data", (d) => {
                s += d;
              });
              m.on("end", () => {
                const hit = /"tool_calls":(\[\{.*?\}\}\])/.exec(s);
                if (!hit) {
                  res.write(s);
                  return Promise.resolve(
                    save(
                      id,
                      messages.map((x) => JSON.stringify(x)),
                    ),
                  ).then(() => res.end());
                }
                const tc = JSON.parse(hit[1])[0];
                messages.push(
                  { role: "assistant", content: null, tool_calls: [tc] },
                  { role: "tool", tool_call_id: tc.id, content: `found ${JSON.parse(tc.function.arguments).q}` },
                );
                loop();
              });
              return;
            }
            if (store === "none") return m.pipe(res);
            let all = "";
            m.setEncoding("utf8");
            m.on("data", (d) => {
              all += d;
              res.write(d);
            });
            m.on("end", async () => {
              await save(id, [b.text, all.slice(0, 200)]);
              res.end();
            });
          },
        );
        up1.on("error", () => res.destroy());
        res.on("close", () => {
          if (!res.writableFinished) up1.destroy();
        });
      };
      res.writeHead(200, { "content-type": "text/event-stream", "x-thread-id": id });
      res.flushHeaders();
      return loop();
    }
    if (req.url === "/seed") {
      const b = await body(req),
        id = crypto.randomUUID();
      await save(
        id,
        Array.from({ length: b.n }, (_, i) => JSON.stringify({ type: "message", i, text: "lorem ".repeat(20) })),
      );
      mem.set(id, b.n);
      return res.end(JSON.stringify({ id }));
    }
    const m = /^\/threads\/([^/]+)\/events\?limit=(\d+)/.exec(req.url);
    if (m) {
      const rows = read
        ? await read(m[1], +m[2])
        : Array.from({ length: mem.get(m[1]) ?? 0 }, (_, i) => ({
            seq: i,
            body: JSON.stringify({ type: "message", i, text: "lorem ".repeat(20) }),
          }));
      const s = `{"data":[${rows.map((r) => `{"seq":${r.seq},"event":${r.body}}`).join(",")}]}`;
      res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(s) });
      return res.end(s);
    }
    res.end("ok");
  })
  .listen(port, "127.0.0.1", () => console.log(`relay ${store} on ${port}`));
const mem = new Map();
