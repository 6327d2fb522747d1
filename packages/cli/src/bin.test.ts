import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { callboard, folder, start } from "./testing/callboard.ts";
import { entry, usage } from "./testing/events.ts";
import { json, refuse, scriptedServer, stream } from "./testing/scripted-server.ts";

const thread = { id: "thread_1", state: "running", title: "Parcel\u001b[2J" };
const run = { id: "run_1", thread_id: "thread_1", state: "queued" };
const me = {
  organization: { id: "org_1", name: "Acme" },
  kind: "user",
  user: { name: "Ada", email: "ada@acme.test", role: "owner" },
  token_id: "token_1",
  scopes: ["agents:read"],
};
const agent = "agent_01h455vb4pex5vsknk084sn02q";

describe("threads create", () => {
  test("--follow prints the agent's words as one text and ends with the run", async () => {
    const server = await scriptedServer({
      "POST /agents/support/threads": json({ thread, run }, 201),
      "GET /threads/thread_1/events/stream?after_seq=0": stream([
        entry(1, "user.message", { content: [{ type: "text", text: "Where is it?" }] }),
        entry(2, "agent.message.delta", { message_id: "msg_1", text: "On its " }),
        entry(3, "agent.message.delta", { message_id: "msg_1", text: "way." }),
        entry(4, "agent.message", { message_id: "msg_1", text: "On its way.", finish_reason: "stop" }),
        entry(5, "run.completed", { result: { text: "On its way." }, usage }),
      ]),
    });
    const args = ["threads", "create", "support", "Where is it?", "--follow", "--ref", "order-17"];
    const variables = ["--var", "TONE=dry", "--var", "VIP:=true"];

    expect(await callboard(server.url, [...args, ...variables])).toEqual({
      code: 0,
      stdout: "> Where is it?\nOn its way.\nrun run_1 completed: 12 tokens in, 34 out, $0.0056\n",
      stderr: "",
    });
    expect(server.seen[0]?.headers.authorization).toBe("Bearer cbp_secret");
    expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({
      input: { type: "user.message", content: [{ type: "text", text: "Where is it?" }] },
      variables: { TONE: "dry", VIP: true },
      client_external_ref: "order-17",
    });
  });

  test("--file uploads first and attaches the file to the message", async () => {
    const server = await scriptedServer({
      "POST /agents/support/files": json({ id: "file_1" }, 201),
      "POST /agents/support/threads": json({ thread, run }, 201),
    });
    const cwd = await folder();
    await writeFile(join(cwd, "list.csv"), "a,b\n");
    const outcome = await callboard(server.url, ["threads", "create", "support", "Read it", "--file", "list.csv"], cwd);
    expect(outcome).toMatchObject({ code: 0, stdout: "thread  thread_1\nrun     run_1\nstate   queued\n" });
    expect(server.seen[0]?.body).toContain('filename="list.csv"\r\nContent-Type: text/csv\r\n\r\na,b\n\r\n');
    expect(JSON.parse(server.seen[1]?.body ?? "")).toEqual({
      input: {
        type: "user.message",
        content: [
          { type: "text", text: "Read it" },
          { type: "file", file_id: "file_1" },
        ],
      },
      files: ["file_1"],
    });
  });

  test("a run that fails makes exit code 3, and --json prints one event per line", async () => {
    const failed = entry(2, "run.failed", { error: { code: "timeout", message: "too slow", retryable: true }, usage });
    const events = [entry(1, "run.started", { attempt: 1 }), failed];
    const server = await scriptedServer({
      "POST /agents/support/threads": json({ thread, run }, 201),
      "GET /threads/thread_1/events/stream?after_seq=0": stream(events),
    });
    const outcome = await callboard(server.url, ["threads", "create", "support", "hi", "--follow", "--json"]);
    expect(outcome).toEqual({
      code: 3,
      stdout: events.map((event) => `${JSON.stringify(event)}\n`).join(""),
      stderr: "",
    });
  });
});

