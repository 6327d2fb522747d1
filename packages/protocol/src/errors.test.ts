import { describe, expect, test } from "vitest";
import { CallboardError, type ErrorCode, errorCatalogue, runErrorCatalogue } from "./errors.ts";

const codes = Object.keys(errorCatalogue) as ErrorCode[];

describe("the catalogue of refusals", () => {
  test.each(codes)("%s has a status, a verdict and one sentence", (code) => {
    const { status, retryable, summary }: { status: number; retryable: boolean; summary: string } =
      errorCatalogue[code];
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
    expect(summary).toMatch(/^[A-Z][^.]*\.$/);
    // Who meets our fault may try again; who sent something wrong may not.
    if (status >= 500) expect(retryable).toBe(true);
    if (status < 409 || status === 422) expect(retryable).toBe(false);
  });
});

test.each(Object.entries(runErrorCatalogue))("the run error %s has one sentence", (code, { summary }) => {
  expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
  expect(summary).toMatch(/^[A-Z][^.]*\.$/);
});

describe("a refusal", () => {
  test("speaks with the catalogue's sentence when nothing better is known", () => {
    const error = new CallboardError("not_found");
    expect(error.message).toBe(errorCatalogue.not_found.summary);
    expect(error.status).toBe(404);
    expect(error.details).toEqual({});
  });

  test("keeps its own message, details and cause", () => {
    const cause = new Error("socket closed");
    const error = new CallboardError("unavailable", "the database is away", { retry_after_ms: 1000 }, { cause });
    expect(error).toMatchObject({ name: "CallboardError", message: "the database is away", status: 503, cause });
    expect(error.details).toEqual({ retry_after_ms: 1000 });
    expect(error).toBeInstanceOf(Error);
  });
});
