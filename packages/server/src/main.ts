/** Starting and stopping: read the settings, open the database, build the app, listen, wait for the end. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type App, createApp } from "./app.ts";
import { type Config, loadConfig } from "./config/index.ts";
import { isProjects, type LoadedEndpoint, projectPlace } from "./endpoints/index.ts";
import { operatorLink, operatorPassword, Passwords } from "./identity/index.ts";
import { createLogger, errorFacts, type Logger } from "./log/index.ts";
import { operatorsUrl } from "./operator.ts";
import {
  type AgentInFile,
  applyAgents,
  applyDocuments,
  applyModels,
  type CollectionPlan,
  type Credentials,
  createOwner,
  loadAgents,
  loadDocuments,
  localCredentials,
  readCredentials,
  writeCredentials,
} from "./project/index.ts";
import { SecretKeys } from "./secrets/index.ts";
import { Database, migrate, startPostgres, Wakes } from "./storage/index.ts";

export { type AuditedOrganization, auditHeads, auditVerify, rotateKeys } from "./operator.ts";
/** Agents and documents in files, for the command line. */
export {
  type AgentInFile,
  type AgentPlan,
  type AgentUpdate,
  accessFor,
  type CollectionInFiles,
  type CollectionPlan,
  type DocumentInFile,
  type DocumentPlan,
  type FoundAgent,
  type FoundCollection,
  loadAgents,
  loadDocuments,
  planAgents,
  planCollections,
  publishAll,
  withoutFile,
  writes,
} from "./project/index.ts";
export type { Rotation } from "./secrets/index.ts";

/** `npm start`: an embedded database unless there is one, a local organization, the example project. */
export async function startDev(): Promise<void> {
  const config = await loadConfig(process.env, "dev");
  const log = createLogger(config.logLevel);
  const surviveProject = endOnFailure(log);
  await mkdir(config.dataDir, { recursive: true });
  const postgres =
    config.databaseUrl === undefined
      ? await startPostgres({
          dataDir: join(config.dataDir, "postgres"),
          ...(config.postgresBin === undefined ? {} : { binDir: config.postgresBin }),
          log: (line) => log.info({}, line),
        })
      : undefined;
  try {
    const databaseUrl = config.databaseUrl ?? (postgres?.url as string);
    await migrate(databaseUrl);
    const app = await createApp(config, databaseUrl, await localKey(config), log);
    surviveProject(app);
    await orStop(app, async () => {
      const port = await listen(app, config);
      await prepare(app, config, `http://${config.host}:${port}`, log);
    });
    const end = endOnSignals(app, config, log, async () => postgres?.stop());
    endWithScript(() => end("the npm script ended"));
    postgres?.onExit((exit) => log.error({ exit }, "PostgreSQL ended by itself"));
  } catch (error) {
    await postgres?.stop();
    throw error;
  }
}

/** `callboard serve`: production. Any number of these share one database. */
export async function startServe(): Promise<void> {
  const config = await loadConfig(process.env, "serve");
  const log = createLogger(config.logLevel);
  const surviveProject = endOnFailure(log);
  const databaseUrl = config.databaseUrl as string; // loadConfig asks for both
  await migrate(databaseUrl);
  const app = await createApp(config, databaseUrl, config.secretKey as string, log);
  surviveProject(app);
  const port = await orStop(app, () => listen(app, config));
  log.info({ host: config.host, port, role: config.role, pid: process.pid }, "listening");
  endOnSignals(app, config, log, async () => undefined);
}

/** A start that fails half-way leaves nothing running: an engine at work would keep the process alive. */
async function orStop<T>(app: App, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    await app.stop(0).catch(() => undefined); // the first error is the one to tell
    throw error;
  }
}

/** @throws an error with code `config` when the port is another's */
async function listen({ server }: App, { port, host }: Config): Promise<number> {
  return server.listen(port, host).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error;
    const message = `port ${port} of ${host} is in use. Stop what listens there, or set PORT to another one.`;
    throw Object.assign(new Error(message, { cause: error }), { code: "config" });
  });
}

