/** Acts that manage something: one transaction of one tenant, a caller read anew in it, refusals in the audit log. */
import type { AuditAction, RequestId } from "@callboard/protocol";
import type { Database, Transaction } from "../storage/index.ts";
import type { Authenticator } from "./authenticate.ts";
import { type Caller, scopeOf } from "./caller.ts";
import { type Refusals, toTarget } from "./refusals.ts";

/** What an act needs to know of a request. */
export type ActRequest = { readonly caller: Caller; readonly requestId: RequestId };
export type CreatingRequest<T, Answer> = ActRequest & {
  once(work: (tx: Transaction) => Promise<T>): Promise<Answer>;
};
export type Work<T> = (tx: Transaction, caller: Caller) => Promise<T>;

export class Acts {
  readonly #database: Database;
  readonly #authenticator: Authenticator;
  readonly #refusals: Refusals;

  constructor(database: Database, authenticator: Authenticator, refusals: Refusals) {
    this.#database = database;
    this.#authenticator = authenticator;
    this.#refusals = refusals;
  }

  /**
   * Runs `work` in one transaction with the caller as it stands then.
   *
   * @param target the thing's id, or what was asked for
   * @throws what `work` throws; a 403 leaves an entry in the audit log
   */
  run<T>(request: ActRequest, action: AuditAction, target: string, work: Work<T>): Promise<T> {
    return this.audited(request, action, target, () =>
      this.#database.tenant(scopeOf(request.caller), (tx) => this.#held(request, tx, work)),
    );
  }

  /** The same for an act that makes something, in the transaction of the request's idempotency key. */
  once<T, Answer>(request: CreatingRequest<T, Answer>, action: AuditAction, work: Work<T>): Promise<Answer> {
    return this.audited(request, action, null, () => request.once((tx) => this.#held(request, tx, work)));
  }

  /**
   * The same where something must be taken in before the transaction: what `prepare` gives is handed to `work`.
   *
   * @param prepare refuses who may not, takes the request's body in, and says what it was, for comparing repeats
   */
  prepared<P, T, Answer>(
    request: ActRequest & { once(work: (tx: Transaction) => Promise<T>, request: readonly string[]): Promise<Answer> },
    action: AuditAction,
    target: string,
    prepare: () => Promise<{ value: P; request: readonly string[] }>,
    work: (tx: Transaction, caller: Caller, value: P) => Promise<T>,
  ): Promise<Answer> {
    return this.audited(request, action, target, async () => {
      const { value, request: facts } = await prepare();
      return request.once((tx) => this.#held(request, tx, (held, caller) => work(held, caller, value)), facts);
    });
  }

  /** An act that holds its caller's rights in another way. @param asked the target's id, or what was asked for */
  async audited<T>(
    { caller, requestId }: ActRequest,
    action: AuditAction,
    asked: string | null,
    act: () => Promise<T>,
  ): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const target = toTarget(asked ?? undefined);
      await this.#refusals.forbidden(error, { actor: { caller }, action, target, requestId });
      throw error;
    }
  }

  async #held<T>(request: ActRequest, tx: Transaction, work: Work<T>): Promise<T> {
    return work(tx, await this.#authenticator.hold(request.caller, tx));
  }
}
