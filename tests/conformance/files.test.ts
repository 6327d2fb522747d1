/** T7: files are uploaded, attached, written by tools, listed, downloaded and removed. */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import { ended, logOf, message, open, openEmpty, typesOf } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(({ lastUser }) => say(`read: ${lastUser}`));
});
afterAll(() => target.stop());

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const base64 = (text: string) => Buffer.from(text).toString("base64");
const withFile = (file_id: string) => ({
  type: "user.message",
  content: [
    { type: "text", text: "see" },
    { type: "file", file_id },
  ],
});

describe("upload and download", () => {
  test("a streamed file of 20 MB comes back byte for byte", async () => {
    const { client } = target;
    const { path, thread } = await openEmpty(client, agent);
    const bytes = randomBytes(20 * 1024 * 1024);
    const file = ok(await client.upload(`${path}/files`, { name: "big.bin", bytes }), 201);
    expect(file).toMatchObject({
      thread_id: thread.id,
      kind: "attachment",
      name: "big.bin",
      media_type: "application/octet-stream",
      size_bytes: bytes.length,
      sha256: sha256(bytes),
      run_id: null,
    });
    const download = await client.bytes(`/files/${file.id}/content`);
    expect(download.status).toBe(200);
    expect(sha256(download.bytes)).toBe(file.sha256);
  });

  test("a small one may come as base64, also an empty one", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    for (const text of ["", "héllo\u0000"]) {
      const body = { name: "a.txt", media_type: "text/plain", content_base64: base64(text) };
      const file = ok(await client.post(`${path}/files`, body), 201);
      expect(file).toMatchObject({ media_type: "text/plain", size_bytes: Buffer.byteLength(text) });
      expect((await client.bytes(`/files/${file.id}/content`)).bytes.toString()).toBe(text);
    }
  });

  test("a download is data: never a page, never sniffed, with its name", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const name = 'a "b" é 日.html';
    const html = { name, type: "text/html", bytes: "<script>alert(1)</script>" };
    const file = ok(await client.upload(`${path}/files`, html), 201);
    expect(file.name).toBe(name);
    const { headers } = await client.bytes(`/files/${file.id}/content`);
    expect(headers.get("content-disposition")).toBe(`attachment; filename*=UTF-8''${encodeURIComponent(name)}`);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("sandbox");
    expect(headers.get("content-type")).toBe("text/html");
  });

  test("an upload to a thread is in its log and in its list", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const made = [];
    for (const name of ["a.txt", "b.txt", "c.txt"]) {
      made.unshift(ok(await client.upload(`${path}/files`, { name, bytes: name }), 201));
    }
    const first = ok(await client.get(`${path}/files`, { query: { limit: 2 } }));
    const rest = ok(await client.get(`${path}/files`, { query: { limit: 2, cursor: first.next_cursor } }));
    expect([...first.data, ...rest.data]).toEqual(made);
    expect(rest.next_cursor).toBeNull();
    expect(ok(await client.get(`/files/${made[0].id}`))).toEqual(made[0]);
    expect((await logOf(client, path)).map(({ data }) => data)).toEqual(made.toReversed().map((file) => ({ file })));
  });
});