/** `callboard admin init`: the first owner and token on an empty database. */
export async function adminInit(plan: {
  email: string;
  organizationName: string;
  name?: string;
}): Promise<{ organization_id: string; user_id: string; token: string }> {
  const databaseUrl = process.env.DATABASE_URL;
  if (!databaseUrl) throw Object.assign(new Error("DATABASE_URL is missing"), { code: "config" });
  await migrate(databaseUrl);
  const database = new Database({ connectionString: databaseUrl, poolSize: 2 });
  try {
    const { email, organizationName, name = email.split("@")[0] ?? email } = plan;
    const made = await createOwner(database, { email, name, organizationName, membersEditAgents: false });
    return { organization_id: made.organizationId, user_id: made.userId, token: made.token };
  } finally {
    await database.close();
  }
}

/** `callboard admin set-password`: the operator's word. @throws CallboardError for nobody, and for a weak password */
export function adminPassword(email: string, password: string): Promise<{ user_id: string }> {
  return asOperator(async ({ database, wakes }) => {
    const user = await operatorPassword({ database, wakes, passwords: new Passwords() }, email, password);
    return { user_id: user };
  });
}

/** `callboard admin set-password --link`. */
export function adminPasswordLink(email: string): Promise<{ url: string; expires_at: string }> {
  return asOperator(async ({ database, config }) => {
    const local = config.databaseUrl === undefined ? await readCredentials(config.dataDir) : undefined;
    const publicUrl = config.publicUrl ?? local?.base_url ?? `http://${config.host}:${config.port}`;
    const { url, expires_at } = await operatorLink({ database, publicUrl: () => publicUrl }, email);
    return { url, expires_at };
  });
}

type Operator = { database: Database; wakes: Wakes; config: Config };

/** Work on the database at DATABASE_URL, else on the one that `npm start` runs in the data folder. */
async function asOperator<T>(work: (operator: Operator) => Promise<T>): Promise<T> {
  const config = await loadConfig(process.env, "dev");
  const databaseUrl = await operatorsUrl(config);
  await migrate(databaseUrl);
  const database = new Database({ connectionString: databaseUrl, poolSize: 2 });
  // Servers that run are told at once.
  const wakes = new Wakes(databaseUrl, randomUUID(), () => undefined);
  await wakes.start();
  try {
    return await work({ database, wakes, config });
  } finally {
    await wakes.close();
    await database.close();
  }
}

/** The key that encrypts secrets: the operator's, or one made on the first start and kept in the data folder. */
async function localKey(config: Config): Promise<string> {
  if (config.secretKey !== undefined) return config.secretKey;
  const file = join(config.dataDir, "secret.key");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const key = SecretKeys.generate();
    await writeFile(file, `${key}\n`, { mode: 0o600, flag: "wx" });
    return key;
  }
}

async function prepare(app: App, config: Config, baseUrl: string, log: Logger): Promise<void> {
  const local = await localCredentials(app.database, config.dataDir, baseUrl);
  if (local === undefined) {
    process.stdout.write(
      `\nCallboard is at ${baseUrl}\nIts first token was made before and is not in ${config.dataDir}.\n`,
    );
    return;
  }
  const caller = await app.authenticator.authenticate(`Bearer ${local.credentials.token}`);
  await applyModels(app, caller, config.models);
  const files = config.project === null ? [] : await applicable(app, await loadAgents(config.project), log);
  const agents = await applyAgents(app, caller, files);
  if (config.project !== null) warn(await applyDocuments(app, caller, await loadDocuments(config.project)), log);
  const credentials = { ...local.credentials, agents };
  await writeCredentials(config.dataDir, credentials);
  greet(credentials, config, local.fresh, app.endpoints.list());
}

function warn(collections: readonly CollectionPlan[], log: Logger): void {
  for (const { slug, file, language } of collections) {
    if (language === undefined) continue;
    const facts = { collection: slug, language, in_file: file.language };
    log.warn(facts, "a collection keeps its language: delete it to give it another one");
  }
}

/** Without the agents whose tools a server elsewhere would have and did not tell: they stay as they were. */
async function applicable({ tools }: App, files: AgentInFile[], log: Logger): Promise<AgentInFile[]> {
  await tools.ready(files.flatMap(({ draft }) => draft.tools.map(({ name }) => name)));
  return files.filter(({ slug, draft }) => {
    const reason = draft.tools.map(({ name }) => tools.missing(name)).find((why) => why !== undefined);
    if (reason !== undefined) log.warn({ agent: slug, reason }, "an agent of the project is not applied");
    return reason === undefined;
  });
}

