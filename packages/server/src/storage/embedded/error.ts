/** PostgreSQL cannot be started from this folder. The message is written for the operator and says what to do. */
export class EmbeddedPostgresError extends Error {
  readonly code = "embedded_postgres";

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "EmbeddedPostgresError";
  }
}
