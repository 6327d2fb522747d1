/**
 * Model connections: a provider, its address and its key, under a slug.
 *
 * M1: an organization with connections has exactly one default; the first one is it.
 * M2: a key goes in and never comes out: lists say only that there is one.
 * M3: a key goes to the address it was given for: another host asks for the key again.
 */
import {
  type AgentConfig,
  CallboardError,
  type CreateModelConnection,
  type FieldProblem,
  fromUuid,
  type ModelConnection,
  type ModelConnectionId,
  type ModelKind,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  toUuid,
  type UpdateModelConnection,
} from "@callboard/protocol";
import {
  type AccessWakes,
  accessChanged,
  audit,
  EpochCache,
  type Grant,
  invalidRequest,
  requireStorable,
} from "../access/index.ts";
import { type SealedSecret, SecretError, type SecretKeys, secretColumn } from "../secrets/index.ts";
import {
  decodeCursor,
  FIRST_UUID,
  isUniqueViolation,
  type Sql,
  statement,
  type Transaction,
  toPage,
} from "../storage/index.ts";

const columns = `id, slug, kind, base_url, default_model, secret, is_default, created_at, updated_at
  from model_connections`;
const get = statement("models.get", `select ${columns} where organization_id = $1 and id = $2`);
// Served by the primary key.
const list = statement("models.list", `select ${columns} where organization_id = $1 and id > $2 order by id limit $3`);
// One row at least, so that the epoch is there without connections too.
const bySlugs = statement(
  "models.by-slugs",
  `select o.access_epoch, m.id, m.slug, m.kind, m.base_url, m.default_model, m.secret, m.is_default
     from organizations o
     left join model_connections m on m.organization_id = o.id and (m.slug = any($2::text[]) or m.is_default)
    where o.id = $1`,
);
const insert = statement(
  "models.insert",
  `insert into model_connections (organization_id, id, slug, kind, base_url, default_model, secret, is_default)
   values ($1, $2, $3, $4, $5, $6, $7, $8)`,
);
const update = statement(
  "models.update",
  `update model_connections set base_url = $3, default_model = $4, secret = $5, is_default = $6, updated_at = now()
    where organization_id = $1 and id = $2`,
);
const remove = statement("models.delete", "delete from model_connections where organization_id = $1 and id = $2");
const unsetDefault = statement(
  "models.unset-default",
  "update model_connections set is_default = false where organization_id = $1 and is_default",
);
const hasDefault = statement(
  "models.has-default",
  "select 1 from model_connections where organization_id = $1 and is_default",
);

/** The keys of model connections, for changing the server's key. */
export const connectionSecrets = secretColumn("model_connections");

type Target = {
  id: string;
  slug: string;
  kind: ModelKind;
  base_url: string | null;
  default_model: string | null;
  secret: SealedSecret | null;
  is_default: boolean;
};
type Row = Target & { created_at: string; updated_at: string };

const toConnection = ({ secret, id, ...row }: Row): ModelConnection => ({
  ...row,
  id: fromUuid("modelConnection", id),
  has_key: secret !== null,
});

/** One place to send a model call to. */
export type ModelTarget = {
  /** The connection's slug. */
  readonly label: string;
  readonly kind: ModelKind;
  readonly baseUrl: string | null;
  /** In the clear: for the provider's request only. */
  readonly apiKey: string | null;
  readonly modelId: string;
};

const CACHED = 1000;
const MAX_AGE_MS = 1000;
const DEMO_MODEL = "demo";

export type ConnectionsOptions = { sql: Sql; wakes: AccessWakes; keys: SecretKeys };

export class Connections {
  readonly #sql: Sql;
  readonly #wakes: AccessWakes;
  readonly #keys: SecretKeys;
  readonly #targets: EpochCache<ModelTarget[]>;

  constructor({ sql, wakes, keys }: ConnectionsOptions) {
    this.#sql = sql;
    this.#wakes = wakes;
    this.#keys = keys;
    this.#targets = new EpochCache({ wakes, capacity: CACHED, maxAgeMs: MAX_AGE_MS });
  }

