/**
 * Two houses on one server, alike in everything, and the people and services that knock at their doors.
 *
 * What belongs to a house or to somebody says so in its text: a canary that must not be seen from outside.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { defineEndpoint, defineTool } from "@callboard/kit";
import { type Role, scopes as scopeNames, type UserId } from "@callboard/protocol";
import { z } from "zod";
import { Browser } from "../../packages/server/src/testing/browser.ts";
import type { Answer, HttpClient } from "../../packages/server/src/testing/http-client.ts";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import { startTestServer, type TestOrganization, type TestServer } from "../../packages/server/src/testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
export type Anything = any;

/** Who has no rights at all, and why. */
export const strangers = ["none", "garbage", "expired", "revoked", "suspended"] as const;
/** Who is somebody. `service` has the usual scopes, `scoped` all of them, `bystander` no agents. `foreign` is the owner of the other house; `session` is the member through a cookie. */
export const known = [
  "narrow",
  "guest",
  "member",
  "session",
  "attributed",
  "admin",
  "owner",
  "service",
  "scoped",
  "bystander",
  "foreign",
] as const;
export const callerNames = [...strangers, ...known] as const;
export type CallerName = (typeof callerNames)[number];
export type KnownName = (typeof known)[number];

export type Caller = {
  readonly name: CallerName;
  readonly house: House;
  /** Null for a service and for who is nobody. */
  readonly userId: UserId | null;
  /** A token of the caller's own; of the member's for who has none. */
  readonly tokenId: string;
  readonly sessionId?: string;
  send(method: string, path: string, json?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The answer of a stream, unread. */
  open(path: string, signal: AbortSignal): Promise<Response>;
};

/** What one principal has. */
export type Works = {
  thread: string;
  run: string;
  file: string;
  upload: string;
  job: string;
  permission: string;
};

export type House = {
  readonly organization: TestOrganization;
  /** In every text that belongs to the house. */
  readonly canary: string;
  readonly owner: HttpClient;
  readonly agents: { desk: string; club: string; asker: string };
  readonly there: Record<OfHouse, string>;
  /** A member whose work is nobody else's business. */
  readonly colleague: {
    userId: UserId;
    client: HttpClient;
    token: string;
    tokenId: string;
    works: Works;
    canary: string;
  };
  readonly serviceTokenId: string;
};
/** What an organization has one of, for those who manage it. */
export type OfHouse = "group" | "model" | "budget" | "invitation" | "sso" | "collection" | "document";

export type World = {
  readonly server: TestServer;
  readonly home: House;
  readonly abroad: House;
  readonly callers: Record<CallerName, Caller>;
  /** What a caller has itself; of `member` for who can have nothing. */
  works(caller: Caller): Promise<Works>;
  /** Another one that nobody needs any more. */
  fresh: Fresh;
  stop(): Promise<void>;
};
export type Fresh = {
  works(caller: Caller): Promise<Works>;
  colleagues(house: House): Promise<Works>;
  agent(house: House): Promise<string>;
  there(house: House, thing: OfHouse): Promise<string>;
  member(house: House): Promise<UserId>;
  token(caller: Caller): Promise<string>;
  tokenOf(house: House, whose: "colleague" | "service"): Promise<string>;
  session(): Promise<Caller>;
};

const any = z.any() as Anything;
export const PASSWORD = "a horse in the kitchen";

let count = 0;
const next = () => `x${++count}`;

function must(answer: Answer): Anything {
  if (answer.status >= 300) throw new Error(`${answer.method} ${answer.path}: ${answer.status} ${answer.text}`);
  return answer.body;
}

export async function createWorld(): Promise<World> {
  const server = await startTestServer({
    tools: {
      act: defineTool({ description: "Acts.", input: z.looseObject({}) as never, effect: "once", run: () => "done" }),
    },
    agents: { desk: { name: "Desk" } },
    endpoints: {
      work: defineEndpoint({ method: "POST", input: any, output: any, mode: "polling", handle: ({ input }) => input }),
      answers: defineEndpoint({ method: "POST", input: any, output: any, mode: "sync", handle: ({ input }) => input }),
    },
  });
  server.model.script("asker", ({ toolResults }) => (toolResults.length === 0 ? callTool("act") : say("done")));
  const home = await furnish(server, server, "CANARY-HOME");
  const abroad = await furnish(server, await server.organization("CANARY-ABROAD house"), "CANARY-ABROAD");
  const { callers, worksBy, session } = await cast(server, home, abroad);
  const ownWorks = (caller: Caller): Promise<Works> => {
    const make = worksBy[caller.name] ?? worksBy.member;
    if (make === undefined) throw new Error("somebody has works");
    return make();
  };
  const cached = new Map<CallerName, Promise<Works>>();
  const works = (caller: Caller): Promise<Works> => {
    const found = cached.get(caller.name) ?? ownWorks(caller);
    cached.set(caller.name, found);
    return found;
  };
  const fresh: Fresh = {
    works: ownWorks,
    colleagues: ({ colleague, ...house }) =>
      worksOf(server, house, colleague.client, colleague.token, colleague.canary),
    agent: (house) => makeAgent(house.owner, `spare-${next()}`, house.canary, {}),
    there: (house, thing) => makeThing(house.owner, house.canary, thing, house.there.collection),
    member: async (house) => (await house.organization.person("member")).userId,
    token: async (caller) => must(await caller.send("POST", "/tokens", { label: "spare" })).token.id,
    tokenOf: async (house, whose) => {
      const client = whose === "colleague" ? house.colleague.client : house.owner;
      const body = whose === "colleague" ? { label: "spare" } : { kind: "service", label: "spare" };
      return must(await client.post("/tokens", body)).token.id;
    },
    session,
  };
  return { server, home, abroad, callers, works, fresh, stop: () => server.stop() };
}

// Houses

async function makeAgent(owner: HttpClient, slug: string, canary: string, more: object): Promise<string> {
  const draft = { name: `${canary} ${slug}`, instructions: canary, model: { id: slug.split("-")[0] }, ...more };
  const { id } = must(await owner.post("/agents", { slug, draft, api_access: true }));
  must(await owner.post(`/agents/${id}/publish`));
  return id;
}

async function makeThing(owner: HttpClient, canary: string, thing: OfHouse, collection: string): Promise<string> {
  const slug = `spare-${next()}`;
  switch (thing) {
    case "group":
      return must(await owner.post("/groups", { slug, name: canary })).id;
    case "model":
      return must(await owner.post("/model-connections", { slug, kind: "demo" })).id;
    case "budget":
      return must(
        await owner.post("/budgets", { subject: { kind: "organization" }, period: "month", limit_tokens: 1e12 }),
      ).id;
    case "invitation":
      return must(await owner.post("/invitations", { email: `${slug}@${canary}.example`, role: "member" })).invitation
        .id;
    case "sso":
      return must(
        await owner.post("/sso-connections", {
          slug,
          name: canary,
          issuer: "https://issuer.example",
          client_id: canary,
          client_secret: `${canary}-secret`,
          email_domains: ["example.com"],
        }),
      ).id;
    case "collection":
      return must(await owner.post("/document-collections", { slug, name: canary })).id;
    case "document":
      return must(
        await owner.post(`/document-collections/${collection}/documents`, {
          name: `${canary}-${slug}.txt`,
          text: canary,
        }),
      ).id;
  }
}

async function furnish(server: TestServer, organization: TestOrganization, canary: string): Promise<House> {
  const owner = organization.client();
  must(await owner.patch("/organization", { raw_runs: true }));
  const isHome = organization.id === server.id;
  const desk = isHome ? must(await owner.get("/agents/desk")).id : await makeAgent(owner, "desk", canary, {});
  const asker = await makeAgent(owner, "asker", canary, { tools: [{ name: "act", approval: "always" }] });
  const colleague = await organization.person("member");
  const club = await makeAgent(owner, "club", canary, {});
  must(await owner.patch(`/agents/${club}`, { access_mode: "invited" }));
  must(await owner.put(`/agents/${club}/access`, { users: [colleague.userId], groups: [] }));
  const there = {} as Record<OfHouse, string>;
  for (const thing of ["group", "model", "budget", "invitation", "sso", "collection"] as const) {
    there[thing] = await makeThing(owner, canary, thing, "");
  }
  there.document = await makeThing(owner, canary, "document", there.collection);
  const client = organization.client(colleague.token);
  const own = `${canary}-COLLEAGUE`;
  const house = { organization, canary, owner, agents: { desk, club, asker }, there } as House;
  const tokenId = must(await client.get("/me")).token_id;
  const works = await worksOf(server, house, client, colleague.token, own);
  const serviceTokenId = must(await owner.post("/tokens", { kind: "service", label: canary })).token.id;
  return { ...house, colleague: { ...colleague, client, tokenId, works, canary: own }, serviceTokenId };
}

// Works

/**
 * A thread with an ended run and a file, an upload, a job, and a run that waits for a person.
 *
 * @param opener opens the threads, when that is a service that acts for the client's person
 */
async function worksOf(
  server: TestServer,
  house: Pick<House, "agents">,
  client: HttpClient,
  token: string,
  canary: string,
  opener?: { client: HttpClient; attributed_user_id: UserId },
): Promise<Works> {
  const opens = opener?.client ?? client;
  const forWhom = opener === undefined ? {} : { attributed_user_id: opener.attributed_user_id };
  const input = { type: "user.message", text: canary };
  const opened = must(await opens.post(`/agents/${house.agents.desk}/threads`, { input, title: canary, ...forWhom }));
  const thread = opened.thread.id;
  const run = must(await client.get(`/runs/${opened.run.id}`, { headers: { prefer: "wait=60" } })).id;
  const bytes = { name: `${canary}.txt`, content_base64: Buffer.from(canary).toString("base64") };
  const file = must(await client.post(`/threads/${thread}/files`, bytes)).id;
  const upload = must(await client.post(`/agents/${house.agents.desk}/files`, bytes)).id;
  const asked = must(await opens.post(`/agents/${house.agents.asker}/threads`, { input, ...forWhom })).run.id;
  return {
    thread,
    run,
    file,
    upload,
    job: await startJob(server, token, canary),
    permission: await waits(client, asked),
  };
}

async function waits(client: HttpClient, run: string): Promise<string> {
  for (;;) {
    const { waiting_for } = must(await client.get(`/runs/${run}`));
    if (waiting_for !== undefined) return waiting_for[0].id;
    await sleep(20);
  }
}

async function startJob(server: TestServer, token: string, canary: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "idempotency-key": next() };
  const body = JSON.stringify({ canary });
  const response = await fetch(`${server.baseUrl}/endpoints/work`, { method: "POST", headers, body });
  const { job_id } = (await response.json()) as { job_id: string };
  if (job_id === undefined) throw new Error(`no job: ${response.status}`);
  return job_id;
}

