/** Figures for Prometheus. Names and labels hold no ids of callers or things: their number stays small. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type Gauges = { runs: () => number; streams: () => number; pendingCommits: () => number };

export class Figures {
  readonly registry = new Registry();
  readonly requests: Histogram<"route" | "status">;
  readonly databaseErrors: Counter;
  readonly limited: Counter<"limit">;
  readonly unauthenticated: Counter<"reason">;
  readonly refusals: Counter<"action" | "code">;

  constructor(gauges: Gauges) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.requests = new Histogram({
      name: "callboard_http_request_duration_seconds",
      help: "Time from the first byte of a request to its answer; streams count until they are open.",
      labelNames: ["route", "status"],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers,
    });
    this.databaseErrors = new Counter({
      name: "callboard_database_connection_errors_total",
      help: "Lost or refused connections to PostgreSQL.",
      registers,
    });
    this.limited = new Counter({
      name: "callboard_limited_requests_total",
      help: "Requests refused with 429, by the limit they met.",
      labelNames: ["limit"],
      registers,
    });
    this.unauthenticated = new Counter({
      name: "callboard_unauthenticated_requests_total",
      help: "Requests refused with 401, by what was wrong with the token.",
      labelNames: ["reason"],
      registers,
    });
    this.refusals = new Counter({
      name: "callboard_refusals_total",
      help: "Refusals for the audit log, by action and code.",
      labelNames: ["action", "code"],
      registers,
    });
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge("callboard_runs_active", "Runs under way in this process.", gauges.runs);
    gauge("callboard_streams_open", "Event streams open on this process.", gauges.streams);
    gauge("callboard_commits_pending", "Runs with changes that wait to be written.", gauges.pendingCommits);
  }
}
