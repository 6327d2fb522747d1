/** Who may see which thread, remembered: these facts never change, and a deleted thread is noticed by its reader. */
import { type OrganizationId, parseId, type Thread, type ThreadId } from "@callboard/protocol";
import { Lru, type ThreadFacts } from "../access/index.ts";
import type { Sql } from "../storage/index.ts";
import { findThread } from "./store.ts";
import { type ThreadRow, toFacts, toThread } from "./thread.ts";

const REMEMBERED = 20_000;

export class ThreadDirectory {
  readonly #sql: Sql;
  readonly #facts = new Lru<string, ThreadFacts>(REMEMBERED);

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** The facts of a thread of this organization, or undefined. */
  async facts(organizationId: OrganizationId, text: string): Promise<ThreadFacts | undefined> {
    const id = parseId("thread", text);
    if (id === undefined) return undefined;
    const known = this.#facts.get(`${organizationId}/${id}`);
    if (known !== undefined) return known;
    const row = await findThread(this.#sql, organizationId, id);
    return row === undefined ? undefined : this.remember(organizationId, toThread(row));
  }

  /** The thread as it is now. */
  row(organizationId: OrganizationId, id: ThreadId): Promise<ThreadRow | undefined> {
    return findThread(this.#sql, organizationId, id);
  }

  /** A thread that is known already, such as one just created. */
  remember(organizationId: OrganizationId, thread: Thread): ThreadFacts {
    const facts = toFacts(thread);
    this.#facts.set(`${organizationId}/${facts.id}`, facts);
    return facts;
  }

  forget(organizationId: OrganizationId, id: ThreadId): void {
    this.#facts.delete(`${organizationId}/${id}`);
  }
}
