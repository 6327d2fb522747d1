/**
 * The thread in which one command runs: a simulated shell on files in memory. It has no network, no disk and
 * no environment; `shell.ts` gives it bytes, and ends it when its time or the run is over.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Bash, type CommandName, getCommandNames, InMemoryFs } from "just-bash";
import type { Job, ShellResult, ToServer, ToThread } from "./messages.ts";

const job = workerData as Job;
const server = parentPort as NonNullable<typeof parentPort>;
const MIB = 1024 * 1024;

const tell = (message: ToServer, moved: ArrayBuffer[] = []) => server.postMessage(message, moved);

const asked = new Map<string, (bytes: Uint8Array | null) => void>();
server.on("message", ({ path, bytes }: ToThread) => asked.get(path)?.(bytes));

async function contentOf(path: string): Promise<Uint8Array> {
  const bytes = await new Promise<Uint8Array | null>((arrived) => {
    asked.set(path, arrived);
    tell({ type: "read", path });
  });
  if (bytes === null) throw new Error(`${path} is too large to be read here`);
  return bytes;
}

const fs = new InMemoryFs({}, { maxTotalBytes: job.maxFileBytes });
for (const path of job.files) fs.writeFileLazy(path, () => contentOf(path));
for (const folder of ["/files", "/out", "/tmp", "/home/user"]) fs.mkdirSync(folder, { recursive: true });

// SQLite is WebAssembly, whose memory nothing here bounds.
const commands = getCommandNames().filter((name) => name !== "sqlite3") as CommandName[];

const bash = new Bash({
  fs,
  commands,
  cwd: "/home/user",
  env: { HOME: "/home/user", LANG: "C.UTF-8" },
  executionLimits: {
    maxFileSystemBytes: job.maxFileBytes,
    maxLiveBytes: 2 * job.maxFileBytes,
    maxInputBytes: 2 * job.maxFileBytes,
    maxArchiveBytes: job.maxFileBytes,
    maxStringLength: 16 * MIB,
    maxOutputSize: 4 * job.maxFileBytes,
  },
});

async function outFiles(): Promise<Pick<ShellResult, "written" | "leftOut">> {
  const written: ShellResult["written"] = [];
  const leftOut: string[] = [];
  for (const path of fs.getAllPaths().sort()) {
    if (!path.startsWith("/out/")) continue;
    const stat = await fs.lstat(path);
    if (stat.isDirectory) continue;
    const name = path.slice("/out/".length);
    if (!stat.isFile || name.includes("/") || written.length >= job.maxOutFiles) leftOut.push(path);
    else written.push({ name, bytes: await fs.readFileBuffer(path) });
  }
  return { written, leftOut };
}

const { stdout, stderr, exitCode } = await bash.exec(job.command);
const files = await outFiles();
const result = {
  exitCode,
  stdout: stdout.slice(0, job.maxOutputChars + 1),
  stderr: stderr.slice(0, job.maxOutputChars + 1),
  ...files,
};
tell({ type: "done", result });
