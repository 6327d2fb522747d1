/** `callboard serve` as a process of its own, always on the same port, started as often as wanted. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = join(import.meta.dirname, "../../..");
export const bin = join(root, "packages/cli/bin/callboard.js");

/** Ended with this test process, whatever happens to it. */
const children = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

const START_MS = 180_000;

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export class ServerProcess {
  readonly port: number;
  readonly #env: Record<string, string>;
  #child: ChildProcess | undefined;
  #ended: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  /** What all processes on this port have logged. */
  output = "";

  constructor(port: number, env: Record<string, string>) {
    this.port = port;
    this.#env = env;
  }

  static async onFreePort(env: Record<string, string>): Promise<ServerProcess> {
    return new ServerProcess(await freePort(), env);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  /** The end of the process started last. */
  get ended(): Promise<Exit> {
    return this.#ended;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts a process and waits until it serves. */
  async start(): Promise<void> {
    const env = { ...this.#env, PATH: process.env.PATH ?? "", PORT: String(this.port) };
    const child = spawn(process.execPath, [bin, "serve"], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    this.#child = child;
    const keep = (chunk: Buffer) => {
      this.output += chunk;
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    this.#ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        children.delete(child);
        resolve({ code, signal });
      });
    });
    const deadline = Date.now() + START_MS;
    while (!(await this.isServing())) {
      if (!this.isRunning) throw new Error(`the server did not start:\n${this.output}`);
      if (Date.now() > deadline) throw new Error(`the server does not serve after ${START_MS} ms:\n${this.output}`);
      await sleep(25);
    }
  }

  async isServing(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(10_000) })).ok;
    } catch {
      return false;
    }
  }

  send(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** `kill -9`; a stopped process ends too. */
  async kill(): Promise<void> {
    this.send("SIGKILL");
    await this.#ended;
  }
}

/** One that no outgoing connection of this machine gets: a process comes back to its port after it was killed. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    const port = randomInt(15_000, 32_000);
    server.once("error", () => resolve(freePort()));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(port)));
  });
}