describe("attach", () => {
  test("a file uploaded before a thread exists becomes part of the new thread", async () => {
    const { client } = target;
    const early = ok(
      await client.upload(`${agent.path}/files`, { name: "early.txt", type: "text/plain", bytes: "early words" }),
      201,
    );
    expect(early.thread_id).toBeNull();
    ok(await client.get(`/files/${early.id}`));
    const { run, path, thread } = await open(client, agent, "here", { files: [early.id] });
    await ended(client, run);
    expect(ok(await client.get(`/files/${early.id}`)).thread_id).toBe(thread.id);
    expect(typesOf(await logOf(client, path))[0]).toBe("file.added");
    expect(ok(await client.get(`${path}/files`)).data).toHaveLength(1);
  });

  test("a message names a file, and the model reads it", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const file = ok(
      await client.upload(`${path}/files`, { name: "n.txt", type: "text/plain", bytes: "the words inside" }),
      201,
    );
    const { run } = ok(await client.post(`${path}/events`, withFile(file.id))).events[0];
    await ended(client, run);
    expect(JSON.stringify(agent.calls().at(-1)?.messages)).toContain("the words inside");
    expect((await logOf(client, path)).filter(({ type }) => type === "file.added")).toHaveLength(1);
  });

  test("a message may bring an early file along, at the start and later", async () => {
    const { client } = target;
    const upload = () => client.upload(`${agent.path}/files`, { name: "e.txt", type: "text/plain", bytes: "e" });
    const [one, two] = [ok(await upload(), 201), ok(await upload(), 201)];
    const { thread, run } = ok(await client.post(`${agent.path}/threads`, { input: withFile(one.id) }), 201);
    await ended(client, run);
    const sent = ok(await client.post(`/threads/${thread.id}/events`, withFile(two.id))).events[0];
    await ended(client, sent.run);
    const log = await logOf(client, `/threads/${thread.id}`);
    expect(log.filter(({ type }) => type === "file.added")).toHaveLength(2);
    for (const { id } of [one, two]) expect(ok(await client.get(`/files/${id}`)).thread_id).toBe(thread.id);
  });

  test("a file is attached once: not to a second thread, not to another agent's", async () => {
    const { client } = target;
    const upload = async () => ok(await client.upload(`${agent.path}/files`, { name: "e.txt", bytes: "e" }), 201);
    const file = await upload();
    await openEmpty(client, agent, { files: [file.id] });
    const again = await client.post(`${agent.path}/threads`, { files: [file.id] });
    expect(refusal(again)).toBe("422 file_not_attachable");
    const elsewhere = await openEmpty(client, agent);
    expect(refusal(await client.post(`${elsewhere.path}/events`, withFile(file.id)))).toBe("422 file_not_attachable");
    const other = await target.agent(() => say("."));
    const fresh = await upload();
    expect(refusal(await client.post(`${other.path}/threads`, { files: [fresh.id] }))).toBe("422 file_not_attachable");
  });

  test("of many threads that ask for one file at once, one gets it", async () => {
    const { client } = target;
    const file = ok(await client.upload(`${agent.path}/files`, { name: "e.txt", bytes: "e" }), 201);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => client.post(`${agent.path}/threads`, { files: [file.id] })),
    );
    expect(answers.map(refusal).toSorted()).toEqual(["201 accepted", ...Array(5).fill("422 file_not_attachable")]);
  });
});

describe("tools", () => {
  const tools = [{ name: "list_files" }, { name: "read_file" }, { name: "write_file" }];

  test("what an agent writes is an artifact of its run", async () => {
    const { client } = target;
    const own = await target.agent(
      ({ index }) =>
        index === 0
          ? callTool("write_file", { name: "report.md", content: "# Report", media_type: "text/markdown" })
          : say("done"),
      { tools },
    );
    const { path, run } = await open(client, own, "go");
    await ended(client, run);
    const [file] = ok(await client.get(`${path}/files`, { query: { kind: "artifact" } })).data;
    expect(file).toMatchObject({ kind: "artifact", name: "report.md", media_type: "text/markdown", run_id: run.id });
    expect((await client.bytes(`/files/${file.id}/content`)).bytes.toString()).toBe("# Report");
    expect((await logOf(client, path)).find(({ type }) => type === "file.added")).toMatchObject({ run_id: run.id });
    expect(ok(await client.get(`${path}/files`, { query: { kind: "attachment" } })).data).toEqual([]);
  });

  test("an agent reads its thread's files, and no other thread's", async () => {
    const { client } = target;
    const own = await target.agent(
      ({ index, lastUser, toolResults }) =>
        index % 2 === 0 ? callTool("read_file", { file_id: lastUser }) : say(`${toolResults[0]}`),
      { tools },
    );
    const { path } = await openEmpty(client, own);
    const other = await openEmpty(client, own);
    const mine = ok(await client.upload(`${path}/files`, { name: "m.txt", bytes: "my words" }), 201);
    const theirs = ok(await client.upload(`${other.path}/files`, { name: "t.txt", bytes: "hidden words" }), 201);
    const ask = async (id: string) => {
      const { run } = ok(await client.post(`${path}/events`, message(id))).events[0];
      return (await ended(client, run)).result.text;
    };
    expect(await ask(mine.id)).toContain("my words");
    expect(await ask(theirs.id)).not.toContain("hidden words");
  });

  test.each(["../../etc/passwd", "a/b", "a\u0000b", ""])("a name like %j writes nothing", async (name) => {
    const { client } = target;
    const own = await target.agent(
      ({ index, toolResults }) =>
        index === 0 ? callTool("write_file", { name, content: "x" }) : say(`${toolResults[0]}`),
      { tools },
    );
    const { path, run } = await open(client, own, "go");
    const { state } = await ended(client, run);
    expect(state).toBe("completed");
    const names = ok(await client.get(`${path}/files`)).data.map((file: { name: string }) => file.name);
    for (const one of names) expect(one).not.toMatch(/[/\\]|\.\./);
  });
});

