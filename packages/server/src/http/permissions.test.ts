/** I8: who may decide about a tool call, who may know of it, and what a decision holds for. */
import { setTimeout as sleep } from "node:timers/promises";
import { defineTool } from "@callboard/kit";
import { toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Answer, HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

/** The calls that were made, by the number the model was told. */
const paid: number[] = [];
let server: TestServer;
let other: TestOrganization;
let agentIds: Record<string, string>;

const refund = defineTool({
  description: "Pays back.",
  input: z.object({ n: z.number(), card: z.string().optional() }),
  effect: "once",
  approval: "always",
  sensitive: ["card"],
  run: ({ n }) => paid.push(n),
});
const desk = (approvals: object = {}) => ({ name: "Desk", tools: ["refund"], approvals });

beforeAll(async () => {
  server = await startTestServer({
    tools: { refund },
    agents: {
      own: desk(),
      owned: desk({ approvers: ["owner"] }),
      grouped: desk({ approvers: ["group:finance"] }),
      mixed: desk({ approvers: ["caller", "owner", "group:finance"] }),
      eyes: desk({ approvers: ["caller", "owner", "group:finance"], not_requester: true }),
      machine: desk({ approvers: ["service"] }),
      raised: desk({ approvers: ["admins"] }),
      lapsing: desk({ on_expiry: "deny" }),
      four: desk({ approvers: ["owner", "admins"], not_requester: true }),
    },
  });
  // Calls once for each message.
  server.model.script("four", ({ lastUser, messages }) => {
    const said = (role: string) => messages.filter((message) => message.role === role).length;
    return said("tool") < said("user") ? callTool("refund", { n: Number(lastUser) }) : say("done");
  });
  for (const slug of ["own", "owned", "grouped", "mixed", "eyes", "machine", "raised", "lapsing"]) {
    server.model.script(slug, ({ lastUser, toolResults }) =>
      toolResults.length === 0
        ? callTool("refund", { n: Number(lastUser), card: "card-canary" })
        : say(`${toolResults[0]}`),
    );
  }
  const { body } = await server.client().get("/agents?limit=200");
  agentIds = Object.fromEntries(body.data.map(({ slug, id }: Anything) => [slug, id]));
  other = await server.organization();
});
afterAll(() => server.stop());

const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code ?? "accepted"}`;
const decide = (client: HttpClient, id: string, decision = "allow_once", more: object = {}) =>
  client.post(`/permissions/${id}/decision`, { decision, ...more });
let count = 0;

/** A run of this caller's that asks. */
async function ask(client: HttpClient, agent = "own", more: object = {}) {
  const n = ++count;
  const body = { input: { type: "user.message", text: String(n) }, ...more };
  const { run, thread } = (await client.post(`/agents/${agent}/threads`, body)).body;
  for (;;) {
    const found = (await server.client().get(`/runs/${run.id}`)).body;
    if (found.state === "waiting") return { n, run, thread: `/threads/${thread.id}`, id: found.waiting_for[0].id };
    await sleep(10);
  }
}
const ended = async (run: Anything): Promise<Anything> =>
  (await server.client().get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } })).body;

/** Somebody of each kind, with a client. */
async function people() {
  const [requester, colleague, finance, guest, suspended, admin] = await Promise.all([
    server.person("member"),
    server.person("member"),
    server.person("member"),
    server.person("guest"),
    server.person("member"),
    server.person("admin"),
  ]);
  const owner = server.client();
  const { body: groups } = await owner.get("/groups");
  const user_ids = [finance.userId, guest.userId, suspended.userId];
  const known = groups.data.find(({ slug }: Anything) => slug === "finance");
  if (known === undefined) await owner.post("/groups", { slug: "finance", name: "Finance", user_ids });
  else await owner.patch(`/groups/${known.id}`, { user_ids });
  await owner.patch(`/members/${suspended.userId}`, { suspended: true });
  const agent_ids = Object.values(agentIds) as never[];
  const client = (token: string) => server.client(token);
  return {
    requester: client(requester.token),
    owner,
    colleague: client(colleague.token),
    finance: client(finance.token),
    guest: client(guest.token),
    suspended: client(suspended.token),
    admin: client(admin.token),
    service: client(await server.service({ agent_ids })),
    stranger: client(other.token),
    readOnly: client(await server.personalToken(requester.userId, { scopes: ["threads:read"] })),
    requesterId: requester.userId,
    requesterToken: requester.token,
  };
}

describe("who may decide", () => {
  const rows = {
    own: {
      requester: "200 accepted",
      owner: "403 forbidden",
      colleague: "404 not_found",
      finance: "404 not_found",
      guest: "404 not_found",
      admin: "403 forbidden",
    },
    owned: {
      requester: "403 forbidden",
      owner: "200 accepted",
      colleague: "404 not_found",
      finance: "404 not_found",
      guest: "404 not_found",
      admin: "403 forbidden",
    },
    grouped: {
      requester: "403 forbidden",
      owner: "403 forbidden",
      colleague: "404 not_found",
      finance: "200 accepted",
      guest: "403 forbidden",
      admin: "403 forbidden",
    },
    mixed: {
      requester: "200 accepted",
      owner: "200 accepted",
      colleague: "404 not_found",
      finance: "200 accepted",
      guest: "403 forbidden",
      admin: "403 forbidden",
    },
    eyes: {
      requester: "403 forbidden",
      owner: "200 accepted",
      colleague: "404 not_found",
      finance: "200 accepted",
      guest: "403 forbidden",
      admin: "403 forbidden",
    },
    raised: {
      requester: "403 forbidden",
      owner: "200 accepted",
      colleague: "404 not_found",
      finance: "404 not_found",
      guest: "404 not_found",
      admin: "200 accepted",
    },
    machine: {
      requester: "403 forbidden",
      owner: "403 forbidden",
      colleague: "404 not_found",
      finance: "404 not_found",
      guest: "404 not_found",
      admin: "403 forbidden",
    },
  } as const;
  const always = {
    service: "404 not_found",
    stranger: "404 not_found",
    suspended: "401 unauthenticated",
    readOnly: "403 insufficient_scope",
  };

  test.each(Object.entries(rows))(
    "of an agent %s: everybody gets what the list of approvers says",
    async (agent, row) => {
      const all = await people();
      for (const [who, expected] of Object.entries({ ...row, ...always })) {
        const { id, n, run } = await ask(all.requester, agent);
        const client = all[who as "owner"];
        const seen = await client.get(`/permissions/${id}`);
        const listed = (await client.get("/permissions?limit=200")).body.data?.find((one: Anything) => one.id === id);
        const answer = await decide(client, id);
        expect(`${agent} ${who} ${refusal(answer)}`).toBe(`${agent} ${who} ${expected}`);
        if (expected === "200 accepted") {
          expect(seen.body).toMatchObject({ state: "pending", decisions: ["allow_once", "allow_for_thread", "deny"] });
          expect(listed).toEqual(seen.body);
          expect((await ended(run)).state).toBe("completed");
          expect(paid).toContain(n);
        } else {
          // The same 404 as for a request that is not there; who may know of it sees it and nothing to decide.
          if (expected === "404 not_found") expect(refusal(seen)).toBe("404 not_found");
          if (seen.status === 200) expect(seen.body.decisions).toEqual([]);
          await server.client().post(`/runs/${run.id}/cancel`);
          expect(paid).not.toContain(n);
        }
      }
    },
  );

  test("an absent request and a foreign one are refused alike, and a colleague's leaves an entry", async () => {
    const { requester, stranger, colleague, owner } = await people();
    const { id } = await ask(requester);
    const absent = id.replace(/.{6}$/, "000000");
    for (const path of ["", "/decision"]) {
      const send = (one: string) => (path === "" ? stranger.get(`/permissions/${one}`) : decide(stranger, one));
      const [foreign, missing] = [await send(id), await send(absent)];
      const shown = ({ status, body }: Answer) => [status, body.error.code, body.error.message];
      expect(shown(foreign)).toEqual(shown(missing));
    }
    await decide(colleague, id);
    await expect
      .poll(async () => (await owner.get("/audit?limit=5")).body.data)
      .toContainEqual(expect.objectContaining({ action: "permission.decide", outcome: "refused", target: id }));
  });

  test("of a service's own run: the service, where the list names it, and no other service", async () => {
    const agent_ids = Object.values(agentIds) as never[];
    const [one, two] = [await server.service({ agent_ids }), await server.service({ agent_ids })].map((token) =>
      server.client(token),
    ) as [HttpClient, HttpClient];
    const bare = await ask(one, "own");
    expect(refusal(await decide(one, bare.id))).toBe("403 forbidden");
    expect((await one.get(`/permissions/${bare.id}`)).body).toMatchObject({
      requested_by: { kind: "service", email: null },
      decisions: [],
    });
    const machine = await ask(one, "machine");
    expect(refusal(await decide(two, machine.id))).toBe("404 not_found");
    expect(refusal(await decide(one, machine.id))).toBe("200 accepted");
    expect((await ended(machine.run)).state).toBe("completed");
  });

  test("of a run for a person: that person, and not the service that speaks for it", async () => {
    const agent_ids = Object.values(agentIds) as never[];
    const service = server.client(await server.service({ agent_ids, may_attribute: true }));
    const { requester, requesterId } = await people();
    const { id, thread } = await ask(service, "own", { attributed_user_id: requesterId });
    expect(refusal(await decide(service, id))).toBe("403 forbidden");
    expect(refusal(await decide(requester, id))).toBe("200 accepted");
    const eyes = await ask(service, "eyes", { attributed_user_id: requesterId });
    expect(refusal(await decide(requester, eyes.id))).toBe("403 forbidden");
    expect((await service.get(thread)).status).toBe(200);
  });

  test("stops being one who leaves the group or loses the agent before the decision", async () => {
    const all = await people();
    const grouped = await ask(all.requester, "grouped");
    const { body } = await all.owner.get("/groups");
    const { id } = body.data.find(({ slug }: Anything) => slug === "finance");
    expect(refusal(await all.finance.get(`/permissions/${grouped.id}`))).toBe("200 accepted");
    await all.owner.patch(`/groups/${id}`, { user_ids: [] });
    expect(refusal(await decide(all.finance, grouped.id))).toBe("404 not_found");

    const successor = await server.person("member");
    const owned = await ask(all.requester, "owned");
    await all.owner.patch("/agents/owned", { owner_id: successor.userId });
    expect(refusal(await decide(all.owner, owned.id))).toBe("403 forbidden");
    expect(refusal(await decide(server.client(successor.token), owned.id))).toBe("200 accepted");
    await all.owner.patch("/agents/owned", { owner_id: server.ownerId });
  });
});

describe("where two people see each call", () => {
  const steer = (n: number) => ({ type: "user.message", text: String(n), on_active_run: "steer" });
  const states = async (run: Anything) => (await server.client().get(`/runs/${run.id}`)).body.state;

  test("nobody makes another one's run ask, and allows it: messages join runs for the same person alone", async () => {
    const { requester, admin } = await people();
    const { thread, run } = await ask(requester, "four");
    expect(refusal(await admin.post(`${thread}/events`, steer(++count)))).toBe("403 forbidden");
    const { data } = (await server.client().get("/audit?action=thread.write&outcome=refused&limit=1")).body;
    expect(data[0]).toMatchObject({ target: thread.split("/")[2], details: { code: "forbidden" } });
    expect(refusal(await requester.post(`${thread}/events`, steer(++count)))).toBe("200 accepted");
    expect(await states(run)).toBe("waiting");
    // A run of his own is another matter: he asks himself then, and others decide.
    await requester.post(`/runs/${run.id}/cancel`);
    const own = (await admin.post(`${thread}/events`, { type: "user.message", text: String(++count) })).body.events[0]
      .run;
    let now = await admin.get(`/runs/${own.id}`);
    while (now.body.state !== "waiting") now = await admin.get(`/runs/${own.id}`);
    expect(refusal(await decide(admin, now.body.waiting_for[0].id))).toBe("403 forbidden");
  });

  test("a message joins no run that has scopes which its token lacks", async () => {
    const { requester, requesterId } = await people();
    const { thread } = await ask(requester, "four");
    const token = await server.personalToken(requesterId, { scopes: ["threads:read", "threads:write"] });
    const answer = await server.client(token).post(`${thread}/events`, steer(++count));
    expect(refusal(answer)).toBe("403 insufficient_scope");
  });

  test("what somebody allowed for a thread does not cover his own runs there", async () => {
    const { requester, admin } = await people();
    const { thread, run, id, n } = await ask(requester, "four");
    expect(refusal(await decide(admin, id, "allow_for_thread"))).toBe("200 accepted");
    expect((await ended(run)).state).toBe("completed");
    const send = async (client: HttpClient) => {
      const text = String(++count);
      const sent = (await client.post(`${thread}/events`, { type: "user.message", text })).body.events[0].run;
      let now = await client.get(`/runs/${sent.id}`);
      while (!["waiting", "completed"].includes(now.body.state)) now = await client.get(`/runs/${sent.id}`);
      return [now.body.state, paid.includes(Number(text))];
    };
    expect(paid).toContain(n);
    expect(await send(requester)).toEqual(["completed", true]);
    expect(await send(admin)).toEqual(["waiting", false]);
  });
});

describe("an approver who is not in the thread", () => {
  test("sees exactly what is decided on, and not the thread", async () => {
    const { requester, finance } = await people();
    const { id, n, run, thread } = await ask(requester, "grouped");
    const { body } = await finance.get(`/permissions/${id}`);
    expect(body).toEqual({
      id,
      state: "pending",
      reason: "approval",
      tool: "refund",
      input: { n, card: "[hidden]" },
      arguments_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      scope: "",
      agent_id: agentIds.grouped,
      agent_name: "Desk",
      agent_version: 1,
      thread_id: thread.split("/")[2],
      run_id: run.id,
      call_id: expect.stringMatching(/^call_/),
      requested_by: { kind: "user", id: expect.stringMatching(/^user_/), email: expect.stringContaining("@") },
      approvers: ["group:finance"],
      not_requester: false,
      decisions: ["allow_once", "allow_for_thread", "deny"],
      decision: null,
      expires_at: expect.any(String),
      created_at: expect.any(String),
    });
    for (const path of [thread, `${thread}/events`, `/runs/${run.id}`, `/runs/${run.id}/transcript`]) {
      expect(refusal(await finance.get(path))).toBe("404 not_found");
    }
    const event = { type: "permission.decision", permission_id: id, decision: "allow_once" };
    expect(refusal(await finance.post(`${thread}/events`, event))).toBe("404 not_found");
    expect(refusal(await decide(finance, id))).toBe("200 accepted");
  });

  test("is in the log as who decided, and what is sensitive is not in it", async () => {
    const { requester, finance } = await people();
    const { id, run, thread } = await ask(requester, "grouped");
    await decide(finance, id, "deny", { message: "not this one" });
    await ended(run);
    const { text, body } = await requester.get(`${thread}/events?limit=1000`);
    const { token_id: _, user } = (await finance.get("/me")).body;
    expect(text).not.toContain("card-canary");
    expect(body.data.find(({ type }: Anything) => type === "permission.decided").data).toMatchObject({
      decision: "deny",
      message: "not this one",
      decided_by: { kind: "user", id: user.user_id },
    });
  });
});

describe("a decision", () => {
  test("repeated by the same approver succeeds, and any other is refused", async () => {
    const { requester, owner } = await people();
    const { id, run, thread } = await ask(requester, "mixed");
    const first = await decide(requester, id, "deny", { message: "no" });
    expect(first.body).toMatchObject({ state: "denied", decisions: [], decision: { decision: "deny", message: "no" } });
    expect((await decide(requester, id, "deny")).body).toEqual(first.body);
    expect(refusal(await decide(requester, id, "allow_once"))).toBe("409 permission_decided");
    expect(refusal(await decide(owner, id, "deny"))).toBe("409 permission_decided");
    const event = { type: "permission.decision", permission_id: id, decision: "deny" };
    expect(refusal(await requester.post(`${thread}/events`, event))).toBe("409 permission_decided");
    await ended(run);
    const { body } = await requester.get(`${thread}/events?types=permission.decided`);
    expect(body.data).toHaveLength(1);
  });

  test("about other arguments or another version is refused, and leaves the request open", async () => {
    const { requester } = await people();
    const { id, thread } = await ask(requester);
    const { arguments_hash } = (await requester.get(`/permissions/${id}`)).body;
    const wrong = arguments_hash.replace(/^./, (first: string) => (first === "0" ? "1" : "0"));
    expect(refusal(await decide(requester, id, "allow_once", { arguments_hash: wrong }))).toBe(
      "409 permission_mismatch",
    );
    expect(refusal(await decide(requester, id, "allow_once", { agent_version: 2 }))).toBe("409 permission_mismatch");
    const event = { type: "permission.decision", permission_id: id, decision: "allow_once", arguments_hash: wrong };
    expect(refusal(await requester.post(`${thread}/events`, event))).toBe("409 permission_mismatch");
    expect(refusal(await decide(requester, id, "allow_once", { arguments_hash: "short" }))).toBe("422 invalid_request");
    const right = { arguments_hash, agent_version: 1 };
    expect(refusal(await decide(requester, id, "allow_once", right))).toBe("200 accepted");
  });

  test("that comes too late, or after the run's end, is refused as expired", async () => {
    const { requester } = await people();
    const late = await ask(requester);
    await server.row(
      "update permissions set expires_at = now() - interval '1 day' where run_id in (select id from runs where state = 'waiting') returning 1",
    );
    expect(refusal(await decide(requester, late.id))).toBe("409 permission_expired");
    expect(await ended(late.run)).toMatchObject({ state: "failed", error: { code: "permission_expired" } });
    const canceled = await ask(requester);
    await requester.post(`/runs/${canceled.run.id}/cancel`);
    expect(refusal(await decide(requester, canceled.id))).toBe("409 permission_expired");
    expect((await requester.get(`/permissions/${canceled.id}`)).body).toMatchObject({
      state: "expired",
      decision: null,
    });
  });

  test("that nobody makes lets the run go on without the call, where the agent says so", async () => {
    const { requester } = await people();
    const { n, run, id, thread } = await ask(requester, "lapsing");
    await server.row(
      "update permissions set expires_at = now() - interval '1 day' where run_id in (select id from runs where state = 'waiting') returning 1",
    );
    const { state, result } = await ended(run);
    expect([state, result.text]).toEqual(["completed", "Nobody decided about this call in time, so it was not made."]);
    expect(paid).not.toContain(n);
    expect(refusal(await decide(requester, id))).toBe("409 permission_expired");
    const { body } = await requester.get(`${thread}/events?types=tool.call.completed`);
    expect(body.data[0].data).toMatchObject({ outcome: "denied", reason: "nobody decided in time" });
  });

  test("is in the audit log, and so is a refused attempt; neither holds what the call was about", async () => {
    const { requester, owner, admin } = await people();
    const { id, thread } = await ask(requester, "own");
    expect(refusal(await decide(admin, id, "deny", { message: "canary-message" }))).toBe("403 forbidden");
    const event = { type: "permission.decision", permission_id: id, decision: "allow_once" };
    expect(refusal(await admin.post(`${thread}/events`, event))).toBe("403 forbidden");
    expect(refusal(await decide(requester, id, "deny", { message: "canary-message" }))).toBe("200 accepted");
    expect((await admin.get(`/permissions/${id}`)).status).toBe(200);
    const { body, text } = await owner.get("/audit?limit=200");
    expect(body.data[0]).toMatchObject({ action: "permission.read_as_admin", target: id, outcome: "done" });
    const entries = body.data.filter(({ action }: Anything) => action === "permission.decide").slice(0, 3);
    expect(
      entries.map(({ outcome, target, details }: Anything) => [outcome, target, details.decision ?? details.code]),
    ).toEqual([
      ["done", id, "deny"],
      ["refused", null, "forbidden"],
      ["refused", id, "forbidden"],
    ]);
    expect(text).not.toContain("canary-message");
    expect(text).not.toContain("card-canary");
  });
});

describe("the inbox", () => {
  test("lists by state, agent and thread, in pages, newest first", async () => {
    const { requester } = await people();
    const asked = [await ask(requester), await ask(requester), await ask(requester, "mixed")];
    await decide(requester, asked[0]?.id);
    const list = async (query: string) =>
      (await requester.get(`/permissions${query}`)).body.data.map(({ id }: Anything) => id);
    const ids = asked.map(({ id }) => id);
    expect(await list("")).toEqual([ids[2], ids[1], ids[0]]);
    expect(await list("?state=pending")).toEqual([ids[2], ids[1]]);
    expect(await list("?state=allowed")).toEqual([ids[0]]);
    expect(await list("?agent_id=mixed")).toEqual([ids[2]]);
    expect(await list(`?thread_id=${asked[1]?.thread.split("/")[2]}`)).toEqual([ids[1]]);
    expect(await list("?agent_id=nonsense")).toEqual([]);
    const { body } = await requester.get("/permissions?limit=2");
    expect(body.data.map(({ id }: Anything) => id)).toEqual([ids[2], ids[1]]);
    expect(await list(`?limit=2&cursor=${body.next_cursor}`)).toEqual([ids[0]]);
  });

  test("may be waited for, and so may a decision", async () => {
    const { requester } = await people();
    const held = requester.get("/permissions?state=pending", { headers: { prefer: "wait=60" } });
    const { id } = await ask(requester);
    expect((await held).body.data.map((one: Anything) => one.id)).toEqual([id]);
    const decided = requester.get(`/permissions/${id}`, { headers: { prefer: "wait=60" } });
    await sleep(50);
    await decide(requester, id);
    expect((await decided).body).toMatchObject({ state: "allowed", decision: { decision: "allow_once" } });
  });

  test("wakes who waits for it in another process, when something is asked and when it is decided", async () => {
    const { requester } = await people();
    const second = await server.second();
    const heard: string[] = [];
    const leave = second.app.wakes.on("permission", (keys) => heard.push(...keys));
    try {
      let { id } = await ask(requester);
      // A process learns of another one with its next heartbeat, and sends nothing before that.
      while (heard.length === 0) id = (await ask(requester)).id;
      await sleep(100); // what was sent by then has come
      const asked = heard.length;
      await decide(requester, id);
      while (heard.length === asked) await sleep(5);
      expect(new Set(heard)).toEqual(new Set([toUuid(server.id)]));
    } finally {
      leave();
      await second.stop();
    }
  });

  test("is waited for with rights that still hold", async () => {
    const { userId } = await server.person("member");
    const client = server.client(await server.personalToken(userId));
    const { token_id } = (await client.get("/me")).body;
    const held = client.get("/permissions?state=pending", { headers: { prefer: "wait=60" } });
    await sleep(50);
    await server.client().post(`/tokens/${token_id}/revoke`);
    expect(refusal(await held)).toBe("401 unauthenticated");
  });
});

test("a request outlives its server: another process decides, and the call is made there", async () => {
  const { requester, requesterToken } = await people();
  const { id, run, n } = await ask(requester, "own");
  const second = await server.second();
  await server.stopApp();
  try {
    const there = { authorization: `Bearer ${requesterToken}`, "content-type": "application/json" };
    const url = `${second.baseUrl}/api/v1`;
    const body = JSON.stringify({ decision: "allow_once" });
    const answer = await fetch(`${url}/permissions/${id}/decision`, { method: "POST", headers: there, body });
    expect(((await answer.json()) as Anything).state).toBe("allowed");
    const ended = await fetch(`${url}/runs/${run.id}`, { headers: { ...there, prefer: "wait=60" } });
    expect(((await ended.json()) as Anything).state).toBe("completed");
    expect(paid.filter((one) => one === n)).toEqual([n]);
  } finally {
    await second.stop();
  }
});
