/** The figures of a bench run as a table, with the aims beside them. */
type Result = Record<string, unknown>;
type Results = Record<string, Result>;

const number = (results: Results, server: string, work: string, ...path: string[]): number | undefined => {
  let value: unknown = results[server]?.[work];
  for (const step of path) value = (value as Result | undefined)?.[step];
  return typeof value === "number" ? value : undefined;
};

const show = (value: number | undefined, digits = 2): string => (value === undefined ? "–" : value.toFixed(digits));
const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b === 0 ? undefined : a / b;
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

export function report(results: Results): string {
  const us = (work: string, ...path: string[]) => number(results, "callboard", work, ...path);
  const pg = (work: string, ...path: string[]) => number(results, "floor.pg", work, ...path);
  const none = (work: string, ...path: string[]) => number(results, "floor.none", work, ...path);
  const model = (work: string, ...path: string[]) => number(results, "model", work, ...path);
  const rows: string[][] = [
    ["figure", "callboard", "floor", "ratio or difference", "aim"],
    [
      "W1 runs/s, 64 callers",
      show(us("w1.c64", "perSec"), 0),
      show(pg("w1.c64", "perSec"), 0),
      show(ratio(us("w1.c64", "perSec"), pg("w1.c64", "perSec"))),
      "≥ 0.45 × floor",
    ],
    [
      "W1 runs/s, 64 callers, waiting",
      show(number(results, "waiting", "w1.c64", "perSec"), 0),
      show(pg("w1.c64", "perSec"), 0),
      show(ratio(number(results, "waiting", "w1.c64", "perSec"), pg("w1.c64", "perSec"))),
      "one request a run",
    ],
    [
      "W1 CPU ms a run, server",
      show(us("w1.c64", "cpuMsPerOp", "server")),
      show(pg("w1.c64", "cpuMsPerOp", "server")),
      show(ratio(us("w1.c64", "cpuMsPerOp", "server"), pg("w1.c64", "cpuMsPerOp", "server"))),
      "",
    ],
    [
      "W1 CPU ms a run, database",
      show(us("w1.c64", "cpuMsPerOp", "db")),
      show(pg("w1.c64", "cpuMsPerOp", "db")),
      show(ratio(us("w1.c64", "cpuMsPerOp", "db"), pg("w1.c64", "cpuMsPerOp", "db"))),
      "",
    ],
    [
      "W1 p50 ms, 1 caller",
      show(us("w1.c1", "p50")),
      show(model("w1.c1", "p50")),
      show(minus(us("w1.c1", "p50"), model("w1.c1", "p50"))),
      "≤ 2 ms over the model",
    ],
    [
      "W2 runs/s, 64 callers",
      show(us("w2.c64", "perSec"), 0),
      show(pg("w2.c64", "perSec"), 0),
      show(ratio(us("w2.c64", "perSec"), pg("w2.c64", "perSec"))),
      "≥ 480/s",
    ],
    [
      "W3 first token p50 ms",
      show(us("w3", "ttftP50")),
      show(model("w3", "ttftP50")),
      show(minus(us("w3", "ttftP50"), model("w3", "ttftP50"))),
      "≤ 1.5 ms over the model",
    ],
    [
      "W4 paced CPU µs a token",
      show(us("w4.d10", "cpuUsPerToken", "server")),
      show(none("w4.d10", "cpuUsPerToken", "server")),
      show(ratio(us("w4.d10", "cpuUsPerToken", "server"), none("w4.d10", "cpuUsPerToken", "server"))),
      "≤ 1.25 × bare relay",
    ],
    [
      "W4 tokens/s, unpaced",
      show(us("w4.max", "tokensPerSec"), 0),
      show(none("w4.max", "tokensPerSec"), 0),
      show(ratio(us("w4.max", "tokensPerSec"), none("w4.max", "tokensPerSec"))),
      "",
    ],
    [
      "W5 KiB an idle stream",
      show(us("w5", "kbPerStream"), 1),
      show(none("w5", "kbPerStream"), 1),
      show(ratio(us("w5", "kbPerStream"), none("w5", "kbPerStream"))),
      "≤ 35 KiB",
    ],
    [
      "W6 reads/s of 100 events",
      show(us("w6", "perSec"), 0),
      show(pg("w6", "perSec"), 0),
      show(ratio(us("w6", "perSec"), pg("w6", "perSec"))),
      "≥ 0.65 × floor",
    ],
    [
      "W8 endpoint p50 ms, 1 caller",
      show(us("w8", "endpointP50")),
      show(us("w8", "bareP50")),
      show(us("w8", "addedP50")),
      "≤ 0.5 ms over the run",
    ],
    ["W9 KiB held by a polled job", show(us("w9.hold", "kbPerJob"), 1), "", "", "≤ 20 KiB"],
    ["W9 the same, with a run that waits for its model", show(us("w9.hold-run", "kbPerJob"), 1), "", "", ""],
    ["W7 first answer after spawn, ms", show(number(results, "coldStart", "w7", "medianMs"), 0), "", "", "≤ 350 ms"],
    [
      "W6 CPU ms a read, server",
      show(us("w6", "cpuMsPerOp", "server"), 3),
      show(pg("w6", "cpuMsPerOp", "server"), 3),
      show(ratio(us("w6", "cpuMsPerOp", "server"), pg("w6", "cpuMsPerOp", "server"))),
      "",
    ],
  ];
  const widths = (rows[0] as string[]).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join("  ")
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  const failed = Object.entries(results).flatMap(([server, works]) =>
    Object.entries(works)
      .filter(([, value]) => typeof value === "object" && value !== null && "failed" in value)
      .map(([work, value]) => `${server} ${work}: ${(value as { failed: string }).failed}`),
  );
  return `\n${lines.join("\n")}\n${failed.length > 0 ? `\nfailed:\n${failed.join("\n")}\n` : ""}`;
}
