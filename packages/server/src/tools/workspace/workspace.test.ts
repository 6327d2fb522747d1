import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { MemoryFiles, toolsOf, use } from "../fixture.ts";

const limits = { timeoutMs: 150_000, maxFilesMb: 16, concurrency: 2 };
const tools = await toolsOf(null, { workspace: limits });

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Output = any;

async function run(command: string, files = new MemoryFiles(), signal = new AbortController().signal): Promise<Output> {
  const result = await use(tools, "workspace_run", { command }, { files, signal });
  return result.outcome === "ok" ? result.output : result;
}

/** Busy for minutes, and never yields for long. */
const SPIN = "for i in $(seq 1 9000); do seq 1 90000 | sort -r | sort -n | md5sum; done";

test("files of the thread can be read, and what is written to /out becomes files of the thread", async () => {
  const files = new MemoryFiles();
  await files.write({ name: "tickets.csv", mediaType: "text/csv", bytes: "id,team\n1,red\n2,blue\n3,red\n" });
  const output = await run(
    "cut -d, -f2 /files/tickets.csv | tail -n +2 | sort | uniq -c | tee '/out/by team.md'",
    files,
  );
  expect(output.exit_code).toBe(0);
  expect(output.stdout).toMatch(/1 blue\n\s*2 red/);
  const [written] = (await files.list()).filter(({ name }) => name === "by team.md");
  expect(output.files).toEqual([{ id: written?.id, name: "by team.md", size_bytes: written?.size_bytes }]);
  expect(written).toMatchObject({ kind: "artifact", media_type: "text/markdown" });
});

test("bytes are kept as they are", async () => {
  const files = new MemoryFiles();
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await files.write({ name: "raw.bin", mediaType: "application/octet-stream", bytes });
  await run("cp /files/raw.bin /out/copy.bin; cat /files/raw.bin /files/raw.bin > /out/twice.bin", files);
  const read = async (name: string) => {
    const found = (await files.list()).find((file) => file.name === name);
    return [...(await files.read(found?.id as never)).bytes];
  };
  expect(await read("copy.bin")).toEqual([...bytes]);
  expect(await read("twice.bin")).toEqual([...bytes, ...bytes]);
});

test("a command that fails is an answer, with its exit code and what it said", async () => {
  expect(await run("echo out; echo err >&2; exit 3")).toMatchObject({ exit_code: 3, stdout: "out\n", stderr: "err\n" });
  expect(await run("no_such_program")).toMatchObject({ exit_code: 127 });
  expect((await run("if then")).exit_code).not.toBe(0);
});

test("each call starts anew", async () => {
  await run("echo hidden > /tmp/left; export LEFT=1; cd /tmp");
  expect(await run("cat /tmp/left; echo [$LEFT]; pwd")).toMatchObject({ stdout: "[]\n/home/user\n" });
});

test("of files with one name the newest is there by its name, and the others by their id", async () => {
  const files = new MemoryFiles();
  const old = await files.write({ name: "a.txt", mediaType: "text/plain", bytes: "old" });
  await files.write({ name: "a.txt", mediaType: "text/plain", bytes: "new" });
  await files.write({ name: "..", mediaType: "text/plain", bytes: "dots" });
  expect(await run(`cat /files/a.txt /files/${old.id}/a.txt`, files)).toMatchObject({ stdout: "newold" });
});

test("a file that cannot be read is an error of the command", async () => {
  const files = new MemoryFiles();
  await files.write({ name: "big.bin", mediaType: "application/octet-stream", bytes: "x" });
  files.read = () => Promise.reject(new Error("larger than 8388608 bytes, s3cret"));
  const output = await run("cat /files/big.bin; echo on", files);
  expect(output.stdout).toBe("on\n");
  expect(output.stderr).not.toContain("s3cret");
});

test("what lies deeper in /out, links and too many files are left out, and named", async () => {
  const files = new MemoryFiles();
  const output = await run(
    "mkdir -p /out/deep; echo 1 > /out/deep/a; ln -s /files /out/link; for i in $(seq 1 30); do echo $i > /out/f$i; done",
    files,
  );
  expect(output.files).toHaveLength(20);
  expect(output.left_out).toHaveLength(12);
  expect(output.left_out).toEqual(expect.arrayContaining(["/out/deep/a", "/out/link"]));
});

