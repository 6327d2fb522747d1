/**
 * Parses server-sent events as their bytes arrive, in any pieces.
 *
 * Source: HTML standard, §9.2.6 "Interpreting an event stream".
 */

/** A whole frame, or the pause that the server asks for before a reconnect. */
export type SseItem = { data: string; id: string | undefined; event: string | undefined } | { retryMs: number };

export type SseParser = {
  /** The items that these bytes complete; comments complete none. A frame cut off by the end never comes out. */
  push(bytes: Uint8Array): SseItem[];
};

export function createSseParser(): SseParser {
  const decoder = new TextDecoder(); // keeps the half of a character until its other half comes
  let rest = ""; // a line whose end has not come yet
  let afterCr = false; // the last piece ended in CR, so a leading LF belongs to it
  let data: string[] = [];
  let id: string | undefined;
  let event: string | undefined;

  function readLine(line: string, items: SseItem[]): void {
    if (line === "") {
      if (data.length > 0) items.push({ data: data.join("\n"), id, event });
      data = [];
      id = event = undefined;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, sent as a heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) items.push({ retryMs: Number(value) });
  }

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true });
      if (text === "") return [];
      if (afterCr && text.startsWith("\n")) text = text.slice(1);
      afterCr = text === "" ? false : text.endsWith("\r");
      const lines = text.split(/\r\n|\r|\n/);
      lines[0] = rest + lines[0];
      rest = lines.pop() as string; // split gives at least one
      const items: SseItem[] = [];
      for (const line of lines) readLine(line, items);
      return items;
    },
  };
}