  /** In the order of creation. @throws invalid_request for a wrong cursor */
  async list(
    { organizationId }: Grant<"models.read">,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<{ data: ModelConnection[]; next_cursor: string | null }> {
    const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
    const rows = await this.#sql.rows<Row>(list, [toUuid(organizationId), after, page.limit + 1]);
    return toPage(rows, page.limit, (row) => row.id, toConnection);
  }

  /** @throws not_found */
  async get({ organizationId }: Grant<"models.read">, connectionId: string): Promise<ModelConnection> {
    return toConnection(await read(this.#sql, organizationId, connectionId));
  }

  /** @throws slug_taken, invalid_request */
  async create(
    tx: Transaction,
    { caller, organizationId }: Grant<"models.manage">,
    body: CreateModelConnection,
    requestId: RequestId | null,
  ): Promise<ModelConnection> {
    requireStorable(body);
    requireAddress(body.base_url ?? null, body.kind);
    await accessChanged(tx, this.#wakes, organizationId); // takes the lock of M1
    const organization = toUuid(organizationId);
    const isFirst = (await tx.row(hasDefault, [organization])) === undefined;
    if (body.is_default && !isFirst) await tx.run(unsetDefault, [organization]);
    const id = newId("modelConnection");
    try {
      await tx.run(insert, [
        organization,
        toUuid(id),
        body.slug,
        body.kind,
        body.base_url ?? null,
        body.default_model ?? null,
        body.api_key == null ? null : this.#seal(body.api_key, organizationId, id),
        isFirst || body.is_default,
      ]);
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new CallboardError("slug_taken", `another model connection has the slug ${body.slug}`);
    }
    await audit(tx, {
      actor: { caller },
      action: "model_connection.create",
      target: id,
      outcome: "done",
      details: { slug: body.slug, kind: body.kind },
      requestId,
    });
    return toConnection(await read(tx, organizationId, id));
  }

  /** Fields that are absent stay; `api_key: null` removes the key. @throws not_found, invalid_request */
  async update(
    tx: Transaction,
    { caller, organizationId }: Grant<"models.manage">,
    connectionId: string,
    body: UpdateModelConnection,
    requestId: RequestId | null,
  ): Promise<ModelConnection> {
    requireStorable(body);
    await accessChanged(tx, this.#wakes, organizationId); // takes the lock of M1
    const before = await read(tx, organizationId, connectionId);
    const id = fromUuid("modelConnection", before.id);
    const baseUrl = body.base_url === undefined ? before.base_url : body.base_url;
    requireAddress(baseUrl, before.kind);
    if (before.is_default && body.is_default === false) {
      throw invalidRequest([{ path: "is_default", message: "make another connection the default instead" }]);
    }
    const movesHost = originOf(baseUrl) !== originOf(before.base_url);
    if (movesHost && before.secret !== null && body.api_key === undefined) {
      throw invalidRequest([
        { path: "api_key", message: "expected the key again: the address changes to another host" },
      ]);
    }
    if (body.is_default && !before.is_default) await tx.run(unsetDefault, [toUuid(organizationId)]);
    await tx.run(update, [
      toUuid(organizationId),
      before.id,
      baseUrl,
      body.default_model === undefined ? before.default_model : body.default_model,
      this.#nextSecret(body.api_key, before, organizationId, id),
      before.is_default || body.is_default === true,
    ]);
    await audit(tx, {
      actor: { caller },
      action: "model_connection.update",
      target: id,
      outcome: "done",
      details: { slug: before.slug, fields: Object.keys(body) },
      requestId,
    });
    return toConnection(await read(tx, organizationId, id));
  }

  /**
   * @param userOf names what still uses the connection with that slug, if anything does
   * @throws not_found, connection_in_use for the default and for one in use
   */
  async delete(
    tx: Transaction,
    { caller, organizationId }: Grant<"models.manage">,
    connectionId: string,
    userOf: (tx: Transaction, organizationId: OrganizationId, slug: string) => Promise<string | undefined>,
    requestId: RequestId | null,
  ): Promise<void> {
    await accessChanged(tx, this.#wakes, organizationId);
    const row = await read(tx, organizationId, connectionId);
    const user = row.is_default ? "the organization, as its default," : await userOf(tx, organizationId, row.slug);
    if (user !== undefined) {
      throw new CallboardError("connection_in_use", `${user} uses the model connection ${row.slug}`);
    }
    await tx.run(remove, [toUuid(organizationId), row.id]);
    await audit(tx, {
      actor: { caller },
      action: "model_connection.delete",
      target: fromUuid("modelConnection", row.id),
      outcome: "done",
      details: { slug: row.slug },
      requestId,
    });
  }

  /**
   * What is wrong with an agent's choice of model: missing connections, no model named anywhere.
   * Paths are those of an agent's draft.
   */
  async problems(sql: Sql, organizationId: OrganizationId, choice: AgentConfig["model"]): Promise<FieldProblem[]> {
    const { connections } = await readChoice(sql, organizationId, choice);
    const problems: FieldProblem[] = [];
    const main = choose(connections, choice.connection);
    if (main === undefined) {
      const message =
        choice.connection === undefined
          ? "the organization has no default model connection"
          : `there is no model connection ${choice.connection}`;
      problems.push({ path: "model.connection", message });
    } else if (modelIdOf(main, choice) === undefined) {
      problems.push({
        path: "model.id",
        message: `expected a model: the connection ${main.slug} names no default one`,
      });
    }
    choice.fallbacks?.forEach((slug, i) => {
      const fallback = choose(connections, slug);
      const path = `model.fallbacks[${i}]`;
      if (fallback === undefined) problems.push({ path, message: `there is no model connection ${slug}` });
      else if (modelIdOf(fallback, choice, true) === undefined) {
        problems.push({ path, message: `the connection ${slug} names no default model` });
      }
    });
    return problems;
  }

  /**
   * Where to send an agent's model calls, in order: the chosen connection or the default, then the fallbacks.
   * A connection that is gone, or that names no model, is left out; the list may be empty.
   *
   * A fallback uses its own default model, and the agent's model id when it has none.
   * At most a second old; changes are seen at once.
   *
   * @throws SecretError when a key cannot be opened
   */
  async resolve(organizationId: OrganizationId, choice: AgentConfig["model"]): Promise<readonly ModelTarget[]> {
    const key = JSON.stringify([choice.connection ?? null, choice.id ?? null, choice.fallbacks ?? []]);
    const { value } = await this.#targets.get(organizationId, key, async () => {
      const { epoch, connections } = await readChoice(this.#sql, organizationId, choice);
      const order = [
        { row: choose(connections, choice.connection), isFallback: false },
        ...(choice.fallbacks ?? []).map((slug) => ({ row: choose(connections, slug), isFallback: true })),
      ];
      const value = order.flatMap(({ row, isFallback }) => {
        const modelId = row && modelIdOf(row, choice, isFallback);
        return row === undefined || modelId === undefined ? [] : [this.#toTarget(organizationId, row, modelId)];
      });
      return { epoch, value };
    });
    return value;
  }

  close(): void {
    this.#targets.close();
  }

  #toTarget(organizationId: OrganizationId, row: Target, modelId: string): ModelTarget {
    const shared = { label: row.slug, kind: row.kind, baseUrl: row.base_url, modelId };
    if (row.secret === null) return { ...shared, apiKey: null };
    try {
      return { ...shared, apiKey: this.#keys.open(row.secret, identity(organizationId, row.id)) };
    } catch (cause) {
      if (!(cause instanceof SecretError)) throw cause;
      throw new SecretError(`the key of the model connection ${row.slug} cannot be opened: ${cause.message}`, {
        cause,
      });
    }
  }

  #seal(apiKey: string, organizationId: OrganizationId, id: ModelConnectionId): string {
    return JSON.stringify(this.#keys.seal(apiKey, identity(organizationId, toUuid(id))));
  }

  #nextSecret(
    apiKey: string | null | undefined,
    before: Row,
    organizationId: OrganizationId,
    id: ModelConnectionId,
  ): string | null {
    if (typeof apiKey === "string") return this.#seal(apiKey, organizationId, id);
    return apiKey === null || before.secret === null ? null : JSON.stringify(before.secret);
  }
}

const identity = (organizationId: OrganizationId, uuid: string): string =>
  `model_connections/${toUuid(organizationId)}/${uuid}`;

const choose = (connections: readonly Target[], slug: string | undefined): Target | undefined =>
  connections.find((row) => (slug === undefined ? row.is_default : row.slug === slug));

function modelIdOf(row: Target, choice: AgentConfig["model"], isFallback = false): string | undefined {
  const own = row.default_model ?? (row.kind === "demo" ? DEMO_MODEL : undefined);
  return isFallback ? (own ?? choice.id) : (choice.id ?? own);
}

function originOf(baseUrl: string | null): string | null {
  return baseUrl === null ? null : new URL(baseUrl).origin;
}

/** @throws invalid_request unless the address is http(s) without a name and password in it */
function requireAddress(baseUrl: string | null, kind: ModelKind): void {
  const refuse = (message: string) => invalidRequest([{ path: "base_url", message }]);
  if (baseUrl === null) {
    if (kind === "openai-compatible") throw refuse("expected an address for kind openai-compatible");
    return;
  }
  const url = URL.parse(baseUrl);
  if (url === null || !/^https?:$/.test(url.protocol)) throw refuse("expected an http or https address");
  // It would be shown to everybody who may read connections.
  if (url.username !== "" || url.password !== "") throw refuse("expected no user name or password in the address");
}

async function read(sql: Sql, organizationId: OrganizationId, connectionId: string): Promise<Row> {
  const id = parseId("modelConnection", connectionId);
  const row = id && (await sql.row<Row>(get, [toUuid(organizationId), toUuid(id)]));
  if (row === undefined) throw new CallboardError("not_found", "there is no such model connection for this caller");
  return row;
}

async function readChoice(
  sql: Sql,
  organizationId: OrganizationId,
  choice: AgentConfig["model"],
): Promise<{ epoch: number; connections: Target[] }> {
  const slugs = [...(choice.connection === undefined ? [] : [choice.connection]), ...(choice.fallbacks ?? [])];
  const rows = await sql.rows<(Target | { id: null }) & { access_epoch: number }>(bySlugs, [
    toUuid(organizationId),
    slugs,
  ]);
  return {
    epoch: rows[0]?.access_epoch ?? 0,
    connections: rows.filter((row): row is typeof row & Target => row.id !== null),
  };
}
