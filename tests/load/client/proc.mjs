// CPU and memory of process trees, read from /proc.
import fs from "node:fs";

const HZ = 100;
function table() {
  const kids = new Map(),
    info = new Map();
  for (const p of fs.readdirSync("/proc")) {
    if (p < "0" || p > "9~") continue;
    try {
      const s = fs.readFileSync(`/proc/${p}/stat`, "latin1");
      const f = s.slice(s.lastIndexOf(")") + 2).split(" ");
      info.set(+p, (+f[11] + +f[12] + +f[13] + +f[14]) / HZ); // own + waited-for children
      const pp = +f[1];
      if (!kids.has(pp)) kids.set(pp, []);
      kids.get(pp).push(+p);
    } catch {}
  }
  return { kids, info };
}
function tree(root, kids, out = []) {
  out.push(root);
  for (const k of kids.get(root) ?? []) tree(k, kids, out);
  return out;
}
export function cpu(pids) {
  const { kids, info } = table();
  const r = {};
  for (const [n, p] of Object.entries(pids)) r[n] = tree(p, kids).reduce((a, x) => a + (info.get(x) ?? 0), 0);
  return r;
}
export function memory(pid) {
  const { kids } = table();
  let pss = 0,
    rss = 0;
  for (const p of tree(pid, kids)) {
    try {
      const s = fs.readFileSync(`/proc/${p}/smaps_rollup`, "latin1");
      pss += +/Pss:\s+(\d+)/.exec(s)[1];
      rss += +/Rss:\s+(\d+)/.exec(s)[1];
    } catch {}
  }
  return { pssMB: +(pss / 1024).toFixed(1), rssMB: +(rss / 1024).toFixed(1) };
}
export function machine() {
  const f = fs.readFileSync("/proc/stat", "latin1").split("\n")[0].trim().split(/\s+/).slice(1).map(Number);
  return {
    busy: (f[0] + f[1] + f[2] + f[5] + f[6] + f[7]) / HZ,
    steal: f[7] / HZ,
    total: f.reduce((a, b) => a + b, 0) / HZ,
  };
}
