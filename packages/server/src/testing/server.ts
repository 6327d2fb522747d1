/** The whole server for tests: a fresh database, a scripted model, a listening socket, an owner with a token. */
import type { AgentDefinition, ConfigDefinition, Endpoint, Tool } from "@callboard/kit";
import {
  type CreateToken,
  newId,
  type OrganizationId,
  type Role,
  type Scope,
  scopes,
  type UserId,
} from "@callboard/protocol";
import { issueToken } from "../access/index.ts";
import { type App, createApp } from "../app.ts";
import { loadConfig } from "../config/index.ts";
import { createLogger } from "../log/index.ts";
import { applyAgents, applyDocuments, createOwner, loadAgents, loadDocuments } from "../project/index.ts";
import { SecretKeys } from "../secrets/index.ts";
import { createTestDatabase } from "./database.ts";
import { HttpClient } from "./http-client.ts";
import { writeProject } from "./project.ts";
import { type ScriptedModel, startScriptedModel } from "./scripted-model.ts";

export type TestServerOptions = {
  /** Added to the environment that the settings are read from. */
  env?: Record<string, string>;
  /** Tools of the project, by name. */
  tools?: Record<string, Tool>;
  /** Published agents of the first organization, by slug; one that names no model uses the scripted model `<slug>`. */
  agents?: Record<string, AgentDefinition>;
  /** Endpoints of the project, by name. */
  // biome-ignore lint/suspicious/noExplicitAny: endpoints of every schema
  endpoints?: Record<string, Endpoint<any, any>>;
  /** The project's `callboard.config.mjs`. */
  config?: ConfigDefinition;
  /** Takes the lines of the log in the place of standard output. */
  onLog?: (line: string) => void;
};

/** What a person's token may do; default: everything, for ever. */
export type PersonalTokenOptions = { scopes?: readonly Scope[]; expiresAtMs?: number };

/** An organization with an owner; the scripted model is its default connection, `scripted`. */
export type TestOrganization = {
  id: OrganizationId;
  ownerId: UserId;
  /** The owner's personal token, with every scope. */
  token: string;
  /** A client with the owner's token, another one, or none. */
  client(token?: string | null): HttpClient;
  /** Adds somebody, with a personal token. */
  person(role: Role, token?: PersonalTokenOptions): Promise<{ userId: UserId; token: string }>;
  /** A further personal token of somebody. */
  personalToken(userId: UserId, token?: PersonalTokenOptions): Promise<string>;
  /** A service token. */
  service(body?: Partial<CreateToken>): Promise<string>;
};

export type TestServer = TestOrganization & {
  app: App;
  baseUrl: string;
  databaseUrl: string;
  model: ScriptedModel;
  /** Another organization on the same server. */
  organization(name?: string): Promise<TestOrganization>;
  /** Another server on the same database, as another process is; to be stopped before this one. `env` is changed. */
  second(env?: Record<string, string>): Promise<{ app: App; baseUrl: string; stop(): Promise<void> }>;
  /** The first row of a query: for counting what was written. */
  row<Row>(text: string, values?: unknown[]): Promise<Row>;
  /** Stops the server alone; its database is there until `stop`. */
  stopApp(): Promise<void>;
  stop(): Promise<void>;
};

/** Starts the server in this process. Call it in `beforeAll`, and `stop` in `afterAll`. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const database = await createTestDatabase();
  const model = await startScriptedModel();
  const project = await writeProject(options);
  const env = {
    DATABASE_URL: database.url,
    CALLBOARD_SECRET_KEY: SecretKeys.generate(),
    CALLBOARD_PROJECT: project.folder,
    CALLBOARD_ALLOW_PRIVATE_NETWORK: "1",
    CALLBOARD_LOG_LEVEL: "error",
    CALLBOARD_POOL_SIZE: "6",
    ...options.env,
  };
  const config = await loadConfig(env, "serve");
  const log = createLogger(config.logLevel, options.onLog);
  const begin = async (more: Record<string, string>) => {
    const all = { ...env, ...more };
    return createApp(await loadConfig(all, "serve"), database.url, all.CALLBOARD_SECRET_KEY, log);
  };
  const app = await begin({});
  let stopping: Promise<void> | undefined;
  const stopApp = () => {
    stopping ??= app.stop(2000);
    return stopping;
  };
  const baseUrl = `http://127.0.0.1:${await app.server.listen(0, "127.0.0.1")}`;
  const organization = (name = "Other") => makeOrganization(app, baseUrl, model, name);
  const first = await organization("Acme");
  const owner = await app.authenticator.authenticate(`Bearer ${first.token}`);
  const folder = config.project ?? project.folder;
  await app.tools.ready();
  await applyAgents(app, owner, await loadAgents(folder));
  await applyDocuments(app, owner, await loadDocuments(folder));
  return {
    ...first,
    app,
    baseUrl,
    databaseUrl: database.url,
    model,
    organization,
    async second(more = {}) {
      const other = await begin(more);
      const address = `http://127.0.0.1:${await other.server.listen(0, "127.0.0.1")}`;
      return { app: other, baseUrl: address, stop: () => other.stop(2000) };
    },
    row: async <Row>(text: string, values: unknown[] = []) =>
      (await app.database.row({ name: "", text }, values)) as Row,
    stopApp,
    async stop() {
      await stopApp();
      await model.stop();
      await project.remove();
      await database.drop();
    },
  };
}

async function makeOrganization(
  { database }: App,
  baseUrl: string,
  model: ScriptedModel,
  name: string,
): Promise<TestOrganization> {
  const email = () => `${newId("user")}@example.com`;
  const plan = { email: email(), name: "Olga", organizationName: name, membersEditAgents: false };
  const { organizationId, userId: ownerId, token } = await createOwner(database, plan);
  const client = (other: string | null = token) => new HttpClient(baseUrl, { token: other });
  const create = async (path: string, json: unknown) => {
    const { status, body, text } = await client().post(path, json);
    if (status !== 201) throw new Error(`${path} answered ${status} ${text}`);
    return body;
  };
  await create("/model-connections", {
    slug: "scripted",
    kind: "openai-compatible",
    base_url: model.baseUrl,
    default_model: "echo",
    is_default: true,
  });

  async function personalToken(userId: UserId, more: PersonalTokenOptions = {}): Promise<string> {
    const token = {
      organizationId,
      kind: "personal",
      label: "test",
      userId,
      scopes: more.scopes ?? scopes,
      agentIds: [],
      mayAttribute: false,
      createdBy: null,
      expiresAtMs: more.expiresAtMs ?? null,
    } as const;
    const made = await database.transaction((tx) => issueToken(tx, token, { operatorOf: organizationId }, null));
    return made.secret;
  }
  return {
    id: organizationId,
    ownerId,
    token,
    client,
    personalToken,
    async person(role, more) {
      const { user_id: userId } = await create("/members", { email: email(), name: role, role });
      return { userId, token: await personalToken(userId, more) };
    },
    service: async (body) => (await create("/tokens", { kind: "service", label: "bot", ...body })).secret,
  };
}