describe("answers", () => {
  test("are fields or JSON", async () => {
    const server = await scriptedServer({ "GET /me": json(me) });
    const forPeople = await callboard(server.url, ["me"]);
    expect(forPeople.stdout).toContain("email            ada@acme.test\n");
    const forPrograms = await callboard(server.url, ["--json", "me"]);
    expect(forPrograms).toEqual({ code: 0, stdout: `${JSON.stringify(me)}\n`, stderr: "" });
  });

  test("in a list are a table without control characters, and the next page is named", async () => {
    const row = { ...thread, client_external_ref: null, updated_at: "2026-01-31T09:30:00.000Z" };
    const server = await scriptedServer({
      "GET /agents/support/threads?limit=1": json({ data: [row], next_cursor: "c1" }),
    });
    const outcome = await callboard(server.url, ["threads", "list", "support", "--limit", "1"]);
    expect(outcome.stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
      ["id", "state", "title", "client_external_ref", "updated_at"],
      ["thread_1", "running", "Parcel[2J", "-", "2026-01-31T09:30:00.000Z"],
      [""],
    ]);
    expect(outcome.stderr).toBe("there are more: --limit all, or --cursor c1\n");
  });
});

describe("permissions", () => {
  const permission = {
    id: "perm_1",
    state: "pending",
    tool: "refund",
    input: { amount: 5 },
    agent_name: "Desk\u001b[2J",
    requested_by: { kind: "user", id: "user_1", email: "ada@acme.test" },
    expires_at: "2030-01-01T00:00:00.000Z",
  };

  test("list prints what is to be decided", async () => {
    const server = await scriptedServer({
      "GET /permissions?state=pending&agent_id=desk": json({ data: [permission], next_cursor: null }),
    });
    const { stdout } = await callboard(server.url, ["permissions", "list", "--agent", "desk", "--wait", "5"]);
    expect(stdout.split("\n")[1]).toBe(
      'perm_1  refund  {"amount":5}  Desk[2J     ada@acme.test  pending  2030-01-01T00:00:00.000Z',
    );
    expect(server.seen[0]?.headers.prefer).toBe("wait=5");
  });

  test("approve and deny decide, and say what the server says", async () => {
    const server = await scriptedServer({
      "POST /permissions/perm_1/decision": json({ ...permission, state: "allowed" }),
      "POST /permissions/perm_2/decision": refuse(409, "permission_decided", "decided already"),
    });
    const decide = (...args: string[]) => callboard(server.url, ["permissions", ...args]);
    expect((await decide("approve", "perm_1")).stdout).toContain("allowed");
    await decide("approve", "perm_1", "--for-thread");
    expect(await decide("deny", "perm_2", "--message", "not now")).toMatchObject({ code: 1 });
    expect(server.seen.map(({ body }) => JSON.parse(body))).toEqual([
      { decision: "allow_once" },
      { decision: "allow_for_thread" },
      { decision: "deny", message: "not now" },
    ]);
  });
});

