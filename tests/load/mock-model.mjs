// Deterministic mock model server. Plain node:http, no dependencies.
// Speaks OpenAI chat-completions and OpenAI Responses, streamed and not.
// Behaviour is taken from the MODEL NAME of each request, so one process serves every scenario:
//   mock-t20          20 output tokens            (default 20)
//   mock-t20-k3       3 rounds of one tool call each, then 20 tokens of text
//   mock-t500-d5      5 ms between tokens         (default 0)
//   mock-t20-f100     100 ms before the first byte (default 0)
//   mock-t500-p1      one write per token, each in its own turn of the event loop
//                     (default p0: everything that is due is written at once)
import http from "node:http";

const port = Number(process.env.PORT ?? 4010);
const stats = { chat: 0, chatStream: 0, responses: 0, responsesStream: 0, toolCalls: 0, tokens: 0, aborted: 0 };
const WORD = "lorem "; // one "token"; clients may count it
const cache = new Map();
let seq = 0; // answers get ids in order: peers that merge messages by id need them distinct

function parse(model) {
  let c = cache.get(model);
  if (c) return c;
  c = { model, t: 20, k: 0, d: 0, f: 0, p: 0 };
  for (const m of String(model).matchAll(/-([tkdfp])(\d+)/g)) c[m[1]] = Number(m[2]);
  const sse = (o) => `data: ${JSON.stringify(o)}\n\n`;
  const base = { id: "@@ID@@", object: "chat.completion.chunk", created: 1700000000, model };
  c.usage = { prompt_tokens: 10, completion_tokens: c.t, total_tokens: 10 + c.t };
  c.text = WORD.repeat(c.t);
  c.chatHead = sse({
    ...base,
    choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }],
  });
  c.chatTok = sse({ ...base, choices: [{ index: 0, delta: { content: WORD }, finish_reason: null }] });
  c.chatEnd = sse({ ...base, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  c.chatUsage = sse({ ...base, choices: [], usage: c.usage });
  c.chatDone = "data: [DONE]\n\n";
  const ev = (o) => `event: ${o.type}\ndata: ${JSON.stringify(o)}\n\n`;
  c.ev = ev;
  c.respTok = (n, mid) =>
    ev({
      type: "response.output_text.delta",
      sequence_number: n,
      item_id: mid,
      output_index: 0,
      content_index: 0,
      delta: WORD,
      logprobs: [],
    });
  cache.set(model, c);
  return c;
}

// tool results since the last user message decide the round
function roundsChat(msgs) {
  let n = 0;
  for (let i = msgs.length - 1; i >= 0; i--) {
    if (msgs[i].role === "tool") n++;
    else if (msgs[i].role === "user") break;
  }
  return n;
}
function roundsResp(items) {
  if (!Array.isArray(items)) return 0;
  let n = 0;
  for (let i = items.length - 1; i >= 0; i--) {
    if (items[i].type === "function_call_output") n++;
    else if (items[i].role === "user") break;
  }
  return n;
}

// writes n pieces with the configured pacing, then calls done()
function pump(res, c, n, piece, done) {
  stats.tokens += n;
  if (!c.d && !c.p) {
    let s = "";
    for (let i = 0; i < n; i++) s += piece(i);
    res.write(s);
    return done();
  }
  let i = 0;
  if (c.d) {
    tickers(c.d, (stop) => {
      if (res.destroyed) return stop();
      res.write(piece(i++));
      if (i >= n) {
        stop();
        done();
      }
    });
    return;
  }
  const step = () => {
    if (res.destroyed) return;
    res.write(piece(i++));
    if (i < n) setImmediate(step);
    else done();
  };
  step();
}
const wheels = new Map(); // one timer for each delay, shared by all streams
function tickers(d, fn) {
  let w = wheels.get(d);
  if (!w) {
    w = { set: new Set() };
    w.timer = setInterval(() => {
      for (const f of w.set) f();
      if (!w.set.size) {
        clearInterval(w.timer);
        wheels.delete(d);
      }
    }, d);
    wheels.set(d, w);
  }
  const f = () => fn(() => w.set.delete(f));
  w.set.add(f);
}

function chat(b, res, c) {
  const tools = b.tools ?? [];
  const callTool = c.k > 0 && tools.length && roundsChat(b.messages ?? []) < c.k;
  const round = callTool ? roundsChat(b.messages) : 0;
  const name = callTool ? (tools[0].function?.name ?? tools[0].name) : "";
  if (callTool) stats.toolCalls++;
  const call = { id: `call_mock_${seq}_${round}`, type: "function", function: { name, arguments: '{"q":"mock"}' } };
  if (!b.stream) {
    stats.chat++;
    stats.tokens += callTool ? 0 : c.t;
    const message = callTool
      ? { role: "assistant", content: null, tool_calls: [call] }
      : { role: "assistant", content: c.text };
    const body = JSON.stringify({
      id: `chatcmpl-mock-${++seq}`,
      object: "chat.completion",
      created: 1700000000,
      model: c.model,
      choices: [{ index: 0, message, finish_reason: callTool ? "tool_calls" : "stop" }],
      usage: c.usage,
    });
    res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    return res.end(body);
  }
  stats.chatStream++;
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const id = `chatcmpl-mock-${++seq}`,
    own = (t) => t.replace("@@ID@@", id);
  const tail = (b.stream_options?.include_usage ? own(c.chatUsage) : "") + c.chatDone;
  if (callTool) {
    const chunk = (delta, fin) =>
      `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 1700000000, model: c.model, choices: [{ index: 0, delta, finish_reason: fin }] })}\n\n`;
    return res.end(
      chunk({ role: "assistant", content: null, tool_calls: [{ index: 0, ...call }] }, null) +
        chunk({}, "tool_calls") +
        tail,
    );
  }
  const tok = own(c.chatTok);
  res.write(own(c.chatHead));
  pump(
    res,
    c,
    c.t,
    () => tok,
    () => res.end(own(c.chatEnd) + tail),
  );
}

function responses(b, res, c) {
  const tools = b.tools ?? [];
  const round = roundsResp(b.input);
  seq++;
  const rid = `resp_mock_${seq}`,
    mid = `msg_mock_${seq}`;
  const callTool = c.k > 0 && tools.length && round < c.k;
  if (callTool) stats.toolCalls++;
  const item = callTool
    ? {
        type: "function_call",
        id: `fc_mock_${seq}_${round}`,
        call_id: `call_mock_${seq}_${round}`,
        name: tools[0].name,
        arguments: '{"q":"mock"}',
        status: "completed",
      }
    : {
        type: "message",
        id: mid,
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text: c.text, annotations: [], logprobs: [] }],
      };
  const usage = {
    input_tokens: 10,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: c.t,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 10 + c.t,
  };
  const full = (status, output) => ({
    id: rid,
    object: "response",
    created_at: 1700000000,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    model: c.model,
    output,
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    metadata: {},
    usage: status === "completed" ? usage : null,
  });
  if (!b.stream) {
    stats.responses++;
    stats.tokens += callTool ? 0 : c.t;
    const body = JSON.stringify(full("completed", [item]));
    res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    return res.end(body);
  }
  stats.responsesStream++;
  const ev = c.ev;
  let n = 0;
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const head = ev({ type: "response.created", sequence_number: n++, response: full("in_progress", []) });
  if (callTool) {
    return res.end(
      head +
        ev({
          type: "response.output_item.added",
          sequence_number: n++,
          output_index: 0,
          item: { ...item, arguments: "", status: "in_progress" },
        }) +
        ev({
          type: "response.function_call_arguments.delta",
          sequence_number: n++,
          item_id: item.id,
          output_index: 0,
          delta: item.arguments,
        }) +
        ev({
          type: "response.function_call_arguments.done",
          sequence_number: n++,
          item_id: item.id,
          output_index: 0,
          name: item.name,
          arguments: item.arguments,
        }) +
        ev({ type: "response.output_item.done", sequence_number: n++, output_index: 0, item }) +
        ev({ type: "response.completed", sequence_number: n++, response: full("completed", [item]) }),
    );
  }
  const part = { type: "output_text", text: "", annotations: [], logprobs: [] };
  res.write(
    head +
      ev({
        type: "response.output_item.added",
        sequence_number: n++,
        output_index: 0,
        item: { ...item, status: "in_progress", content: [] },
      }) +
      ev({
        type: "response.content_part.added",
        sequence_number: n++,
        item_id: mid,
        output_index: 0,
        content_index: 0,
        part,
      }),
  );
  pump(
    res,
    c,
    c.t,
    (i) => c.respTok(n + i, mid),
    () => {
      n += c.t;
      res.end(
        ev({
          type: "response.output_text.done",
          sequence_number: n++,
          item_id: mid,
          output_index: 0,
          content_index: 0,
          text: c.text,
          logprobs: [],
        }) +
          ev({
            type: "response.content_part.done",
            sequence_number: n++,
            item_id: mid,
            output_index: 0,
            content_index: 0,
            part: { ...part, text: c.text },
          }) +
          ev({ type: "response.output_item.done", sequence_number: n++, output_index: 0, item }) +
          ev({ type: "response.completed", sequence_number: n++, response: full("completed", [item]) }),
      );
    },
  );
}