// Callers

type Principal = Caller & { readonly client: HttpClient; readonly token: string };

function bearer(name: CallerName, house: House, token: string, userId: UserId | null, tokenId: string): Principal {
  const client = house.organization.client(token);
  const send: Caller["send"] = (method, path, json, headers = {}) =>
    client.send(method, path, json === undefined ? { headers } : { json, headers });
  const open: Caller["open"] = (path, signal) => client.raw("GET", path, { signal });
  return { name, house, userId, tokenId, client, token, send, open };
}

/** Somebody with a personal token, and with what one has who is a member. */
async function somebody(server: TestServer, name: CallerName, house: House, role: Role) {
  const { userId, token } = await house.organization.person(role);
  const principal = bearer(name, house, token, userId, "");
  const tokenId = must(await principal.client.get("/me")).token_id as string;
  const own = { ...principal, tokenId };
  return { ...own, works: () => worksOf(server, house, own.client, token, `${house.canary}-${name.toUpperCase()}`) };
}

async function signIn(
  server: TestServer,
  house: House,
  name: CallerName,
  { userId, tokenId }: { userId: UserId; tokenId: string },
): Promise<Caller> {
  const browser = new Browser(server.baseUrl);
  const members = must(await house.owner.get("/members?limit=200")).data as Anything[];
  const { email } = members.find(({ user_id }) => user_id === userId);
  must(await browser.signIn(email, PASSWORD));
  const send: Caller["send"] = (method, path, json, headers = {}) =>
    browser.send(method, path, json === undefined ? { headers } : { json, headers });
  const open: Caller["open"] = (path, signal) => browser.fetch(`${server.baseUrl}/api/v1${path}`, { signal });
  const sessionId = must(await browser.get("/session")).session.id;
  return { name, house, userId, tokenId, sessionId, send, open };
}