describe("remove", () => {
  test("a removed file is gone, and the log says so", async () => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    const file = ok(await client.upload(`${path}/files`, { name: "a.txt", bytes: "a" }), 201);
    expect((await client.delete(`/files/${file.id}`)).status).toBe(204);
    expect(refusal(await client.get(`/files/${file.id}`))).toBe("404 not_found");
    expect(refusal(await client.get(`/files/${file.id}/content`))).toBe("404 not_found");
    expect(refusal(await client.delete(`/files/${file.id}`))).toBe("404 not_found");
    expect((await logOf(client, path)).at(-1)).toMatchObject({ type: "file.removed", data: { file_id: file.id } });
    expect(ok(await client.get(`${path}/files`)).data).toEqual([]);
  });

  test("a file that an earlier message named may be removed; the thread goes on", async () => {
    const { client } = target;
    const own = await target.agent(() => say("ok"));
    const { path } = await openEmpty(client, own);
    const file = ok(
      await client.upload(`${path}/files`, { name: "a.txt", type: "text/plain", bytes: "gone words" }),
      201,
    );
    await ended(client, ok(await client.post(`${path}/events`, withFile(file.id))).events[0].run);
    expect((await client.delete(`/files/${file.id}`)).status).toBe(204);
    const next = ok(await client.post(`${path}/events`, message("and now?"))).events[0].run;
    expect((await ended(client, next)).state).toBe("completed");
    expect(JSON.stringify(own.calls().at(-1)?.messages)).not.toContain("gone words");
  });
});

describe("refused", () => {
  test.each([
    ["a name with a slash", { name: "a/b", content_base64: "" }, "name"],
    ["a name with a line break", { name: "a\nb", content_base64: "" }, "name"],
    ["no name", { name: "", content_base64: "" }, "name"],
    ["a long name", { name: "a".repeat(256), content_base64: "" }, "name"],
    ["what is no base64", { name: "a", content_base64: "%%%" }, "content_base64"],
    ["no content", { name: "a" }, "content_base64"],
    ["a media type that is none", { name: "a", media_type: "text", content_base64: "" }, "media_type"],
  ])("%s", async (_what, body, field) => {
    const { path } = await openEmpty(target.client, agent);
    const answer = await target.client.post(`${path}/files`, body);
    expect(refusal(answer)).toBe("422 invalid_request");
    expect(answer.body.error.details.fields[0].path).toBe(field);
    expect(await logOf(target.client, path)).toEqual([]);
  });

  const boundary = "----b";
  const type = { "content-type": `multipart/form-data; boundary=${boundary}` };
  const part = (disposition: string, text = "x") =>
    `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\nContent-Type: text/plain\r\n\r\n${text}\r\n`;
  const end = `--${boundary}--\r\n`;
  const file = 'name="file"; filename="a.txt"';

  test.each([
    ["another field's name", part('name="upload"; filename="a.txt"') + end, type, "422 invalid_request"],
    ["a field that is no file", part('name="file"') + end, type, "422 invalid_request"],
    ["a field beside the file", part('name="title"') + part(file) + end, type, "422 invalid_request"],
    ["a field after the file", part(file) + part('name="title"') + end, type, "422 invalid_request"],
    ["two files", part(file) + part(file) + end, type, "422 invalid_request"],
    ["no part", end, type, "422 invalid_request"],
    ["no boundary", part(file) + end, { "content-type": "multipart/form-data" }, "400 bad_request"],
    ["a body that breaks off", part(file), type, "400 bad_request"],
    ["an empty body", "", type, "400 bad_request"],
    ["what is not multipart", "hello", type, "400 bad_request"],
    ["a name with NUL", part('name="file"; filename="a\u0000.txt"') + end, type, "400 bad_request"],
    ["no name", part('name="file"; filename=""') + end, type, "422 invalid_request"],
  ])("multipart: %s", async (_what, body, headers, expected) => {
    const { client } = target;
    const { path } = await openEmpty(client, agent);
    expect(refusal(await client.send("POST", `${path}/files`, { body, headers }))).toBe(expected);
    expect(ok(await client.get(`${path}/files`)).data).toEqual([]);
    expect(await logOf(client, path)).toEqual([]);
  });
});
