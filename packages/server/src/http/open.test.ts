import { CallboardError } from "@callboard/protocol";
import { afterEach, describe, expect, test } from "vitest";
import type { Caller } from "../access/index.ts";
import { OpenRequests } from "./open.ts";

const organizationId = "org_01h455vb4pex5vsknk084sn02q";
const callerWith = (more: Partial<Caller> = {}) =>
  ({ organizationId, tokenId: "token_a", secretVersion: 1, expiresAtMs: null, ...more }) as Caller;
const gone = new CallboardError("unauthenticated", "the token was revoked");
const signal = () => new AbortController().signal;

/** The caller as it stands now; undefined when there is none any more. */
let now: Caller | undefined;
let wake: () => void = () => {};
let open: OpenRequests;
function begin() {
  const wakes = {
    on: (_: string, listener: (keys: readonly string[]) => void) => {
      wake = () => listener(["*"]);
      return () => {};
    },
  };
  const refresh = async () => {
    if (now === undefined) throw gone;
    return { ...now };
  };
  open = new OpenRequests({ refresh }, wakes as never);
  return open;
}
afterEach(() => open.stop());

describe("a request that waits", () => {
  test("gets what it waited for", async () => {
    now = callerWith();
    expect(
      await begin().wait(
        { caller: now, signal: signal() },
        () => undefined,
        async () => "found",
      ),
    ).toBe("found");
  });

  test("ends when its caller is none any more, and its work is told", async () => {
    now = callerWith();
    const told = Promise.withResolvers<unknown>();
    const waiting = begin().wait(
      { caller: now, signal: signal() },
      () => undefined,
      ({ signal: stop }) => {
        stop.addEventListener("abort", () => told.resolve(stop.reason));
        return told.promise;
      },
    );
    now = undefined;
    wake();
    await expect(waiting).rejects.toBe(gone);
    expect(await told.promise).toBe(gone);
  });

  test("ends when its caller may not have it any more", async () => {
    now = callerWith();
    const refusal = new CallboardError("not_found", "there is no such run for this caller");
    const mayGoOn = () => Promise.reject(refusal);
    const waiting = begin().wait({ caller: now, signal: signal() }, mayGoOn, ({ signal }) => aborted(signal));
    wake();
    await expect(waiting).rejects.toBe(refusal);
  });

  test("gets nothing that it found while its access ended", async () => {
    now = callerWith();
    const waiting = begin().wait(
      { caller: now, signal: signal() },
      () => undefined,
      async () => {
        now = undefined;
        wake();
        return "found";
      },
    );
    await expect(waiting).rejects.toBe(gone);
  });

  test("goes on when somebody else's access changed, and when the database is away", async () => {
    now = callerWith();
    const found = Promise.withResolvers<string>();
    const waiting = begin().wait(
      { caller: now, signal: signal() },
      () => undefined,
      () => found.promise,
    );
    wake();
    found.resolve("found");
    expect(await waiting).toBe("found");
    const away = new CallboardError("unavailable", "the database is away");
    const other = open.wait(
      { caller: now, signal: signal() },
      () => Promise.reject(away),
      ({ signal }) => aborted(signal, 50),
    );
    wake();
    await expect(other).rejects.toBe(away); // found, but nobody can say whether it may be given
  });

  test("ends when its token's time is up", async () => {
    const caller = callerWith({ expiresAtMs: Date.now() + 10 });
    const waiting = begin().wait(
      { caller, signal: signal() },
      () => undefined,
      ({ signal }) => aborted(signal),
    );
    await expect(waiting).rejects.toMatchObject({ code: "unauthenticated", message: "the token has expired" });
  });
});

/** Work that ends when it is told to, or after so many milliseconds. */
const aborted = (stop: AbortSignal, afterMs = 60_000): Promise<string> =>
  new Promise((done) => {
    const timer = setTimeout(() => done("found"), afterMs);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      done("stopped");
    });
  });