/** Gives a person a password in the way an admin does. */
async function givePassword(server: TestServer, house: House, userId: UserId): Promise<void> {
  const { url } = must(await house.owner.post("/password-links", { user_id: userId }));
  const token = new URL(url).hash.slice(1);
  must(await new Browser(server.baseUrl).post("/password/reset", { token, password: PASSWORD }));
}

async function cast(server: TestServer, home: House, abroad: House) {
  const { owner, organization } = home;
  const member = await somebody(server, "member", home, "member");
  const admin = await somebody(server, "admin", home, "admin");
  const guest = await somebody(server, "guest", home, "member");
  const suspended = await somebody(server, "suspended", home, "member");
  const attributed = await somebody(server, "attributed", home, "member");
  const agent_ids = [home.agents.desk, home.agents.club, home.agents.asker];
  const scopes = ["agents:read", "threads:read", "threads:write"];
  const ofService = must(
    await owner.post("/tokens", { kind: "service", label: home.canary, agent_ids, may_attribute: true, scopes }),
  );
  const service = bearer("service", home, ofService.secret, null, ofService.token.id);
  const ofScoped = must(
    await owner.post("/tokens", { kind: "service", label: home.canary, agent_ids, scopes: [...scopeNames] }),
  );
  const scoped = bearer("scoped", home, ofScoped.secret, null, ofScoped.token.id);
  const ofBystander = must(await owner.post("/tokens", { kind: "service", label: home.canary, scopes }));
  const bystander = bearer("bystander", home, ofBystander.secret, null, ofBystander.token.id);
  const foreignId = must(await abroad.owner.get("/me")).token_id as string;
  const foreign = bearer("foreign", abroad, abroad.organization.token, abroad.organization.ownerId, foreignId);
  const ownerId = must(await owner.get("/me")).token_id as string;
  const boss = bearer("owner", home, organization.token, organization.ownerId, ownerId);
  const narrow = bearer(
    "narrow",
    home,
    await organization.personalToken(member.userId as UserId, { scopes: [] }),
    member.userId,
    member.tokenId,
  );
  const expired = await organization.personalToken(member.userId as UserId, { expiresAtMs: Date.now() - 1 });
  const ended = must(await member.client.post("/tokens", { label: "revoked" }));
  must(await member.client.post(`/tokens/${ended.token.id}/revoke`));
  await givePassword(server, home, member.userId as UserId);

  const worksBy: Partial<Record<CallerName, () => Promise<Works>>> = {
    member: member.works,
    session: member.works,
    admin: admin.works,
    owner: () => worksOf(server, home, boss.client, boss.token, `${home.canary}-OWNER`),
    service: () => worksOf(server, home, service.client, service.token, `${home.canary}-SERVICE`),
    scoped: () => worksOf(server, home, scoped.client, scoped.token, `${home.canary}-SCOPED`),
    foreign: () => worksOf(server, abroad, foreign.client, foreign.token, abroad.canary),
    attributed: () =>
      worksOf(server, home, attributed.client, attributed.token, `${home.canary}-ATTRIBUTED`, {
        client: service.client,
        attributed_user_id: attributed.userId as UserId,
      }),
  };
  const guestWorks = await guest.works();
  worksBy.guest = async () => guestWorks;
  must(await owner.patch(`/members/${guest.userId}`, { role: "guest" }));
  must(await owner.patch(`/members/${suspended.userId}`, { suspended: true }));

  const none = { ...bearer("none", home, "", null, member.tokenId), ...bare(server) };
  const callers: Record<CallerName, Caller> = {
    none,
    garbage: bearer("garbage", home, "cbp_garbage", null, member.tokenId),
    expired: bearer("expired", home, expired, member.userId, member.tokenId),
    revoked: bearer("revoked", home, ended.secret, member.userId, member.tokenId),
    suspended,
    narrow,
    guest,
    member,
    session: await signIn(server, home, "session", { ...member, userId: member.userId as UserId }),
    attributed,
    admin,
    owner: boss,
    service,
    scoped,
    bystander,
    foreign,
  };
  const session = () => signIn(server, home, "session", { ...member, userId: member.userId as UserId });
  return { callers, worksBy, session };
}

const bare = (server: TestServer): Pick<Caller, "send" | "open"> => ({
  send: (method, path, json, headers = {}) =>
    server.client(null).send(method, path, json === undefined ? { headers } : { json, headers }),
  open: (path, signal) => server.client(null).raw("GET", path, { signal }),
});
