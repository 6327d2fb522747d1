// Small HTTP client on node:http with keep-alive: JSON requests and server-sent events.
import http from "node:http";
export function client(base, defaults = {}) {
  const u = new URL(base);
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 4096, noDelay: true });
  const open = (method, path, body, headers) => {
    const data = body === undefined ? undefined : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const h = { ...defaults, ...headers };
    if (data) {
      h["content-type"] ??= "application/json";
      h["content-length"] = data.length;
    }
    const r = http.request({
      host: u.hostname,
      port: u.port,
      method,
      path: (u.pathname === "/" ? "" : u.pathname) + path,
      headers: h,
      agent,
    });
    if (data) r.end(data);
    else r.end();
    return r;
  };
  return {
    agent,
    // -> {status, text, json()}
    req(method, path, body, headers, again = true) {
      return new Promise((resolve, reject) => {
        const r = open(method, path, body, headers);
        let answered = false;
        // a kept-alive socket may be closed by the server just as we reuse it: try once more
        r.on("error", (e) =>
          again && !answered && r.reusedSocket
            ? this.req(method, path, body, headers, false).then(resolve, reject)
            : reject(e),
        );
        r.on("response", (res) => {
          answered = true;
          let s = "";
          res.setEncoding("utf8");
          res.on("data", (d) => {
            s += d;
          });
          res.on("end", () =>
            resolve({ status: res.statusCode, text: s, headers: res.headers, json: () => JSON.parse(s) }),
          );
          res.on("error", reject);
        });
      });
    },
    // calls onEvent(event, data) for each event; resolves when the stream ends or onEvent returns false
    sse(method, path, body, onEvent, headers, hooks = {}, again = true) {
      return new Promise((resolve, reject) => {
        const r = open(method, path, body, { accept: "text/event-stream", ...headers });
        let done = false,
          answered = false;
        const finish = (e) => {
          if (done) return;
          done = true;
          if (e) reject(e);
          else resolve();
        };
        r.on("error", (e) => {
          if (again && !answered && !done && r.reusedSocket) {
            done = true;
            this.sse(method, path, body, onEvent, headers, hooks, false).then(resolve, reject);
          } else finish(e);
        });
        r.on("response", (res) => {
          answered = true;
          if (res.statusCode >= 300) {
            let s = "";
            res.on("data", (d) => {
              s += d;
            });
            res.on("end", () => finish(new Error(`${res.statusCode} ${s.slice(0, 300)}`)));
            return;
          }
          hooks.onOpen?.(r);
          let buf = "";
          res.setEncoding("utf8");
          res.on("data", (d) => {
            if (done) return;
            hooks.onBytes?.(d.length);
            buf += d;
            if (buf.includes("\r")) buf = buf.replaceAll("\r\n", "\n");
            let from = 0;
            for (let i = buf.indexOf("\n\n"); i >= 0; i = buf.indexOf("\n\n", from)) {
              let event = "message",
                data = "";
              let a = from;
              while (a < i) {
                let e = buf.indexOf("\n", a);
                if (e < 0 || e > i) e = i;
                if (buf.startsWith("data:", a)) {
                  const v = buf.slice(buf.charCodeAt(a + 5) === 32 ? a + 6 : a + 5, e);
                  data = data ? `${data}\n${v}` : v;
                } else if (buf.startsWith("event:", a)) event = buf.slice(a + 6, e).trim();
                a = e + 1;
              }
              from = i + 2;
              if (data && onEvent(event, data) === false) {
                finish();
                r.destroy();
                return;
              }
            }
            if (from) buf = buf.slice(from);
          });
          res.on("end", () => finish());
          res.on("error", finish);
          res.on("close", () => finish());
        });
      });
    },
  };
}
