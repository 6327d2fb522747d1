// node bench.mjs --adapter adapters/relay.mjs --base http://127.0.0.1:4101 --pid 123 [--dbpid 456] --mockpid 789
//   [--only w1,w2,w3,w4,w5,w6] [--secs 6] [--conc 1,16,64] [--streams 64] [--idle 1000] [--out out.json] [--set k=v]
import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { client } from "./http.mjs";
import { cpu, machine, memory } from "./proc.mjs";

const arg = (n, d) => {
  const i = process.argv.indexOf(`--${n}`);
  return i < 0 ? d : process.argv[i + 1];
};
const A = (await import(pathToFileURL(arg("adapter")).href)).default;
const base = arg("base", A.base),
  secs = +arg("secs", 6),
  only = arg("only", "w1,w2,w3,w4,w6,w5").split(",");
const conc = arg("conc", "1,16,64").split(",").map(Number),
  streams = +arg("streams", 64),
  idleN = +arg("idle", 1000);
const opts = Object.fromEntries(process.argv.flatMap((v, i, a) => (v === "--set" ? [a[i + 1].split("=")] : [])));
const pids = { client: process.pid };
for (const [k, n] of [
  ["pid", "server"],
  ["dbpid", "db"],
  ["mockpid", "mock"],
])
  if (arg(k)) pids[n] = +arg(k);
const ctx = { ...client(base, A.headers?.(opts) ?? {}), base, opts, newClient: (b, h) => client(b ?? base, h) };
const pct = (a, p) => {
  if (!a.length) return null;
  a.sort((x, y) => x - y);
  return +a[Math.min(a.length - 1, Math.floor(a.length * p))].toFixed(2);
};
const out = { name: A.name, base, at: new Date().toISOString(), node: process.version, results: {} };
await A.init?.(ctx);

async function measure(fn, c, seconds, minOps = 1) {
  const lat = [];
  let errors = 0,
    lastErr;
  const stop = performance.now() + seconds * 1000;
  const t0 = performance.now();
  const c0 = cpu(pids),
    m0 = machine();
  const hard = t0 + seconds * 4000;
  await Promise.all(
    Array.from({ length: c }, async () => {
      while (performance.now() < stop || (lat.length < minOps && performance.now() < hard)) {
        const s = performance.now();
        try {
          await fn();
          lat.push(performance.now() - s);
        } catch (e) {
          errors++;
          lastErr = e;
          if (errors > 50) throw e;
        }
      }
    }),
  );
  const wall = (performance.now() - t0) / 1000,
    c1 = cpu(pids),
    m1 = machine();
  const used = {};
  let ours = 0;
  for (const k in c0) {
    used[k] = +(((c1[k] - c0[k]) * 1000) / Math.max(1, lat.length)).toFixed(3);
    ours += c1[k] - c0[k];
  }
  return {
    c,
    ops: lat.length,
    wall: +wall.toFixed(2),
    perSec: +(lat.length / wall).toFixed(1),
    p50: pct(lat, 0.5),
    p90: pct(lat, 0.9),
    p99: pct(lat, 0.99),
    errors,
    lastErr: lastErr && String(lastErr.message).slice(0, 200),
    cpuMsPerOp: used,
    foreignCpuPct: +(((m1.busy - m0.busy - ours) / (m1.total - m0.total)) * 100).toFixed(1),
  };
}
/** Bytes the server holds (see collect.mjs): how far its heap has grown says little of 900 jobs. */
async function held() {
  const file = arg("held");
  fs.rmSync(file, { force: true });
  process.kill(pids.server, "SIGUSR2");
  while (!fs.existsSync(file)) await new Promise((r) => setTimeout(r, 50));
  return +fs.readFileSync(file, "utf8");
}
const log = (k, v) => {
  out.results[k] = v;
  console.log(A.name, k, JSON.stringify(v));
};

