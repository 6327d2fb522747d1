/**
 * What the server counts, from its first request on. The library behind it is ninety files, a tenth of a start: it is
 * read a moment after the server listens, or when somebody asks, and gets what was counted until then.
 */
import type { Figures, Gauges } from "./figures.ts";

const LOAD_AFTER_MS = 5000;

export class Metrics {
  readonly #gauges: Gauges;
  #figures: Figures | undefined;
  #loading: Promise<Figures> | undefined;
  #before: Array<(figures: Figures) => void> = [];

  constructor(gauges: Gauges) {
    this.#gauges = gauges;
  }

  /** The server listens: whatever it has to do first comes before this. */
  listening(): void {
    setTimeout(() => void this.#load(), LOAD_AFTER_MS).unref();
  }

  request(route: string, status: number, durationMs: number): void {
    this.#count(({ requests }) => requests.observe({ route, status }, durationMs / 1000));
  }

  /** @param limit `token`, `organization`, `address` or `runs` */
  limited(limit: string): void {
    this.#count(({ limited }) => limited.inc({ limit }));
  }

  unauthenticated(reason: string): void {
    this.#count(({ unauthenticated }) => unauthenticated.inc({ reason }));
  }

  refusal(action: string, code: string): void {
    this.#count(({ refusals }) => refusals.inc({ action, code }));
  }

  databaseError(): void {
    this.#count(({ databaseErrors }) => databaseErrors.inc());
  }

  async page(): Promise<{ text: string; contentType: string }> {
    const { registry } = await this.#load();
    return { text: await registry.metrics(), contentType: registry.contentType };
  }

  #count(count: (figures: Figures) => void): void {
    if (this.#figures === undefined) this.#before.push(count);
    else count(this.#figures);
  }

  #load(): Promise<Figures> {
    this.#loading ??= import("./figures.ts").then(({ Figures }) => {
      const figures = new Figures(this.#gauges);
      for (const count of this.#before) count(figures);
      this.#before = [];
      this.#figures = figures;
      return figures;
    });
    return this.#loading;
  }
}
