/** Builds every room once and joins them. Nothing else sees them all. */

import { agentConfig, CallboardError, fromUuid, newId, toUuid } from "@callboard/protocol";
import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import { Acts, Authenticator, Refusals, sweepSessions } from "./access/index.ts";
import { AgentDirectory, Agents, draftProblems, groupProblems, refuseProblems } from "./agents/index.ts";
import { BudgetLedger, sweepReservations } from "./budgets/index.ts";
import { sweepIdempotencyKeys } from "./calls/index.ts";
import type { Config } from "./config/index.ts";
import { EndpointRegistry, type EndpointWorld, Jobs, LoopWatch, sweepJobs } from "./endpoints/index.ts";
import { createAuthority, DELTA_MS, Engine, RunFailure, Wheel } from "./engine/index.ts";
import { Feed } from "./events/index.ts";
import { sweepBlobs } from "./files/index.ts";
import {
  agentHandlers,
  budgetHandlers,
  createApi,
  createServer,
  documentHandlers,
  fileHandlers,
  Gate,
  type Handlers,
  type HttpServer,
  invitationHandlers,
  jobHandlers,
  Metrics,
  modelHandlers,
  OpenRequests,
  organizationHandlers,
  permissionHandlers,
  runHandlers,
  Site,
  Streams,
  serveEndpoints,
  sessionHandlers,
  ssoHandlers,
  threadHandlers,
  tokenHandlers,
  type World,
} from "./http/index.ts";
import { Issuers, Passwords, type SsoWorld, sweepIdentity } from "./identity/index.ts";
import { FailureLimit, RequestLimits, sweepBuckets } from "./limits/index.ts";
import { errorFacts, type Logger } from "./log/index.ts";
import {
  Connections,
  costMicros,
  createModel,
  type ModelTarget,
  priceFor,
  toWirePrice,
  withPrices,
} from "./models/index.ts";
import { guardedFetch } from "./net/index.ts";
import { lastingSecrets } from "./operator.ts";
import { RunCommits, RunsAtOnce, StartBatch, sweepDeltas } from "./runs/index.ts";
import { countUnknown, SecretError, SecretKeys, SigningKeys } from "./secrets/index.ts";
import { Database, Lane, statement, Wakes } from "./storage/index.ts";
import { ThreadDirectory } from "./threads/index.ts";
import { loadTools, type ToolRegistry } from "./tools/index.ts";

export type App = {
  database: Database;
  authenticator: Authenticator;
  wakes: Wakes;
  refusals: Refusals;
  agents: Agents;
  connections: Connections;
  engine: Engine;
  endpoints: EndpointRegistry;
  tools: ToolRegistry;
  server: HttpServer;
  /** Ends in order: no new work, runs handed over, streams ended, connections closed. */
  stop(graceMs: number): Promise<void>;
};

type Found = Awaited<ReturnType<Connections["resolve"]>>;

/** How often what nobody needs any more is removed. */
const SWEEP_MS = 60_000;

const ping = statement("app.ping", "select 1 as one");

