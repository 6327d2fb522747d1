/** A map that forgets what was not used for longest. */
export class Lru<Key, Value> {
  readonly #map = new Map<Key, Value>();
  readonly #capacity: number;

  /** @param capacity entries kept, at least 1 */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: Key): Value | undefined {
    const value = this.#map.get(key);
    if (value === undefined) return undefined;
    this.#map.delete(key);
    this.#map.set(key, value);
    return value;
  }

  set(key: Key, value: Value): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.#capacity) return;
    const oldest = this.#map.keys().next();
    if (!oldest.done) this.#map.delete(oldest.value);
  }

  delete(key: Key): void {
    this.#map.delete(key);
  }

  /** Forgets the entries for which `test` says true. */
  deleteWhere(test: (value: Value, key: Key) => boolean): void {
    for (const [key, value] of this.#map) if (test(value, key)) this.#map.delete(key);
  }

  get size(): number {
    return this.#map.size;
  }
}
