/** A job's events for people: one line each. */
import type { JobEvent } from "@callboard/client";
import { plain, styled } from "./output.ts";

/** @param write takes the printed lines */
export const createJobPrinter =
  (write: (text: string) => void) =>
  (event: JobEvent): void =>
    write(`${lineOf(event)}\n`);

function lineOf(event: JobEvent): string {
  switch (event.type) {
    case "job.started":
      return styled("dim", event.data.attempt === 1 ? "started" : `started again, attempt ${event.data.attempt}`);
    case "job.status":
      return plain(`${percent(event.data.progress)}${event.data.text}`).replace(/\n/g, " ");
    case "job.completed":
      return plain(JSON.stringify(event.data.result, null, 2));
    case "job.failed":
      return styled("red", plain(`failed: ${event.data.error.code}: ${event.data.error.message}`));
    case "job.canceled":
      return styled("red", plain(`canceled: ${event.data.error.message}`));
    default:
      return event satisfies never;
  }
}

const percent = (progress: number | undefined): string =>
  progress === undefined ? "" : `${String(Math.round(progress * 100)).padStart(3)} %  `;