describe("endpoints and jobs", () => {
  const accepted = { job_id: "job_1", state: "queued", status: null };
  const job = { ...accepted, state: "completed", result: { category: "bug" } };
  const error = { code: "model_rejected", message: "no\u001b[2J", retryable: false, status: 502 };
  const at = "2026-01-31T09:30:00.000Z";
  const event = (seq: number, type: string, data: unknown) => ({ seq, job_id: "job_1", type, data, created_at: at });

  test("endpoints list prints the project's own routes", async () => {
    const close = { operationId: "endpoints.tickets/[id]", summary: "Close a ticket.", responses: {} };
    const server = await scriptedServer({
      "GET /openapi.json": json({
        paths: { "/endpoints/tickets/{id}": { post: close }, "/api/v1/me": { get: { operationId: "me.get" } } },
      }),
    });
    expect((await callboard(server.url, ["endpoints", "list", "--json"])).stdout).toBe(
      '{"method":"POST","path":"/endpoints/tickets/{id}","summary":"Close a ticket."}\n',
    );
  });

  test("endpoints call prints the answer, and waits for that of a job", async () => {
    const server = await scriptedServer({
      "POST /endpoints/triage": json({ category: "bug" }),
      "GET /endpoints/tickets?limit=3": json([1]),
      "POST /endpoints/later": json(accepted, 202),
      "GET /jobs/job_1": json(job),
    });
    const call = (...args: string[]) => callboard(server.url, ["endpoints", "call", ...args]);
    expect(await call("triage", '{"ticket":"E-17"}')).toEqual({
      code: 0,
      stdout: '{\n  "category": "bug"\n}\n',
      stderr: "",
    });
    expect(server.seen[0]?.body).toBe('{"ticket":"E-17"}');
    expect((await call("tickets", '{"limit":3}', "--method", "GET", "--json")).stdout).toBe("[1]\n");
    expect((await call("later", "{}", "--json")).stdout).toBe('{"category":"bug"}\n');
    expect((await call("/endpoints/triage", "{}", "--json")).stdout).toBe('{"category":"bug"}\n');
    const wrong = await call("triage", "{ticket");
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/^callboard: expected JSON; found {ticket \(/),
    ]);
  });

  test("jobs get, wait and cancel print the job; a job that failed makes exit code 3", async () => {
    const server = await scriptedServer({
      "GET /jobs/job_1": json({ ...accepted, state: "failed", error }),
      "DELETE /jobs/job_1": json({ ...accepted, state: "canceled" }),
    });
    const run = (verb: string) => callboard(server.url, ["jobs", verb, "job_1", "--json"]);
    expect(await run("get")).toMatchObject({ code: 0, stdout: expect.stringContaining('"state":"failed"') });
    expect(await run("wait")).toMatchObject({ code: 3, stdout: expect.stringContaining("model_rejected") });
    expect(await run("cancel")).toMatchObject({ code: 0, stdout: expect.stringContaining('"state":"canceled"') });
  });

  test("jobs follow prints a line for each event and ends with the job", async () => {
    const server = await scriptedServer({
      "GET /jobs/job_1/stream?after_seq=0": stream([
        event(1, "job.started", { attempt: 1 }),
        event(2, "job.status", { text: "reading", progress: 0.25 }),
        event(3, "job.status", { text: "asking" }),
        event(4, "job.failed", { error }),
      ]),
      "GET /jobs/job_1/stream?after_seq=3": stream([event(4, "job.completed", { result: { category: "bug" } })]),
    });
    expect(await callboard(server.url, ["jobs", "follow", "job_1"])).toEqual({
      code: 3,
      stdout: "started\n 25 %  reading\nasking\nfailed: model_rejected: no[2J\n",
      stderr: "",
    });
    const rest = await callboard(server.url, ["jobs", "follow", "job_1", "--after-seq", "3"]);
    expect(rest).toMatchObject({ code: 0, stdout: '{\n  "category": "bug"\n}\n' });
  });
});

test("tokens create finds agents by slug and prints the secret", async () => {
  const created = { token: { id: "token_2", label: "ci" }, secret: "cbs_new" };
  const server = await scriptedServer({
    "GET /agents/support": json({ id: agent }),
    "POST /tokens": json(created, 201),
  });
  const args = ["tokens", "create", "--kind", "service", "--label", "ci", "--scope", "threads:read", "--scope"];
  const more = ["threads:write", "--agent", "support", "--expires-in-days", "never"];
  const outcome = await callboard(server.url, [...args, ...more]);
  expect(outcome).toMatchObject({ code: 0, stdout: "id      token_2\nlabel   ci\nsecret  cbs_new\n" });
  expect(JSON.parse(server.seen.at(-1)?.body ?? "")).toEqual({
    kind: "service",
    label: "ci",
    scopes: ["threads:read", "threads:write"],
    agent_ids: [agent],
    expires_in_days: null,
  });
});