describe("a command cannot", () => {
  test("see the machine: its files, environment, processes and programs", async () => {
    process.env.WORKSPACE_CANARY = "s3cret-canary";
    const output = await run(`
      cat /etc/passwd ../../../../../etc/passwd /proc/self/environ /proc/1/environ ${import.meta.filename}
      ls /home /root /work /proc/self/fd; env; printenv; cat /files/../../etc/hostname; hostname; echo /*; echo $PATH`);
    delete process.env.WORKSPACE_CANARY;
    const said = JSON.stringify(output);
    expect(said).not.toMatch(/root:x?:0/);
    expect(said).not.toContain("s3cret-canary");
    expect(said).not.toContain("workspace.test.ts\\n");
    expect(output.stderr).toContain("/etc/passwd: No such file or directory");
  });

  test("reach the network", async () => {
    let connections = 0;
    const server = createServer((_, response) => response.end("reached"));
    server.on("connection", () => connections++);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    const output = await run(
      `curl http://127.0.0.1:${port}/; wget http://127.0.0.1:${port}/; cat < /dev/tcp/127.0.0.1/${port}; exec 3<>/dev/tcp/127.0.0.1/${port}; nc 127.0.0.1 ${port}`,
    );
    server.close();
    expect(connections).toBe(0);
    expect(JSON.stringify(output)).not.toContain("reached");
  });

  test.each(["python3 -c 'print(1)'", "node -e 1", "js-exec -c 1", "sqlite3 :memory: 'select 1'"])(
    "run %s",
    async (command) => {
      const output = await run(command);
      expect(output.exit_code).not.toBe(0);
      expect(output.stdout).toBe("");
    },
  );

  test("pollute prototypes, of its own thread or of the server", async () => {
    const output = await run(`
      export __proto__=polluted constructor=polluted; declare -A m; m[__proto__]=polluted; m[constructor]=x
      jq -n '{} | .__proto__.polluted = 1 | .constructor.prototype.polluted = 1'
      echo '{"__proto__":{"polluted":1}}' | jq '. * {"a":1}'; printf '__proto__:\\n  polluted: 1\\n' | yq -o json .
      awk 'BEGIN { a["__proto__"] = "polluted"; print a["polluted"] }'; echo 'x' > /out/__proto__; echo ok`);
    expect(output.stdout).toMatch(/ok\n$/);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(output.files).toMatchObject([{ name: "__proto__" }]);
  });

  test.each([
    ["an endless loop", "while true; do :; done"],
    ["a fork bomb", ":(){ :|:& };:"],
    ["a text that doubles", "x=a; while true; do x=$x$x; done"],
    [
      "files that double",
      "head -c 1000000 /dev/urandom > /tmp/a; echo a > /tmp/a; while true; do cat /tmp/a /tmp/a > /tmp/b; mv /tmp/b /tmp/a; done",
    ],
    ["an array without end", "awk 'BEGIN { while (1) a[i++] = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" i }'"],
    ["a billion numbers", "seq 1 1000000000"],
    ["a billion of jq's", "jq -n '[range(1e9)] | length'"],
    ["a pattern that backtracks", "[[ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa! =~ ^(a|a?)+$ ]]"],
    ["brackets in brackets", `echo ${"$(echo ".repeat(500)}x${")".repeat(500)}`],
  ])("go on with %s", async (_, command) => {
    const output = await run(command);
    // It ends by a limit, as an answer or as an error; not by the end of the server.
    expect(output.exit_code ?? output.outcome).not.toBe(0);
  });
});

test("a command that needs too much memory is ended, and the server goes on", { timeout: 600_000 }, async () => {
  // A busy machine collects garbage for long before it gives up.
  const patient = await toolsOf(null, { workspace: { ...limits, timeoutMs: 580_000 } });
  const command = "jq -n '[range(900000) | {a: ., b: [., ., .], c: {d: .}}] | length'";
  expect(await use(patient, "workspace_run", { command }, { files: new MemoryFiles() })).toMatchObject({
    outcome: "error",
    reason: "the command used more memory than it may",
  });
});

test("what a command prints is cut", async () => {
  const output = await run(
    "for i in $(seq 1 2000); do echo 0123456789012345678901234567890123456789; done; seq 1 90000 >&2",
  );
  expect(output.stdout).toMatch(/\[cut after 30000 characters\]$/);
  expect(output.stderr).toMatch(/\[cut after 30000 characters\]$/);
});

test("files together have a limit", async () => {
  const output = await run("seq 1 90000 > /tmp/a; for i in $(seq 1 200); do cp /tmp/a /tmp/a$i || exit 9; done");
  expect(output.exit_code).not.toBe(0);
});

test("while a command spins the server goes on, and a canceled run ends it", async () => {
  const server = createServer((_, response) => response.end("served"));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const files = new MemoryFiles();
  await files.write({ name: "begin", mediaType: "text/plain", bytes: "x" });
  const stop = new AbortController();
  const reading = new Promise<void>((begun) => {
    const read = files.read.bind(files);
    files.read = (id) => {
      begun();
      return read(id);
    };
  });
  const spinning = run(`cat /files/begin; ${SPIN}`, files, stop.signal);
  await reading;
  for (let i = 0; i < 20; i++) expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("served");
  const reason = new Error("the run was canceled");
  stop.abort(reason);
  await expect(spinning).rejects.toBe(reason);
  server.close();
});

test("a command that takes too long is ended, and its place is free again", async () => {
  const narrow = await toolsOf(null, { workspace: { ...limits, timeoutMs: 8000, concurrency: 1 } });
  const slow = use(narrow, "workspace_run", { command: SPIN }, { files: new MemoryFiles() });
  const waiting = use(narrow, "workspace_run", { command: "echo next" }, { files: new MemoryFiles() });
  expect(await slow).toMatchObject({ outcome: "error", reason: "the command did not end within 8000 ms" });
  expect(await waiting).toMatchObject({ output: { stdout: "next\n" } });
});

test("a call that waits for its place can be canceled", async () => {
  const narrow = await toolsOf(null, { workspace: { ...limits, concurrency: 1 } });
  const first = new AbortController();
  const second = new AbortController();
  const call = (command: string, signal: AbortSignal) =>
    use(narrow, "workspace_run", { command }, { files: new MemoryFiles(), signal });
  const spinning = call(SPIN, first.signal);
  const waiting = call("echo never", second.signal);
  second.abort(new Error("second"));
  await expect(waiting).rejects.toThrow("second");
  first.abort(new Error("first"));
  await expect(spinning).rejects.toThrow("first");
  expect(await call("echo third", new AbortController().signal)).toMatchObject({ output: { stdout: "third\n" } });
});

test("an operator can take it away", async () => {
  expect((await toolsOf(null, { workspace: false })).names().has("workspace_run")).toBe(false);
});
