/** Whatever a model does, its run ends with a code of its own, and the process goes on. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { problemsOf } from "./harness/log.ts";
import { type Reply, type Script, WORK_ANSWER, work } from "./harness/model.ts";

const FLOOD_BYTES = 100 * 1024 * 1024;

/** What the model does, and the code its run must end with. */
const faults: Record<string, { script: Script; code: string }> = {
  "hangs before its answer": { code: "model_timeout", script: () => {} },
  "hangs in the middle": {
    code: "model_timeout",
    script: (_, reply) => {
      reply.head();
      reply.chunk({ content: "So far" });
    },
  },
  "sends garbage": {
    code: "model_bad_response",
    script: (_, reply) => {
      reply.head();
      reply.response.end("data: <html>not JSON</html>\n\n");
    },
  },
  "sends bytes that are no HTTP": {
    code: "model_bad_response",
    script: (_, reply) => {
      reply.response.socket?.end(Buffer.from([0, 255, 13, 10, 13, 10, 7, 7, 7]));
    },
  },
  "cuts the stream": {
    code: "model_stream_cut",
    script: (_, reply) => {
      reply.head();
      reply.chunk({ content: "Half of" });
      setTimeout(() => reply.response.destroy(), 20);
    },
  },
  "ends without a last word": {
    code: "model_stream_cut",
    script: (_, reply) => {
      reply.head();
      reply.chunk({ content: "Half of" });
      reply.response.end();
    },
  },
  "sends 100 MB": {
    code: "model_output_too_large",
    script: async (_, reply) => {
      reply.head();
      const word = "flood ".repeat(4096);
      for (let sent = 0; sent < FLOOD_BYTES && !reply.isCut; sent += word.length) {
        if (!reply.raw(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: word } }] })}\n\n`)) {
          await drained(reply);
        }
      }
    },
  },
  "sends 100 MB of tool arguments": {
    code: "model_output_too_large",
    script: async (_, reply) => {
      reply.head();
      const piece = "x".repeat(65_536);
      for (let sent = 0; sent < FLOOD_BYTES && !reply.isCut; sent += piece.length) {
        reply.chunk({ tool_calls: [{ index: 0, id: "flood", function: { name: "look", arguments: piece } }] });
        await new Promise(setImmediate);
      }
    },
  },
  "calls a tool that does not exist": {
    code: "tool_loop",
    script: (_, reply) => reply.calls([{ tool: "launch", input: {} }]),
  },
  "calls with invalid arguments": {
    code: "tool_loop",
    script: (_, reply) => reply.calls([{ tool: "look", input: { key: 7 } }]),
  },
  "calls with arguments that are not JSON": {
    code: "tool_loop",
    script: (_, reply) => reply.calls([{ tool: "look", input: '{"key": "a' }]),
  },
  "calls with characters that no database stores": {
    code: "tool_loop",
    script: (_, reply) => reply.calls([{ tool: "l\u0000ok", input: '{"\\u0000": "\\ud800"}' }]),
  },
  "refuses the key": {
    code: "model_unauthorized",
    script: (_, reply) => void reply.response.writeHead(401).end("no"),
  },
  "refuses the request": {
    code: "model_rejected",
    script: (_, reply) => void reply.response.writeHead(400).end("no"),
  },
  "fails every time": {
    code: "model_unavailable",
    script: (_, reply) => void reply.response.writeHead(500).end("no"),
  },
};

/** Until the client takes bytes again, or is gone. */
function drained({ response }: Reply): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

const slugs = Object.keys(faults).map((what) => what.toLowerCase().replaceAll(" ", "-"));
let fleet: Fleet;

beforeAll(async () => {
  const scripts = Object.fromEntries(Object.values(faults).map(({ script }, i) => [slugs[i] as string, script]));
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({
    count: 1,
    scripts: { ...scripts, work },
    agents: { ...Object.fromEntries(slugs.map((slug) => [slug, { tools }])), work: { tools } },
    env: { CALLBOARD_MODEL_IDLE_MS: "4000" },
  });
});
afterAll(() => fleet?.end());

describe.concurrent("the run of a model that", () => {
  test.each(Object.keys(faults).map((what, i) => [what, slugs[i] as string]))("%s", async (what, slug) => {
    const { threadId, runId } = await fleet.startRun(slug);
    const [run] = await fleet.api.ended([runId]);
    expect(run?.error?.code).toBe(faults[what]?.code);
    expect(problemsOf((await fleet.api.log(threadId)).events)).toEqual([]);
  });
});

test("after all that the process works on as before", async () => {
  const server = fleet.server(0);
  const { runId } = await fleet.startRun("work");
  expect((await fleet.api.ended([runId]))[0]?.result?.text).toBe(WORK_ANSWER);
  expect(server.isRunning).toBe(true);
  expect(server.output).not.toContain("a run failed inside the server");
});
