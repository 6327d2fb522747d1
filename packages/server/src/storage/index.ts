/** The storage room: connection, transactions, group-commit lanes, migrations, wake-ups, embedded PostgreSQL. */
export {
  Database,
  type DatabaseOptions,
  isConflictError,
  isConnectionError,
  isUniqueViolation,
  type Sql,
  type Statement,
  statement,
  type TenantScope,
  type Transaction,
  toRefusal,
} from "./database.ts";
export { embeddedUrl, startPostgres } from "./embedded.ts";
export { isDeepJson, MAX_JSON_DEPTH } from "./json-depth.ts";
export { Lane } from "./lane.ts";
export { migrate } from "./migrate.ts";
export { decodeCursor, encodeCursor, FIRST_UUID, LAST_UUID, toPage } from "./page.ts";
export { Wakes, type WakeTopic } from "./wake.ts";
