/** Jobs: read, wait for, follow, cancel. */
import { CallboardError, isJobEnded, type Job, parseId, toUuid } from "@callboard/protocol";
import { audit, cancelJob, type JobDecision, type Refusals, readJob, scopeOf } from "../access/index.ts";
import { decideOn } from "../calls/index.ts";
import { findJob, type JobRow, type Jobs, toFacts, toJob } from "../endpoints/index.ts";
import type { Database, Sql } from "../storage/index.ts";
import type { ApiRequest, Handlers, Sent } from "./handler.ts";
import type { MayGoOn, OpenRequests } from "./open.ts";
import { lastEventId, type Streams } from "./sse.ts";

export type JobRooms = { database: Database; jobs: Jobs; refusals: Refusals; streams: Streams; open: OpenRequests };
type JobRoute = "jobs.get" | "jobs.stream" | "jobs.cancel";

const MAX_WAIT_SECONDS = 60;

export function jobHandlers({ database, jobs, refusals, streams, open }: JobRooms): Pick<Handlers, JobRoute> {
  /** The job, if the caller may see it; an admin's look at others' jobs is audited. */
  async function seen(
    asked: ApiRequest<JobRoute>,
    decide: (row: JobRow | undefined) => JobDecision<"job.read" | "job.cancel">,
    action: "job.read_as_admin" | "job.cancel_as_admin",
  ): Promise<JobRow> {
    const { caller, params, requestId } = asked;
    const id = parseId("job", params.job_id);
    const find = (sql: Sql) => (id === undefined ? undefined : findJob(sql, toUuid(caller.organizationId), toUuid(id)));
    const row = await database.tenant(scopeOf(caller), async (tx) => find(tx));
    const refused = action === "job.read_as_admin" ? "job.read" : "job.cancel";
    const thing = { action: refused, target: params.job_id, thing: row } as const;
    const { asAdmin, grant } = decideOn({ refusals }, asked, thing, () => decide(row));
    if (asAdmin) {
      await audit(database, { actor: { caller }, action, target: grant.subject, outcome: "done", requestId });
    }
    return row as JobRow; // the decision has refused what is not there
  }

  async function read(request: ApiRequest<"jobs.get" | "jobs.stream">): Promise<JobRow> {
    const decide = (row: JobRow | undefined) => readJob(request.caller, row && toFacts(row));
    const row = await seen(request, decide, "job.read_as_admin");
    await jobs.watch.touch(row);
    return row;
  }

  return {
    "jobs.get": async (request) => {
      const row = await read(request);
      const { wait = request.waitSeconds, after_seq: afterSeq } = request.query;
      const ms = Math.min(wait, MAX_WAIT_SECONDS) * 1000;
      if (ms === 0) return toSent("jobs.get", row);
      const mayRead: MayGoOn = (now) => readJob(now, toFacts(row));
      return toSent(
        "jobs.get",
        await open.wait(request, mayRead, ({ signal }) => jobs.wait(row, ms, signal, afterSeq)),
      );
    },

    "jobs.stream": async (request) => {
      const row = await read(request);
      const afterSeq = lastEventId(request.headers) ?? request.query.after_seq ?? 0;
      // No content: a browser's EventSource does not come again.
      if (isJobEnded(row.state) && afterSeq >= toJob(row).last_seq) return undefined;
      const mayRead: MayGoOn = (now) => readJob(now, toFacts(row));
      streams.open(request.outgoing, request.caller, mayRead, (reader) => jobs.follow(row, afterSeq, reader));
      return { kind: "streamed" };
    },

    "jobs.cancel": async (request) => {
      const decide = (row: JobRow | undefined) => cancelJob(request.caller, row && toFacts(row));
      const row = await seen(request, decide, "job.cancel_as_admin");
      return toSent("jobs.cancel", await jobs.cancel(row, request.caller));
    },
  };
}

/** A job that is under way says when to ask again. */
function toSent<N extends "jobs.get" | "jobs.cancel">(route: N, row: JobRow | undefined): Sent<N> {
  if (row === undefined) throw new CallboardError("not_found", "there is no such job for this caller");
  const job: Job = toJob(row);
  return {
    kind: "sent",
    route,
    status: 200,
    text: JSON.stringify(job),
    ...(isJobEnded(job.state) ? {} : { headers: { "retry-after": "1" } }),
  };
}