function greet(credentials: Credentials, config: Config, fresh: boolean, endpoints: readonly LoadedEndpoint[]): void {
  const { base_url: baseUrl, token, agents } = credentials;
  const isDesk = "ticket-triage" in agents;
  const agent = isDesk ? "ticket-triage" : (Object.keys(agents)[0] ?? "<agent>");
  const words = isDesk
    ? "Since the update our card reader only shows E-17 and we cannot take cards."
    : "Hello, what can you do for me?";
  const model = config.models[0];
  const isDemo = model?.kind === "demo";
  const shown = fresh ? token : "$CALLBOARD_TOKEN";
  const lines = [
    "",
    `  Callboard   ${baseUrl}`,
    `  API docs    ${baseUrl}/api/v1/docs`,
    `  Agents      ${Object.keys(agents).join(", ") || "none"}`,
    `  Endpoints   ${endpoints.map(({ definition, template }) => `${definition.method} ${template}`).join(", ") || "none"}`,
    `  Model       ${isDemo ? "demo: built in, deterministic, not a real model. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENAI_BASE_URL for one." : `${model?.model} (${model?.slug})`}`,
    fresh
      ? `  Token       ${token}   (shown once; kept in ${join(config.dataDir, "credentials.json")})`
      : `  Token       in ${join(config.dataDir, "credentials.json")}`,
    "",
    "  Try it:",
    "",
    ...(fresh
      ? []
      : [`    export CALLBOARD_TOKEN=$(node -p 'require("${join(config.dataDir, "credentials.json")}").token')`]),
    `    curl -s ${baseUrl}/api/v1/agents/${agent}/threads -H "Authorization: Bearer ${shown}" \\`,
    `      -H "Content-Type: application/json" \\`,
    `      -d '{"input":{"type":"user.message","text":"${words}"}}'`,
    "",
    "  Then follow the thread it answers with:",
    "",
    `    curl -N ${baseUrl}/api/v1/threads/<thread id>/events/stream -H "Authorization: Bearer ${shown}"`,
    "",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** The server's own files. */
const OWN_FOLDER = join(import.meta.dirname, "..");

/**
 * What nobody caught. Of the project's code, like a call without `await` or a timer that throws, it is that code's
 * mistake: it is logged with its place, and everybody else is served on. One of the server's own ends the process,
 * and is logged like any other: Node would print it as it is.
 *
 * @returns takes the app once there is one: its project is known then
 */
function endOnFailure(log: Logger): (app: App) => void {
  let project = "";
  const on = (what: "uncaughtException" | "unhandledRejection", message: string) => {
    process.on(what, (error: unknown) => {
      if (isProjects(error, project, OWN_FOLDER)) {
        log.error({ at: projectPlace(error, project), error: errorFacts(error) }, message);
        return;
      }
      log.error({ error: errorFacts(error) }, "an error that nobody caught ends the server");
      process.exit(1);
    });
  };
  on("uncaughtException", "an error of the project was thrown where nobody catches it");
  on("unhandledRejection", "a promise of the project was rejected and nobody waited for it");
  return (app) => {
    project = app.endpoints.folder;
  };
}

/** SIGTERM and SIGINT stop in order; a second one at once. */
function endOnSignals(app: App, config: Config, log: Logger, last: () => Promise<unknown>): (reason: string) => void {
  let ending = false;
  const end = (signal: string) => {
    if (ending) process.exit(1);
    ending = true;
    log.info({ signal }, "stopping");
    const limit = setTimeout(() => process.exit(0), config.graceMs + 2000);
    app
      .stop(config.graceMs)
      .catch((error) => log.error({ error: errorFacts(error) }, "the stop was not clean"))
      .then(last)
      .then(() => {
        clearTimeout(limit);
        process.exit(0);
      });
  };
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
  return end;
}

/** Who began this process; looked up before anything takes its time. */
const parent = process.ppid;
/** How often a server looks whether the npm script that began it is still there. */
const LOOK_MS = 500;

/** npm hands a signal to its shell alone, which ends without passing it on: the server would stay and hold its folder. */
function endWithScript(end: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, LOOK_MS).unref();
}
