/** Prints a log for a person: the agent's words as they come, everything else as lines between them. */
import type { Event } from "@callboard/client";
import { describeEvent } from "./describe-event.ts";
import { plain, styled } from "./output.ts";

export function createEventPrinter(write: (text: string) => void): (event: Event) => void {
  const shown = new Map<string, string>(); // message → what its deltas have shown
  let current: string | undefined; // the message whose text the cursor stands behind
  let atLineStart = true;

  function text(messageId: string, piece: string, style?: "dim"): void {
    if (current !== messageId) endLine();
    current = messageId;
    shown.set(messageId, (shown.get(messageId) ?? "") + piece);
    if (piece === "") return;
    write(style ? styled(style, plain(piece)) : plain(piece));
    atLineStart = piece.endsWith("\n");
  }

  /** The whole text of a message: only what its deltas left out, or all of it where they do not fit. */
  function whole(messageId: string, all: string, style?: "dim"): void {
    const before = shown.get(messageId) ?? "";
    if (all.startsWith(before)) {
      if (all.length > before.length || before === "") text(messageId, all.slice(before.length), style);
    } else {
      endLine();
      text(messageId, all, style);
    }
    shown.delete(messageId);
    endLine();
  }

  function endLine(): void {
    if (!atLineStart) write("\n");
    atLineStart = true;
    current = undefined;
  }

  function line(words: string): void {
    endLine();
    write(`${styled("dim", plain(words))}\n`);
  }

  return (event) => {
    switch (event.type) {
      case "agent.message.delta":
        return text(event.data.message_id, event.data.text);
      case "agent.message":
        return whole(event.data.message_id, event.data.text);
      case "agent.thinking.delta":
        // Thinking and answer of one model call may share a message id, and are two texts all the same.
        return text(`thinking ${event.data.message_id}`, event.data.text, "dim");
      case "agent.thinking":
        return whole(`thinking ${event.data.message_id}`, event.data.text, "dim");
      default: {
        const words = describeEvent(event);
        if (words !== undefined) line(words);
      }
    }
  };
}
