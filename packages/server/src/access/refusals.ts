/**
 * Refusals in the audit log, bounded: who is refused again and again must not fill the disk.
 *
 * The first refusal of its kind in a minute is written at once, the others are counted and written as one entry
 * when the minute is over. Beyond a number of kinds somebody's refusals are only counted, and so are an organization's
 * beyond a larger one: nobody hides what others are refused behind his own. Each process counts for itself.
 */
import { CallboardError, type OrganizationId } from "@callboard/protocol";
import type { Sql } from "../storage/index.ts";
import { actorOf, audit, type NewEntry } from "./audit.ts";

/** A refusal; its outcome goes without saying. */
export type Refusal = Omit<NewEntry, "outcome" | "details"> & { readonly code: string };

const WINDOW_MS = 60_000;
/** Kinds of refusals that are written in a minute: of one actor, and of an organization. */
const MAX_OF_ONE = 100;
const MAX_KINDS = 1000;

type Organization = {
  kinds: Map<string, { refusal: Refusal; repeats: number }>;
  /** How many kinds each actor has. */
  actors: Map<string, number>;
  suppressed: number;
};

export type RefusalsOptions = {
  sql: Sql;
  /** An entry could not be written. */
  onError: (error: unknown) => void;
  /** Told of each refusal, for figures. */
  onRefusal?: (action: string, code: string) => void;
};

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #organizations = new Map<OrganizationId, Organization>();
  readonly #noted = new WeakSet<CallboardError>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: RefusalsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.flush(), WINDOW_MS);
    this.#timer.unref();
  }

  /** Notes who may not do that, once however often it passes by on its way to the caller; any other error is none. */
  async forbidden(error: unknown, refusal: Omit<Refusal, "code">): Promise<void> {
    if (!(error instanceof CallboardError) || !isForbidden(error) || this.#noted.has(error)) return;
    this.#noted.add(error);
    await this.note({ ...refusal, code: error.code });
  }

  /** Resolves when the entry is stored, or counted. Never throws: the refusal itself must reach its caller. */
  async note(refusal: Refusal): Promise<void> {
    this.#options.onRefusal?.(refusal.action, refusal.code);
    const { organizationId, kind, id } = actorOf(refusal.actor);
    let organization = this.#organizations.get(organizationId);
    if (organization === undefined) {
      organization = { kinds: new Map(), actors: new Map(), suppressed: 0 };
      this.#organizations.set(organizationId, organization);
    }
    const key = JSON.stringify([kind, id, refusal.action, refusal.target, refusal.code]);
    const known = organization.kinds.get(key);
    const ofOne = organization.actors.get(`${kind} ${id}`) ?? 0;
    if (known !== undefined) known.repeats++;
    else if (ofOne >= MAX_OF_ONE || organization.kinds.size >= MAX_KINDS) organization.suppressed++;
    else {
      organization.actors.set(`${kind} ${id}`, ofOne + 1);
      organization.kinds.set(key, { refusal, repeats: 0 });
      await this.#write(refusal, {});
    }
  }

  /** Ends the minute: writes what was counted in it. */
  async flush(): Promise<void> {
    const ended = [...this.#organizations];
    this.#organizations.clear();
    const writes = ended.flatMap(([organizationId, { kinds, suppressed }]) => [
      ...[...kinds.values()]
        .filter(({ repeats }) => repeats > 0)
        .map(({ refusal, repeats }) => this.#write(refusal, { repeated: repeats })),
      ...(suppressed > 0 ? [this.#writeSuppressed(organizationId, suppressed)] : []),
    ]);
    await Promise.all(writes);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  #write({ code, ...refusal }: Refusal, more: { repeated?: number }): Promise<void> {
    const entry: NewEntry = { ...refusal, outcome: "refused", details: { code, ...more } };
    return audit(this.#options.sql, entry).catch(this.#options.onError);
  }

  #writeSuppressed(organizationId: OrganizationId, count: number): Promise<void> {
    return audit(this.#options.sql, {
      actor: { operatorOf: organizationId },
      action: "refusals.suppressed",
      target: null,
      outcome: "refused",
      details: { count },
      requestId: null,
    }).catch(this.#options.onError);
  }
}

/** Speaking for somebody without the right is a refusal too, although the request names it like a wrong field. */
const isForbidden = ({ status, code }: CallboardError): boolean => status === 403 || code === "attribution_not_allowed";

/** From a path, perhaps anything: only what looks like an id or a slug is worth keeping. */
export const toTarget = (asked: string | undefined): string | null =>
  asked !== undefined && /^[\w-]{1,64}$/.test(asked) ? asked : null;