http
  .createServer((req, res) => {
    const url = req.url;
    if (req.method === "GET") {
      const body = url.startsWith("/stats")
        ? JSON.stringify({ ...stats, cpu: process.cpuUsage(), rss: process.memoryUsage.rss() })
        : url.includes("/models")
          ? JSON.stringify({ object: "list", data: [{ id: "mock-t20", object: "model", owned_by: "mock" }] })
          : '{"ok":true}';
      res.writeHead(200, { "content-type": "application/json" });
      return res.end(body);
    }
    const parts = [];
    req.on("data", (d) => parts.push(d));
    req.on("end", () => {
      let b;
      try {
        b = JSON.parse(parts.length === 1 ? parts[0] : Buffer.concat(parts));
      } catch {
        res.writeHead(400);
        return res.end('{"error":{"message":"bad json"}}');
      }
      const c = parse(b.model ?? process.env.MODEL ?? "mock-t20");
      const go = () => {
        if (res.destroyed) return;
        if (url.endsWith("/chat/completions")) chat(b, res, c);
        else if (url.endsWith("/responses")) responses(b, res, c);
        else {
          res.writeHead(404);
          res.end('{"error":{"message":"not found"}}');
        }
      };
      res.on("close", () => {
        if (!res.writableFinished) stats.aborted++;
      });
      if (c.f) setTimeout(go, c.f);
      else go();
    });
  })
  .listen(port, "127.0.0.1", () => console.log(`mock model on http://127.0.0.1:${port}/v1`));