test("usage prints one line a model, and budgets create says whom it counts", async () => {
  const row = { key: "openai/gpt-5", runs: 1, calls: 2, input_tokens: 3, output_tokens: 4, cost_micros: 5 };
  const subject = { kind: "each_user" };
  const budget = { id: "budget_1", subject, period: "day", limit_micros: null, limit_tokens: 9 };
  const server = await scriptedServer({
    "GET /usage?group_by=model": json({ data: [row] }),
    "POST /budgets": json(budget, 201),
  });
  const usage = await callboard(server.url, ["usage", "--by", "model"]);
  expect(usage.code).toBe(0);
  expect(usage.stdout).toContain("openai/gpt-5");
  const args = ["budgets", "create", "--each-user", "--period", "day", "--tokens", "9"];
  expect((await callboard(server.url, args)).code).toBe(0);
  expect(JSON.parse(server.seen.at(-1)?.body ?? "")).toEqual({
    subject: { kind: "each_user" },
    period: "day",
    limit_tokens: 9,
  });
});

describe("files download", () => {
  const answers = {
    "GET /files/file_1": json({ id: "file_1", name: "report.txt" }),
    "GET /files/file_1/content": ((response) => void response.end("whole\n")) as ReturnType<typeof json>,
  };

  test("writes the file under its own name, and never over another", async () => {
    const server = await scriptedServer(answers);
    const cwd = await folder();
    expect(await callboard(server.url, ["files", "download", "file_1"], cwd)).toMatchObject({ code: 0 });
    expect(await readFile(join(cwd, "report.txt"), "utf8")).toBe("whole\n");
    expect(await callboard(server.url, ["files", "download", "file_1"], cwd)).toEqual({
      code: 2,
      stdout: "",
      stderr: "callboard: report.txt exists already; give another --output\n",
    });
  });

  test("--output - writes to standard output", async () => {
    const server = await scriptedServer(answers);
    const outcome = await callboard(server.url, ["files", "download", "file_1", "--output", "-"]);
    expect(outcome).toEqual({ code: 0, stdout: "whole\n", stderr: "" });
  });
});

describe("what goes wrong", () => {
  test("at the server is one line with code, message and request id, and exit code 1", async () => {
    const fields = [{ path: "input.text", message: "expected text" }];
    const server = await scriptedServer({
      "POST /threads/thread_1/events": refuse(422, "invalid_request", "the body\nis wrong", { fields }),
    });
    expect(await callboard(server.url, ["events", "send", "thread_1", "hi"])).toEqual({
      code: 1,
      stdout: "",
      stderr: "callboard: invalid_request: the body is wrong; input.text: expected text (request req_1)\n",
    });
  });

  test("is JSON with --json, as the API says it", async () => {
    const fields = [{ path: "input.text", message: "expected text" }];
    const server = await scriptedServer({
      "POST /threads/thread_1/events": refuse(422, "invalid_request", "the body is wrong", { fields }),
    });
    const told = async (url: string, args: string[]) => JSON.parse((await callboard(url, [...args, "--json"])).stderr);
    expect(await told(server.url, ["events", "send", "thread_1", "hi"])).toEqual({
      error: { code: "invalid_request", message: "the body is wrong", request_id: "req_1", details: { fields } },
    });
    expect(await told("http://127.0.0.1:2", ["me"])).toMatchObject({ error: { code: "no_answer" } });
    expect(await told(server.url, ["threads", "delete", "thread_1"])).toMatchObject({ error: { code: "usage" } });
  });

  test("on the way to the server says what the system said", async () => {
    const outcome = await callboard("http://127.0.0.1:2", ["agents", "publish", "support"]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe(
      "callboard: no answer from http://127.0.0.1:2: connect ECONNREFUSED 127.0.0.1:2; is a server running there?\n",
    );
  });

  test("with a port that fetch refuses says so", async () => {
    const outcome = await callboard("http://127.0.0.1:4190", ["me"]);
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("fetch refuses this port") });
  });

  test.each([
    ["an unknown command", ["bogus"], "unknown command 'bogus'"],
    ["a wrong choice", ["permissions", "list", "--state", "maybe"], "pending, allowed, denied, expired"],
    ["something else than an id", ["threads", "get", "support"], "Expected the id of a thread, like thread_01"],
    ["a deletion that nobody can confirm", ["threads", "delete", "thread_1"], "expected --yes"],
    ["a secret in an argument", ["models", "create", "m", "--kind", "openai", "--key", "sk-1"], "too many arguments"],
    ["an option without its path", ["me", "--token-file", "nowhere"], "--token-file cannot be read"],
    ["a missing argument", ["threads", "get"], "missing required argument 'thread'"],
    ["--follow without a text", ["threads", "create", "support", "--follow"], "expected a text with --follow"],
    ["a file that is not there", ["files", "upload", "gone.txt", "--agent", "a"], "found nothing at gone.txt"],
    ["admin init without a database", ["admin", "init", "--email", "a@b.c", "--organization", "A"], "DATABASE_URL"],
  ])("in the command line is exit code 2: %s", async (_, args, message) => {
    const outcome = await callboard("http://127.0.0.1:1", args);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toContain(message);
  });
});