export async function createApp(config: Config, databaseUrl: string, secretKey: string, log: Logger): Promise<App> {
  const now = () => new Date();
  let metrics: Metrics | undefined;
  let closed = false;
  const onDatabaseError = (error: unknown) => {
    if (closed) return; // the pool says that it is closed a moment before its last sockets are
    metrics?.databaseError();
    log.warn({ error: errorFacts(error) }, "a connection to the database was lost");
  };
  const database = new Database({ connectionString: databaseUrl, poolSize: config.poolSize, onError: onDatabaseError });
  const wakes = new Wakes(databaseUrl, toUuid(newId("worker")), onDatabaseError);
  const startLane = new Lane(databaseUrl, onDatabaseError);
  const commitLane = new Lane(databaseUrl, onDatabaseError);
  const leaseLane = new Lane(databaseUrl, onDatabaseError);
  const keys = SecretKeys.parse(secretKey);
  const site = new Site({ publicUrl: config.publicUrl, proxies: config.proxies });
  const signing = new SigningKeys(keys);
  const tools = await loadTools({
    ...config,
    log,
    assert: (asked) => signing.sign({ ...asked, issuer: site.publicUrl }),
  });
  const endpoints = await EndpointRegistry.load({ folder: config.project, reload: config.reload, log });
  const prices = withPrices(config.prices);

  const feed = new Feed(database, wakes);
  const authenticator = new Authenticator({ sql: database, wakes });
  const refusals = new Refusals({
    sql: database,
    onError: (error) => log.error({ error: errorFacts(error) }, "a refusal could not be put into the audit log"),
    onRefusal: (action, code) => metrics?.refusal(action, code),
  });
  const acts = new Acts(database, authenticator, refusals);
  const onLimitError = (error: unknown) => log.warn({ error: errorFacts(error) }, "a limit could not be read");
  const requests = new RequestLimits({ sql: database, onError: onLimitError });
  const atOnce = new RunsAtOnce({
    sql: database,
    defaultLimit: config.runsAtOnce,
    onError: onLimitError,
    onRefusal: () => metrics?.limited("runs"),
  });
  const connections = new Connections({ sql: database, wakes, keys });
  const inputSchemaOf = (tool: string) => tools.get(tool)?.inputSchema;
  const agents = new Agents({ wakes, connections, toolNames: () => tools.names(), inputSchemaOf });
  const directory = new AgentDirectory({ sql: database, wakes });
  const threads = new ThreadDirectory(database);
  const commits = new RunCommits(commitLane, feed, onDatabaseError, (organization) =>
    wakes.send("permission", organization),
  );
  const batch = new StartBatch(startLane);
  const onBudgetError = (error: unknown) => log.warn({ error: errorFacts(error) }, "a budget could not be settled");
  const budgets = new BudgetLedger({ database, wakes, now, onError: onBudgetError });

  const modelSettings = {
    allowPrivateNetwork: config.allowPrivateNetwork,
    idleTimeoutMs: config.modelIdleMs,
    maxResponseBytes: config.maxModelBytes,
    ...(config.demoDelayMs === undefined ? {} : { demoDelayMs: config.demoDelayMs }),
  };
  // Found again by all runs that are given the same connections: a second's, as long as those are remembered.
  const models = new WeakMap<Found, ModelTarget[]>();
  const callable = (found: Found): ModelTarget[] => {
    const known = models.get(found);
    if (known !== undefined) return known;
    const made = found.map((one) => ({
      model: createModel(one, modelSettings),
      modelId: one.modelId,
      label: one.label,
    }));
    models.set(found, made);
    return made;
  };
  const engine = new Engine({
    role: config.role,
    slots: config.runSlots,
    wakes,
    lease: leaseLane,
    services: {
      database,
      keys,
      feed,
      commits,
      authority: createAuthority({ sql: database, authenticator, agents: directory }),
      authenticator,
      agents: directory,
      tools,
      log,
      now,
      cost: (provider, model, usage) => costMicros(provider, model, usage, prices),
      price: (provider, model) => toWirePrice(priceFor(provider, model, prices)),
      budgets,
      wheel: new Wheel(DELTA_MS),
      fetch: guardedFetch({ allowPrivate: config.allowPrivateNetwork }),
      maxFileBytes: config.maxFileBytes,
      config: async ({ row, key }) => {
        const found =
          row.config !== null
            ? agentConfig.parse(row.config) // it may have been stored before a setting existed
            : await directory.version(
                key.organizationId,
                fromUuid("agent", row.agent_id as string),
                row.agent_version as number,
              );
        await tools.ready(found.tools.map(({ name }) => name));
        return found;
      },
      targets: async ({ key }, agentConfig) => {
        const found = await connections.resolve(key.organizationId, agentConfig.model).catch((error: unknown) => {
          throw error instanceof SecretError ? new RunFailure("model_key_unreadable", error.message) : error;
        });
        if (found.length === 0)
          throw new RunFailure("model_connection_missing", "the agent's model connection does not exist");
        return callable(found);
      },
    },
  });

  const open = new OpenRequests(authenticator, wakes);
  const streams = new Streams(open);
  metrics = new Metrics({ runs: () => engine.size, streams: () => streams.size, pendingCommits: () => commits.depth });
  const world: World = {
    database,
    wakes,
    feed,
    open,
    streams,
    authenticator,
    acts,
    agents: directory,
    threads,
    refusals,
    keys,
    host: engine,
    atOnce,
    batch,
    now,
    maxFileBytes: config.maxFileBytes,
    checkConfig: async (caller, config) => {
      const models = await connections.problems(database, caller.organizationId, config.model);
      const groups = await groupProblems(database, caller.organizationId, config.approvals);
      refuseProblems("raw", [...draftProblems(config, tools.names(), inputSchemaOf), ...models, ...groups]);
    },
  };
  const endpointWorld: EndpointWorld = { ...world, endpoints, loop: new LoopWatch(log), log };
  const jobs = new Jobs({ world: endpointWorld, worker: () => engine.worker() });
  const identity: SsoWorld & { keys: SecretKeys } = {
    database,
    wakes,
    keys,
    refusals,
    passwords: new Passwords(),
    rules: config.session,
    publicUrl: () => site.publicUrl,
    issuers: new Issuers({ keys, allowPrivate: config.allowPrivateNetwork }),
  };
  const stopping = new AbortController();
  const handlers: Handlers = {
    ...threadHandlers(world),
    ...runHandlers(world),
    ...permissionHandlers(world),
    ...jobHandlers({ database, jobs, refusals, streams, open }),
    ...fileHandlers(world),
    ...documentHandlers({ database, acts }),
    ...agentHandlers({ sql: database, acts, agents, tools: () => tools.list() }),
    ...modelHandlers({ acts, connections, agents }),
    ...organizationHandlers({ sql: database, acts, wakes }),
    ...budgetHandlers({ sql: database, acts, wakes, agents, now }),
    ...tokenHandlers({ sql: database, acts, wakes }),
    ...sessionHandlers({ acts, authenticator, identity, site }),
    ...invitationHandlers({ acts, identity }),
    ...ssoHandlers({ acts, sso: identity, site }),
  };
  const gate = new Gate({
    authenticator,
    site,
    requests,
    failures: new FailureLimit({ perMinute: config.authFailuresPerMinute }),
    metrics,
    defaults: { token: config.requestsPerMinute, organization: config.organizationRequestsPerMinute },
  });
  const api: Hono<{ Bindings: HttpBindings }> | null =
    config.role === "worker"
      ? null
      : createApi(handlers, { database, authenticator, site, gate, refusals, keys, log, metrics });
  let calls: ReturnType<typeof serveEndpoints> | undefined;
  if (api !== null) {
    const lease = () => engine.lease();
    calls = serveEndpoints(api, {
      world: endpointWorld,
      jobs,
      lease,
      open,
      stopping: stopping.signal,
      gate,
      refusals,
      metrics,
      log,
    });
  }
  let serving = true;
  const ready = async () => serving && (await database.row(ping).then(Boolean, () => false));
  const lookAgain = () =>
    tools
      .refresh()
      .catch((error) => log.error({ error: errorFacts(error) }, "the project's tools could not be looked at"));
  const before = config.reload ? lookAgain : null;
  const socket = createServer({ api, metrics, log, endpoints, signing: signing.published, before, ready });
  const server: HttpServer = {
    ...socket,
    async listen(port, host) {
      const actual = await socket.listen(port, host);
      site.listening(host, actual);
      metrics.listening();
      return actual;
    },
  };

  await wakes.start();
  await engine.start();
  jobs.start();
  void warnOfUnknownKeys(database, keys, log);
  const timers = [setInterval(() => void feed.tick(), 1000), setInterval(() => void sweep(database, log), SWEEP_MS)];

  return {
    database,
    authenticator,
    wakes,
    refusals,
    agents,
    connections,
    engine,
    endpoints,
    tools,
    server,
    async stop(graceMs) {
      serving = false;
      const deadline = Date.now() + graceMs;
      const left = () => Math.max(0, deadline - Date.now());
      streams.stop();
      open.stop();
      const closing = server.close(left());
      // Without another process nobody goes on with the runs that these calls wait for.
      if (!wakes.othersAlive) stopping.abort(new CallboardError("unavailable", "the server is stopping"));
      await jobs.stop();
      await engine.stop(left());
      commits.stop();
      await tools.stop();
      await closing;
      await calls?.settled();
      // Not before: requests that are still open may wait for runs that others go on with now.
      for (const timer of timers) clearInterval(timer);
      await authenticator.stop().catch(() => undefined);
      await refusals.stop();
      await requests.stop();
      connections.close();
      budgets.close();
      directory.close();
      await wakes.close();
      await startLane.close();
      await commitLane.close();
      await leaseLane.close();
      closed = true;
      await database.close();
    },
  };
}

/** Not waited for: a server without a key serves what needs none. */
async function warnOfUnknownKeys(database: Database, keys: SecretKeys, log: Logger): Promise<void> {
  const unknown = await countUnknown(database, keys, lastingSecrets).catch(() => 0); // the database is away: others tell
  if (unknown === 0) return;
  const help = "calls that need them fail until CALLBOARD_SECRET_KEY has their key again";
  log.error({ unknown, key_ids: keys.ids }, `stored secrets are under a key that this server does not have: ${help}`);
}

async function sweep(database: Database, log: Logger): Promise<void> {
  try {
    await sweepIdempotencyKeys(database);
    await sweepBlobs(database);
    await sweepJobs(database);
    await sweepDeltas(database);
    await sweepBuckets(database);
    await sweepReservations(database);
    await sweepSessions(database);
    await sweepIdentity(database);
  } catch (error) {
    log.warn({ error: errorFacts(error) }, "old rows could not be removed");
  }
}
