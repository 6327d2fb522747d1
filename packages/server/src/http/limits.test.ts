/** Limits as clients meet them, on two servers with one database. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { later } from "../endpoints/fixture.ts";
import { type Answer, HttpClient } from "../testing/http-client.ts";
import { say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

let server: TestServer;
let other: Awaited<ReturnType<TestServer["second"]>>;
beforeAll(async () => {
  server = await startTestServer({ agents: { help: { name: "Help", instructions: "Help." } } });
  other = await server.second();
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

const refusalOf = ({ status, headers, body }: Answer) => ({
  status,
  code: body?.error?.code,
  wait: Number(headers.get("retry-after")),
});
const message = (text = "hi") => ({ input: { type: "user.message", text } });

describe("requests a minute", () => {
  test("of a token are refused beyond its limit on both servers together, and nobody else is", async () => {
    const made = await server.client().post("/tokens", { label: "slow", requests_per_minute: 30 });
    expect(made.body.token.requests_per_minute).toBe(30);
    const clients = [server.baseUrl, other.baseUrl].map((url) => new HttpClient(url, { token: made.body.secret }));
    const began = performance.now();
    const answers = await Promise.all(clients.flatMap((client) => Array.from({ length: 60 }, () => client.get("/me"))));
    const back = Math.ceil(((performance.now() - began) / 60_000) * 30);
    const passed = answers.filter(({ status }) => status === 200).length;
    expect(passed).toBeGreaterThanOrEqual(28);
    expect(passed).toBeLessThanOrEqual(30 + 2 + back); // the bound, and what came back meanwhile
    const refused = answers.find(({ status }) => status !== 200) as Answer;
    expect(refusalOf(refused)).toEqual({ status: 429, code: "rate_limited", wait: expect.any(Number) });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.body.error.details).toEqual({ limit: "token", requests_per_minute: 30 });
    expect((await server.client().get("/me")).status).toBe(200);
  });

  test("of an organization count for all its tokens, and another organization has its own", async () => {
    const home = await server.organization();
    await home.client().patch("/organization", { requests_per_minute: 20 });
    const tokens = [home.token, (await home.person("member")).token];
    const began = performance.now();
    const asked = Array.from({ length: 60 }, (_, n) => home.client(tokens[n % 2] as string).get("/me"));
    const answers: Answer[] = await Promise.all(asked);
    const back = Math.ceil(((performance.now() - began) / 60_000) * 20);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(60 - 20 - 2 - back);
    expect(refused[0]?.body.error.details).toEqual({ limit: "organization", requests_per_minute: 20 });
    expect((await server.client().get("/me")).status).toBe(200);
    const text = await (await fetch(`${server.baseUrl}/metrics`)).text();
    expect(text).toMatch(/callboard_limited_requests_total\{limit="organization"\} [1-9]/);
  });

  test("leave no answer under an idempotency key: the request is done when it comes again", async () => {
    const { body } = await server.client().post("/tokens", { label: "two", requests_per_minute: 30 });
    const client = server.client(body.secret);
    const send = (n: number) =>
      client.post("/agents/help/threads", {}, { headers: { "idempotency-key": `number-${n}` } });
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => send(n)));
    const at = answers.findIndex(({ status }) => status === 429);
    let answer = answers[at] as Answer;
    expect(refusalOf(answer)).toMatchObject({ status: 429, code: "rate_limited" });
    while (answer.status === 429) {
      await sleep(Number(answer.headers.get("retry-after")) * 1000);
      answer = await send(at);
    }
    expect([answer.status, answer.headers.get("idempotency-replayed")]).toEqual([201, null]);
  });

  test("of a person's token never go beyond what the server gives, and a service token's may", async () => {
    const strict = await server.second({ CALLBOARD_REQUESTS_PER_MINUTE: "5" });
    try {
      const passed = async (token: string) => {
        const client = new HttpClient(strict.baseUrl, { token });
        const began = performance.now();
        const answers = await Promise.all(Array.from({ length: 15 }, () => client.get("/me")));
        const back = Math.ceil(((performance.now() - began) / 60_000) * 5);
        return { back, passed: answers.filter(({ status }) => status === 200).length };
      };
      const own = (await server.client().post("/tokens", { label: "greedy", requests_per_minute: 100_000 })).body
        .secret;
      const ofPerson = await passed(own);
      expect(ofPerson.passed).toBeLessThanOrEqual(6 + ofPerson.back);
      expect((await passed(await server.service({ requests_per_minute: 100_000 }))).passed).toBe(15);
    } finally {
      await strict.stop();
    }
  });

  test.each([0, -1, 1.5, "10", 3_000_000_000])("of %j are no limit", async (requests_per_minute) => {
    expect((await server.client().post("/tokens", { label: "x", requests_per_minute })).status).toBe(422);
    expect((await server.client().patch("/organization", { requests_per_minute })).status).toBe(422);
  });
});

describe("failed authentications", () => {
  test("of an address are refused beyond the limit, and a token that is in use is not held up", async () => {
    const strict = await server.second({ CALLBOARD_AUTH_FAILURES_PER_MINUTE: "2" });
    try {
      const [good, fresh] = [server.token, (await server.person("member")).token];
      const as = (token: string) => new HttpClient(strict.baseUrl, { token }).get("/me");
      expect((await as(good)).status).toBe(200);
      const statuses = [];
      for (let n = 0; n < 4; n++) statuses.push((await as("cbp_guessed")).status);
      expect(statuses).toEqual([401, 401, 429, 429]);
      expect((await as(good)).status).toBe(200);
      expect(refusalOf(await as(fresh))).toMatchObject({ status: 429, code: "rate_limited" });
      const text = await (await fetch(`${strict.baseUrl}/metrics`)).text();
      expect(text).toContain('callboard_unauthenticated_requests_total{reason="unknown"} 2');
      expect(text).toMatch(/callboard_limited_requests_total\{limit="address"\} 3/);
    } finally {
      await strict.stop();
    }
  });

  test.each([
    ["0", 429],
    ["1", 401],
  ])("are counted by X-Forwarded-For only behind as many proxies as were named (%s)", async (proxies, expected) => {
    const strict = await server.second({
      CALLBOARD_AUTH_FAILURES_PER_MINUTE: "1",
      CALLBOARD_PROXIES: proxies,
    });
    try {
      const from = (address: string) =>
        new HttpClient(strict.baseUrl, { token: "cbp_guessed" }).get("/me", {
          headers: { "x-forwarded-for": address },
        });
      for (let n = 0; n < 3; n++) await from("203.0.113.7");
      expect((await from("203.0.113.8")).status).toBe(expected);
      expect((await from("203.0.113.7")).status).toBe(429);
    } finally {
      await strict.stop();
    }
  });
});

describe("runs at once", () => {
  test("beyond the limit are refused with nothing written, and accepted when one has ended", async () => {
    const home = await server.organization();
    await home
      .client()
      .post("/agents", { slug: "slow", draft: { name: "Slow", instructions: "S.", model: { id: "slow" } } });
    expect((await home.client().post("/agents/slow/publish")).status).toBe(201);
    await home.client().patch("/organization", { runs_at_once: 2 });
    const end = later();
    server.model.script("slow", async () => {
      await end.promise;
      return say("done");
    });
    const elsewhere = new HttpClient(other.baseUrl, { token: home.token });
    const start = (client: HttpClient, key?: string) =>
      client.post("/agents/slow/threads", message(), key === undefined ? {} : { headers: { "idempotency-key": key } });

    const first = await start(home.client());
    expect([first.status, (await start(elsewhere)).status]).toEqual([201, 201]);
    const refused = await start(elsewhere, "third");
    expect(refusalOf(refused)).toEqual({ status: 429, code: "too_many_runs", wait: 2 });
    expect(refused.body.error.details).toEqual({ runs_at_once: 2 });
    // A thread without a run is none, and a message to a thread that has one waits in line as a run.
    const idle = await home.client().post("/agents/slow/threads", {});
    expect(idle.status).toBe(201);
    const events = { events: [message().input] };
    for (const thread of [first.body.thread.id, idle.body.thread.id]) {
      expect(refusalOf(await home.client().post(`/threads/${thread}/events`, events))).toMatchObject({
        code: "too_many_runs",
      });
    }
    expect((await home.client().get(`/threads/${idle.body.thread.id}`)).body.thread.last_seq).toBe(0);

    end.resolve();
    await expect.poll(async () => (await start(elsewhere, "third")).status, { interval: 200 }).toBe(201);
    expect((await start(elsewhere, "third")).headers.get("idempotency-replayed")).toBe("true");
  });

  test("are exact for a small limit, however many requests come at once to both servers", async () => {
    const home = await server.organization();
    await home
      .client()
      .post("/agents", { slug: "slow", draft: { name: "Slow", instructions: "S.", model: { id: "gate" } } });
    await home.client().post("/agents/slow/publish");
    await home.client().patch("/organization", { runs_at_once: 7 });
    const end = later();
    server.model.script("gate", async () => {
      await end.promise;
      return say("done");
    });
    const clients = [home.client(), new HttpClient(other.baseUrl, { token: home.token })];
    const answers = await Promise.all(
      clients.flatMap((client) => Array.from({ length: 12 }, () => client.post("/agents/slow/runs", message()))),
    );
    expect(answers.filter(({ status }) => status === 202).length).toBe(7);
    expect(answers.filter(({ body }) => body.error?.code === "too_many_runs").length).toBe(17);
    end.resolve();
  });

  test("beyond a large limit are at most a twentieth of it for each process", async () => {
    const home = await server.organization();
    await home
      .client()
      .post("/agents", { slug: "slow", draft: { name: "Slow", instructions: "S.", model: { id: "many" } } });
    await home.client().post("/agents/slow/publish");
    await home.client().patch("/organization", { runs_at_once: 40 });
    const end = later();
    server.model.script("many", async () => {
      await end.promise;
      return say("done");
    });
    const clients = [home.client(), new HttpClient(other.baseUrl, { token: home.token })];
    const answers = await Promise.all(
      clients.flatMap((client) => Array.from({ length: 50 }, () => client.post("/agents/slow/runs", message()))),
    );
    const accepted = answers.filter(({ status }) => status === 202).length;
    expect(accepted).toBeGreaterThanOrEqual(40);
    expect(accepted).toBeLessThanOrEqual(40 + 2 * 2);
    end.resolve();
  });
});
