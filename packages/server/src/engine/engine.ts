/**
 * The engine: claims runs, works on them side by side, keeps its lease, and hands over when it stops.
 *
 *   created here ─ adopt ─┐
 *   queue, wake, tick ─ claim ─▶ loops ─▶ ended ─▶ next run of the thread
 *   heartbeat ─ lease lost ─▶ all loops dropped, new worker id
 */
import { setTimeout as sleep } from "node:timers/promises";
import { newId, toUuid } from "@callboard/protocol";
import { onAccessChange } from "../access/index.ts";
import {
  type Claim,
  claimRuns,
  disownRuns,
  expire,
  expiredPermissions,
  heartbeat,
  isSuspect,
  LEASE_MS,
  lostRuns,
  otherWorkers,
  ownedRuns,
  type RunHost,
  reapWorkers,
  registerWorker,
  removeWorker,
  settleFamilies,
} from "../runs/index.ts";
import type { Sql, Wakes } from "../storage/index.ts";
import { ChildRuns, type ChildServices } from "./child-runs.ts";
import { Loop, type LoopServices } from "./loop.ts";
import { Seats } from "./seat.ts";

export type EngineOptions = {
  services: Omit<LoopServices, "children"> & ChildServices;
  wakes: Wakes;
  /** A connection that nothing else waits for: a lease must not run out because the pool is busy. */
  lease: Pick<Sql, "rows">;
  /** `api` processes have a lease too, so that others know to wake them, but work on no runs. */
  role: "all" | "api" | "worker";
  /** Runs at once in this process, beside those that wait here for agents they have called. */
  slots: number;
};

const HEARTBEAT_MS = 1000;
/** How often leases that ran out, queued and orphaned runs are looked for without a wake-up. */
const LOOK_MS = 500;