test("Ctrl-C ends events follow without a word", async () => {
  const server = await scriptedServer({
    "GET /threads/thread_1/events/stream?after_seq=3": stream([entry(4, "run.started", { attempt: 1 })]),
  });
  const env = { CALLBOARD_URL: server.url, CALLBOARD_TOKEN: "cbp_secret" };
  const following = start(["events", "follow", "thread_1", "--after-seq", "3"], env, await folder());
  await following.stdoutHas("run run_1 started\n");
  following.child.kill("SIGINT");
  expect(await following.outcome).toEqual({ code: 130, stdout: "run run_1 started\n", stderr: "" });
});

test("Ctrl-C ends the waiting for an endpoint's job, and cancels the job", async () => {
  const asked = Promise.withResolvers<void>();
  const server = await scriptedServer({
    "POST /endpoints/later": json({ job_id: "job_1", state: "queued", status: null }, 202),
    "GET /jobs/job_1": () => asked.resolve(),
    "DELETE /jobs/job_1": json({ job_id: "job_1", state: "canceled" }),
  });
  const env = { CALLBOARD_URL: server.url, CALLBOARD_TOKEN: "cbp_secret" };
  const calling = start(["endpoints", "call", "later", "{}"], env, await folder());
  await asked.promise;
  calling.child.kill("SIGINT");
  expect(await calling.outcome).toEqual({ code: 130, stdout: "", stderr: "" });
  expect(server.seen.at(-1)?.route).toBe("DELETE /jobs/job_1");
});

test("a reader that has enough ends events follow", async () => {
  const server = await scriptedServer({
    "GET /threads/thread_1/events/stream?after_seq=0": (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let seq = 0;
      const send = () => {
        seq++;
        const event = entry(seq, "run.started", { attempt: seq });
        response.write(`id: ${seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      };
      send();
      const timer = setInterval(send, 50);
      response.on("close", () => clearInterval(timer));
    },
  });
  const env = { CALLBOARD_URL: server.url, CALLBOARD_TOKEN: "cbp_secret" };
  const following = start(["events", "follow", "thread_1"], env, await folder());
  await following.stdoutHas("run run_1 started\n");
  following.child.stdout?.destroy();
  expect(await following.outcome).toMatchObject({ code: 0, stderr: "" });
});

test("without flags and environment, a local server's credentials are used", async () => {
  const server = await scriptedServer({ "GET /me": json(me) });
  const cwd = await folder();
  await mkdir(join(cwd, ".callboard"));
  const credentials = JSON.stringify({ base_url: server.url, token: "cbp_local" });
  await writeFile(join(cwd, ".callboard/credentials.json"), credentials);
  expect(await start(["me"], {}, cwd).outcome).toMatchObject({ code: 0 });
  expect(server.seen[0]?.headers.authorization).toBe("Bearer cbp_local");
});

test("an old Node is told what to do", async () => {
  const pretend = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.2' } })";
  const nodeArgs = ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`];
  const outcome = await start(["--help"], {}, await folder(), nodeArgs).outcome;
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toContain("needs Node 24.11 or later; this is Node 20.19.2");
});
