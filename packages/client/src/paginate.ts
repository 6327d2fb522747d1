import type { Page } from "./types.ts";

/**
 * Every item of a list, page by page as the loop needs them.
 *
 * ```ts
 * for await (const thread of paginate((page) => client.threads.list("support", { ...page, archived: false })))
 * ```
 *
 * @param list called with `{}` first and with the `cursor` of the next page after that
 */
export async function* paginate<T>(
  list: (page: { cursor?: string }) => Promise<Page<T>>,
): AsyncGenerator<T, void, undefined> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await list(cursor === undefined ? {} : { cursor });
    yield* page.data;
    cursor = page.next_cursor;
  }
}