export class Engine implements RunHost {
  readonly #options: EngineOptions;
  readonly #services: LoopServices;
  readonly #seats: Seats;
  readonly #loops = new Map<string, Loop>();
  #worker = toUuid(newId("worker"));
  #registered = false;
  #stopping = false;
  #claiming = false;
  #claimAgain = false;
  /** When the last heartbeat was written. */
  #beatAtMs = 0;
  /** Before this the leases of others are left alone. */
  #judgeAtMs = 0;
  #timers: NodeJS.Timeout[] = [];
  #beating = false;
  #lookingAfter = false;
  /** Runs that were this worker's at the last look, and no loop's. */
  #strays: ReadonlySet<string> = new Set();
  #looking = false;
  #settling: Promise<void> | undefined;
  #settleAgain = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#services = { ...options.services, children: new ChildRuns(options.services, this, options.wakes) };
    this.#seats = new Seats(options.slots, () => {
      if (this.#claimAgain) this.#claimSoon();
    });
    options.wakes.on("queue", () => this.#claimSoon());
    onAccessChange(options.wakes, (organizationId) => {
      for (const loop of this.#loops.values()) {
        if (organizationId === undefined || loop.claim.key.organizationId === organizationId) loop.accessChanged();
      }
    });
    options.wakes.on("signal", (keys) => {
      if (keys.includes("*")) this.#dropLost().catch((error) => this.#warn(error, "runs could not be looked after"));
      else for (const run of keys) this.drop(run);
    });
    // One that is lost costs a step: the next commit tells the loop as well.
    options.wakes.on("steer", (keys) => {
      for (const key of keys) {
        const [run = "", number] = key.split("/");
        this.#loops.get(run)?.joined(Number(number));
      }
    });
  }

  // RunHost

  worker(): string | null {
    return this.#registered && this.#options.role !== "api" ? this.#worker : null;
  }

  /** The worker id that this process's heartbeat renews, also when it works on no runs; null without one. */
  lease(): string | null {
    return this.#registered ? this.#worker : null;
  }

  hasRoom(): boolean {
    return !this.#stopping && this.worker() !== null && this.#seats.free(this.#loops.size) > 0;
  }

  adopt(claim: Claim): void {
    const loop = new Loop(this.#services, claim, this.#seats.seat());
    this.#loops.set(claim.key.run, loop);
    if (this.#stopping) loop.handOver();
    loop.work().then((result) => {
      if (this.#loops.get(claim.key.run) === loop) this.#loops.delete(claim.key.run);
      if (result.kind === "ended") this.#options.services.feed.dropTail(claim.key);
      if (result.kind === "ended" && loop.hasFamily) this.#settleSoon();
      if (result.kind === "ended" && result.next) this.#claimNext(claim);
      else if (this.#claimAgain) this.#claimSoon();
    });
  }

  drop(run: string): void {
    this.#loops.get(run)?.lose();
    this.#settleSoon();
  }

  // Life

  /** Runs under way here. */
  get size(): number {
    return this.#loops.size;
  }

  async start(): Promise<void> {
    await this.#register();
    this.#timers.push(setInterval(() => void this.#beat(), HEARTBEAT_MS));
    this.#timers.push(setInterval(() => void this.#look(), LOOK_MS));
    this.#claimSoon();
  }

  /**
   * Gives all runs back and ends. Model calls stop at once; a `once` tool that is under way may finish.
   *
   * @param graceMs how long to wait for that
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    const { database, wheel } = this.#options.services;
    for (const loop of this.#loops.values()) loop.handOver();
    const deadline = Date.now() + graceMs;
    while (this.#loops.size > 0 && Date.now() < deadline) await sleep(10);
    // Somebody else's from here on. The doors of tools are closed next, and what that does to a call under way is no
    // outcome of the call: nobody knows that one.
    for (const loop of this.#loops.values()) loop.lose();
    for (const timer of this.#timers) clearInterval(timer);
    wheel.stop();
    await this.#settling;
    // The lease goes last: until here nobody took what was being given back.
    await removeWorker(database, this.#worker).catch(() => undefined);
    this.#options.wakes.tell("queue", "");
  }

  // Leases

  async #register(): Promise<void> {
    await registerWorker(this.#options.services.database, this.#worker, this.#options.role);
    this.#registered = true;
    this.#beatAtMs = performance.now();
    await this.#countOthers();
  }

  async #beat(): Promise<void> {
    if (this.#beating) return;
    this.#beating = true;
    const lastMs = this.#beatAtMs;
    try {
      if (await heartbeat(this.#options.lease, this.#worker)) {
        this.#beatAtMs = performance.now();
        if (this.#beatAtMs - lastMs > LEASE_MS) this.#judgeLater();
      } else await this.#startAnew();
    } catch (error) {
      this.#judgeLater();
      this.#warn(error, "the heartbeat could not be written");
    } finally {
      this.#beating = false;
    }
    await this.#lookAfter();
  }

  /** After a pause a process lets the others beat first: they may have paused for the same reason. */
  #judgeLater(): void {
    this.#judgeAtMs = performance.now() + 2 * HEARTBEAT_MS;
  }

  async #startAnew(): Promise<void> {
    const { log } = this.#options.services;
    log.warn({ worker: this.#worker, runs: this.#loops.size }, "the lease was lost; starting anew");
    for (const loop of this.#loops.values()) loop.lose();
    this.#registered = false;
    this.#worker = toUuid(newId("worker"));
    await this.#register();
  }

  /** What else is done each second; the next heartbeat does not wait for it. */
  async #lookAfter(): Promise<void> {
    if (this.#lookingAfter) return;
    this.#lookingAfter = true;
    try {
      await this.#countOthers();
      if (this.#options.wakes.othersAlive) await this.#dropLost();
      await this.#giveUpStrays();
    } catch (error) {
      this.#warn(error, "processes and runs could not be looked after");
    } finally {
      this.#lookingAfter = false;
    }
  }

  async #reap(): Promise<void> {
    if (performance.now() < this.#judgeAtMs) return;
    const { database, log } = this.#options.services;
    const dead = await reapWorkers(database, this.#worker);
    if (dead.length === 0) return;
    log.warn({ workers: dead }, "leases of other processes ran out; their runs are taken over");
    this.#claimSoon();
    this.#options.wakes.tell("queue", "");
  }

  /** The database is away, mostly: the next look does what this one could not. */
  #warn(error: unknown, message: string): void {
    this.#options.services.log.warn({ error }, message);
  }

  async #countOthers(): Promise<void> {
    this.#options.wakes.othersAlive = (await otherWorkers(this.#options.services.database, this.#worker)) > 0;
  }

  /** Drops the loops whose runs were canceled, deleted or taken over elsewhere. */
  async #dropLost(): Promise<void> {
    const loops = [...this.#loops.values()];
    if (loops.length === 0) return;
    const lost = await lostRuns(
      this.#options.services.database,
      loops.map((loop) => loop.claim),
    );
    for (const index of lost) {
      const loop = loops[index];
      // It may have ended by itself meanwhile.
      if (loop !== undefined && this.#loops.get(loop.claim.key.run) === loop) loop.lose();
    }
  }

  /**
   * Gives up runs that are ours and that no loop works on. They come from a claim that was committed while its
   * answer got lost with the connection, or from a loop that could not write its end. One that was just
   * claimed may be on its way to its loop: only what was astray at the last look too is given up.
   */
  async #giveUpStrays(): Promise<void> {
    const { database, log } = this.#options.services;
    const worker = this.#worker;
    const isStray = (run: string) => !this.#loops.has(run);
    const strays = (await ownedRuns(database, worker)).filter(isStray);
    const lost = strays.filter((run) => this.#strays.has(run));
    this.#strays = new Set(strays);
    if (lost.length === 0) return;
    log.warn({ runs: lost.length }, "runs that nobody here works on are given up");
    await disownRuns(database, worker, lost);
    this.#options.wakes.send("queue", "");
  }

  // Claiming

  #claimSoon(): void {
    if (this.#claiming) {
      this.#claimAgain = true;
      return;
    }
    if (!this.hasRoom()) {
      this.#claimAgain = true; // when a loop ends
      return;
    }
    this.#claiming = true;
    this.#claimAgain = false;
    this.#claim().finally(() => {
      this.#claiming = false;
      if (this.#claimAgain) this.#claimSoon();
    });
  }

  async #claim(): Promise<void> {
    const { database, feed, now } = this.#options.services;
    const worker = this.worker();
    const limit = Math.min(20, this.#seats.free(this.#loops.size));
    if (worker === null || limit <= 0) return;
    try {
      const busy = [...this.#loops.values()].some((loop) => loop.isSuspect);
      const claims = await claimRuns(database, feed, worker, limit, !busy, now);
      for (const claim of claims) this.adopt(claim);
      // With a suspect, others may have been left out for whom there is room.
      if (claims.length === limit || claims.some(({ row }) => isSuspect(row))) this.#claimAgain = true;
    } catch (error) {
      this.#warn(error, "runs could not be claimed");
    }
  }

  /** The next run of a thread whose run ended here: without a way through the queue. */
  #claimNext(ended: Claim): void {
    const { database, feed, now } = this.#options.services;
    const worker = this.worker();
    if (worker === null || !this.hasRoom()) {
      this.#options.wakes.send("queue", "");
      return;
    }
    claimRuns(database, feed, worker, 1, false, now, ended.key).then(
      (claims) => {
        for (const claim of claims) this.adopt(claim);
      },
      (error) => this.#warn(error, "the next run of a thread could not be claimed"),
    );
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#options.role === "api") return;
    this.#looking = true;
    try {
      this.#claimSoon();
      this.#settleSoon();
      await this.#reap();
      await this.#expirePermissions();
    } catch (error) {
      this.#warn(error, "expired leases and permission requests could not be ended");
    } finally {
      this.#looking = false;
    }
  }

  /** What must follow for other runs when one has ended: at once where it is known, and with each look. */
  #settleSoon(): void {
    if (this.#stopping || this.#timers.length === 0) return;
    if (this.#settling !== undefined) {
      this.#settleAgain = true;
      return;
    }
    this.#settleAgain = false;
    const { database, feed, now } = this.#services;
    this.#settling = settleFamilies({ database, feed, now, host: this, wakes: this.#options.wakes })
      .catch((error) => this.#warn(error, "runs of agents that were called could not be looked after"))
      .finally(() => {
        this.#settling = undefined;
        if (this.#settleAgain) this.#settleSoon();
      });
  }

  async #expirePermissions(): Promise<void> {
    const { services, wakes } = this.#options;
    const deps = { feed: services.feed, wakes, now: services.now };
    for (const permission of await expiredPermissions(services.database)) {
      await expire(services.database, deps, permission);
    }
  }
}
