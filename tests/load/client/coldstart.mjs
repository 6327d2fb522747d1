// node coldstart.mjs --url http://127.0.0.1:4101/ [--n 5] [--status 200] -- command arg arg
// Starts the command n times, polls the address every 5 ms, prints ms from spawn to the first answer, the memory then, and stops the process group it started.
import { spawn } from "node:child_process";
import http from "node:http";
import { memory } from "./proc.mjs";

const cut = process.argv.indexOf("--");
const cmd = process.argv.slice(cut + 1);
const arg = (n, d) => {
  const i = process.argv.indexOf(`--${n}`);
  return i < 0 || i > cut ? d : process.argv[i + 1];
};
const url = arg("url"),
  n = +arg("n", 5),
  want = +arg("status", 200);
const times = [],
  mem = [];
const hit = () =>
  new Promise((ok) => {
    const r = http.get(url, { agent: false }, (res) => {
      res.resume();
      ok(res.statusCode);
    });
    r.on("error", () => ok(0));
    r.setTimeout(3000, () => r.destroy());
  });
for (let i = 0; i < n; i++) {
  if (await hit()) throw new Error(`something already answers at ${url}`);
  const t0 = performance.now();
  const p = spawn(cmd[0], cmd.slice(1), { stdio: "ignore", detached: true });
  while ((await hit()) !== want) {
    if (performance.now() - t0 > 90000) {
      process.kill(-p.pid, "SIGKILL");
      throw new Error("no answer in 90 s");
    }
    await new Promise((r) => setTimeout(r, 5));
  }
  times.push(performance.now() - t0);
  mem.push(memory(p.pid));
  process.kill(-p.pid, "SIGTERM");
  await new Promise((r) => setTimeout(r, 700));
  try {
    process.kill(-p.pid, "SIGKILL");
  } catch {}
  await new Promise((r) => setTimeout(r, 300));
}
times.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    url,
    n,
    medianMs: Math.round(times[n >> 1]),
    minMs: Math.round(times[0]),
    maxMs: Math.round(times[n - 1]),
    memoryAtFirstAnswer: mem[0],
  }),
);