for (const w of only) {
  try {
    if (w === "w1" || w === "w2") {
      const agent = w === "w1" ? "t20" : "k3";
      const one = async () => {
        const r = await A.run(ctx, agent);
        if (r.tokens !== 20) throw new Error(`wrong answer: ${JSON.stringify(r).slice(0, 200)}`);
      };
      await measure(one, 4, Math.min(2, secs / 2));
      for (const c of w === "w1" ? conc : conc.filter((x) => x !== 1))
        log(`${w}.c${c}`, await measure(one, c, secs, 20));
    } else if (w === "w3") {
      const ttft = [],
        total = [];
      const one = async (keep) => {
        const s = performance.now();
        let first = 0;
        await A.stream(ctx, "t20p", () => {
          if (!first) first = performance.now() - s;
        });
        if (!first) throw new Error("no token");
        if (keep) {
          ttft.push(first);
          total.push(performance.now() - s);
        }
      };
      for (let i = 0; i < 10; i++) await one(false);
      const end = performance.now() + secs * 1000;
      while (performance.now() < end || ttft.length < 20) await one(true);
      log("w3", { n: ttft.length, ttftP50: pct(ttft, 0.5), ttftP99: pct(ttft, 0.99), totalP50: pct(total, 0.5) });
    } else if (w === "w4") {
      for (const [key, agent, want] of [
        ["w4.max", "t500p", 500],
        ["w4.d10", "t500d10", 500],
      ]) {
        const run = async (n) => {
          let tokens = 0,
            bytes = 0;
          const ttft = [];
          const t0 = performance.now();
          const c0 = cpu(pids),
            m0 = machine();
          await Promise.all(
            Array.from({ length: n }, async () => {
              let mine = 0;
              await A.stream(
                ctx,
                agent,
                (k) => {
                  if (!mine) ttft.push(performance.now() - t0);
                  mine += k;
                  tokens += k;
                },
                {
                  onBytes: (b) => {
                    bytes += b;
                  },
                },
              );
              if (mine < want) throw new Error(`only ${mine} of ${want} tokens`);
            }),
          );
          const wall = (performance.now() - t0) / 1000,
            c1 = cpu(pids),
            m1 = machine();
          const used = {};
          let ours = 0;
          for (const k in c0) {
            used[k] = +(((c1[k] - c0[k]) * 1e6) / tokens).toFixed(2);
            ours += c1[k] - c0[k];
          }
          return {
            streams: n,
            tokens,
            wall: +wall.toFixed(2),
            tokensPerSec: Math.round(tokens / wall),
            bytesPerToken: Math.round(bytes / tokens),
            ttftP50: pct(ttft, 0.5),
            ttftP99: pct(ttft, 0.99),
            cpuUsPerToken: used,
            foreignCpuPct: +(((m1.busy - m0.busy - ours) / (m1.total - m0.total)) * 100).toFixed(1),
          };
        };
        await run(8);
        const r = [];
        for (let i = 0; i < 3; i++) r.push(await run(streams));
        r.sort((a, b) => b.tokensPerSec - a.tokensPerSec);
        log(key, { ...r[1], all: r.map((x) => x.tokensPerSec) });
      }
    } else if (w === "w5") {
      const before = memory(pids.server);
      const closers = [];
      const t0 = performance.now();
      let failed = 0,
        err;
      const step = 50;
      for (let i = 0; i < idleN; i += step)
        await Promise.all(
          Array.from({ length: Math.min(step, idleN - i) }, async () => {
            try {
              closers.push(await A.idle(ctx));
            } catch (e) {
              failed++;
              err = e;
            }
          }),
        );
      const openSecs = (performance.now() - t0) / 1000;
      await new Promise((r) => setTimeout(r, 2000));
      const after = memory(pids.server);
      log("w5", {
        opened: closers.length,
        failed,
        err: err && String(err.message).slice(0, 200),
        openSecs: +openSecs.toFixed(1),
        before,
        after,
        kbPerStream: +(((after.pssMB - before.pssMB) * 1024) / Math.max(1, closers.length)).toFixed(1),
      });
      for (const c of closers) c();
    } else if (w === "w8") {
      // In turns, so that what else happens on the machine happens to both.
      const bare = [],
        endpoint = [];
      const timed = async (fn, list) => {
        const s = performance.now();
        await fn(ctx);
        list?.push(performance.now() - s);
      };
      const used = { bare: {}, endpoint: {} };
      const block = async (fn, list, sum) => {
        const c0 = cpu(pids);
        for (let i = 0; i < 100; i++) await timed(fn, list);
        const c1 = cpu(pids);
        for (const k in c0) sum[k] = (sum[k] ?? 0) + c1[k] - c0[k];
      };
      for (let i = 0; i < 200; i++) {
        await timed(A.bare);
        await timed(A.endpoint);
      }
      const end = performance.now() + secs * 2000;
      while (performance.now() < end || bare.length < 400) {
        await block(A.bare, bare, used.bare);
        await block(A.endpoint, endpoint, used.endpoint);
      }
      const perOp = (sum) =>
        Object.fromEntries(Object.entries(sum).map(([k, s]) => [k, +((s * 1000) / bare.length).toFixed(3)]));
      const [b, e] = [pct(bare, 0.5), pct(endpoint, 0.5)];
      log("w8", {
        n: bare.length,
        bareP50: b,
        endpointP50: e,
        addedP50: +(e - b).toFixed(2),
        p90: [pct(bare, 0.9), pct(endpoint, 0.9)],
        cpuMsPerOp: { bare: perOp(used.bare), endpoint: perOp(used.endpoint) },
      });
    } else if (w === "w9") {
      for (const path of ["hold", "hold-run"]) {
        const step = 50;
        const begin = async (from, to) => {
          const ids = [];
          for (let i = from; i < to; i += step)
            ids.push(
              ...(await Promise.all(Array.from({ length: Math.min(step, to - i) }, (_, k) => A.job(ctx, path, i + k)))),
            );
          for (const id of ids) A.poll(ctx, id).catch(() => {});
          await new Promise((r) => setTimeout(r, 3000));
          return ids;
        };
        const warm = idleN / 10; // what the first ones cost once
        const first = await begin(0, warm);
        const before = await held();
        const c0 = cpu(pids);
        const measured = await begin(warm, idleN);
        const n = measured.length;
        const after = await held();
        const c1 = cpu(pids);
        await new Promise((r) => setTimeout(r, 5000));
        const c2 = cpu(pids);
        log(`w9.${path}`, {
          jobs: n,
          heldMB: [before, after].map((bytes) => +(bytes / 1024 / 1024).toFixed(1)),
          resident: memory(pids.server),
          kbPerJob: +((after - before) / 1024 / n).toFixed(1),
          startCpuMsPerJob: +(((c1.server - c0.server) * 1000) / n).toFixed(3),
          idleCpuPct: +(((c2.server - c1.server) / 5) * 100).toFixed(1),
        });
        for (const id of [...first, ...measured]) await A.cancel(ctx, id); // there are 1,000 places for jobs
      }
    } else if (w === "w6") {
      const id = await A.seed(ctx, 100);
      const n = await A.read(ctx, id, 100);
      await measure(() => A.read(ctx, id, 100), 4, 1);
      log("w6", {
        items: n.items,
        bytes: n.bytes,
        ...(await measure(
          async () => {
            const r = await A.read(ctx, id, 100);
            if (r.items < 100) throw new Error(`only ${r.items}`);
          },
          16,
          secs,
        )),
      });
    }
  } catch (e) {
    log(w, { failed: String(e.stack ?? e).slice(0, 400) });
  }
}
if (pids.server) out.memoryEnd = memory(pids.server);
if (arg("out")) fs.writeFileSync(arg("out"), JSON.stringify(out, null, 1));
process.exit(0);
