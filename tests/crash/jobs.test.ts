/** `kill -9` loses no job: another process goes on with it and starts none of its runs again. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isJobEnded, type Job, type JobAccepted } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { between, LONG, pick, seed, size } from "./harness/form.ts";
import { WORK_ANSWER, work } from "./harness/model.ts";

const ROUNDS = size(1, 8);
const JOBS = size(10, 60);

let fleet: Fleet;

beforeAll(async () => {
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({ scripts: { work }, agents: { work: { tools } } });
});
afterAll(() => fleet?.end());

test(`jobs survive kill -9 of their processes (seed ${seed})`, LONG, async () => {
  for (let round = 1; round <= ROUNDS; round++) {
    const starting = Array.from({ length: JOBS }, (_, number) => startJob(number));
    await sleep(between(200, 1200));
    const victim = pick(fleet.servers);
    await victim.kill();
    const restarted = victim.start();
    const jobs = await Promise.all((await Promise.all(starting)).map(ended));
    await restarted;
    expect(jobs.map((job) => job.error ?? job.result)).toEqual(
      jobs.map((_, number) => ({ number, said: [WORK_ANSWER, WORK_ANSWER], runs: expect.any(Array) })),
    );
    const runs = jobs.flatMap((job) => (job.result as { runs: string[] }).runs);
    expect(new Set(runs).size).toBe(2 * JOBS);
    // No run beside those that the answers are made of.
    const listed = await fleet.api.insist<{ data: Array<{ id: string }> }>("GET", `/runs?limit=${2 * JOBS}`);
    expect(listed.data.map(({ id }) => id).sort()).toEqual(runs.sort());
  }
});

/** Calls the endpoint until a process answers, with one key for all tries. */
async function startJob(number: number): Promise<string> {
  const headers = {
    authorization: `Bearer ${fleet.api.token}`,
    "content-type": "application/json",
    "idempotency-key": randomUUID(),
  };
  const body = JSON.stringify({ number });
  for (;;) {
    const url = `${pick(fleet.servers).url}/endpoints/twice`;
    const answer = await fetch(url, { method: "POST", headers, body }).catch(() => undefined);
    if (answer?.status === 202) return ((await answer.json()) as JobAccepted).job_id;
    await sleep(50);
  }
}

async function ended(id: string): Promise<Job> {
  for (;;) {
    const job = await fleet.api.insist<Job>("GET", `/jobs/${id}`);
    if (isJobEnded(job.state)) return job;
    await sleep(100);
  }
}
