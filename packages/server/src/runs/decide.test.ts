/** The life of a permission: every cell of its table, and random ways through it. */
import { CallboardError, newId, type PermissionId, type PermissionState, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../access/index.ts";
import { statement } from "../storage/index.ts";
import type { Claim } from "./claim.ts";
import { decideById, expire } from "./decide.ts";
import { createRunsWorld, type RunsWorld } from "./fixture.ts";
import { allowancesOf, findPermission, type PermissionRow } from "./permission-store.ts";

let world: RunsWorld;
let colleague: Caller;
beforeAll(async () => {
  world = await createRunsWorld();
  colleague = { ...world.caller, userId: newId("user"), groups: [{ id: newId("group"), slug: "finance" }] };
});
afterAll(() => world.end());

const endTime = statement(
  "decide_test.end_time",
  "update permissions set expires_at = now() - interval '1 day' where id = $1",
);

type Asked = { claim: Claim; id: PermissionId };
async function ask(onExpiry: "fail" | "deny" = "fail"): Promise<Asked> {
  await world.start();
  const claim = world.host.last();
  const id = newId("permission");
  const call = newId("call");
  const waitingFor = [{ kind: "permission" as const, id }];
  const approvals = { approvers: ["caller", "group:finance"], not_requester: false, on_expiry: onExpiry };
  await world.commits.commit(claim.key, claim.fence, {
    events: [world.event(claim, "run.waiting", { waiting_for: waitingFor })],
    permissions: [world.question(id, call, { approvals })],
    end: world.ending("waiting", { waitingFor }),
  });
  return { claim, id };
}

const rowOf = async ({ id }: Asked): Promise<PermissionRow> =>
  (await findPermission(world.database, toUuid(world.organizationId), toUuid(id))) as PermissionRow;

/** What happens to a permission; the deciders are its requester, and a colleague whom the list names as well. */
const signals = {
  allow: (asked: Asked) => decide(asked, world.caller, "allow_once"),
  "allow for the thread": (asked: Asked) => decide(asked, world.caller, "allow_for_thread"),
  deny: (asked: Asked) => decide(asked, world.caller, "deny"),
  "a colleague allows": (asked: Asked) => decide(asked, colleague, "allow_once"),
  "a colleague denies": (asked: Asked) => decide(asked, colleague, "deny"),
  "its time ends": async (asked: Asked) => {
    await world.database.run(endTime, [toUuid(asked.id)]);
    await expire(world.database, world.deps, await rowOf(asked));
  },
  "its run is canceled": ({ claim }: Asked) => world.cancel(claim.key.threadId, claim.key.runId),
} satisfies Record<string, (asked: Asked) => Promise<unknown>>;
type Signal = keyof typeof signals;

function decide({ id }: Asked, caller: Caller, decision: "allow_once" | "allow_for_thread" | "deny") {
  const deciding = { caller, requestId: null, permissionId: id, decision: { decision }, path: "" };
  return world.database.transaction((tx) => decideById(tx, world.deps, deciding));
}

/** The state afterwards; with a refusal, its code. */
async function apply(asked: Asked, signal: Signal): Promise<string> {
  const refused = await signals[signal](asked).then(
    () => undefined,
    (error) => {
      if (error instanceof CallboardError) return error.code;
      throw error;
    },
  );
  return refused ?? (await rowOf(asked)).state;
}

/** How a permission comes into each state: by its requester's word. */
const ways: Record<PermissionState, Signal | undefined> = {
  pending: undefined,
  allowed: "allow",
  denied: "deny",
  expired: "its time ends",
};
const [decided, gone] = ["permission_decided", "permission_expired"];
const table: Record<PermissionState, Record<Signal, string>> = {
  pending: {
    allow: "allowed",
    "allow for the thread": "allowed",
    deny: "denied",
    "a colleague allows": "allowed",
    "a colleague denies": "denied",
    "its time ends": "expired",
    "its run is canceled": "expired",
  },
  allowed: {
    allow: "allowed", // one's own decision again
    "allow for the thread": decided,
    deny: decided,
    "a colleague allows": decided,
    "a colleague denies": decided,
    "its time ends": "allowed",
    "its run is canceled": "allowed",
  },
  denied: {
    allow: decided,
    "allow for the thread": decided,
    deny: "denied",
    "a colleague allows": decided,
    "a colleague denies": decided,
    "its time ends": "denied",
    "its run is canceled": "denied",
  },
  expired: {
    allow: gone,
    "allow for the thread": gone,
    deny: gone,
    "a colleague allows": gone,
    "a colleague denies": gone,
    "its time ends": "expired",
    "its run is canceled": "run_not_active", // it has failed
  },
};

describe.each(Object.entries(table))("a permission that is %s", (state, row) => {
  test.each(Object.entries(row))("%s: %s", async (signal, outcome) => {
    const asked = await ask();
    const way = ways[state as PermissionState];
    if (way !== undefined) await apply(asked, way);
    const before = await rowOf(asked);
    expect(before.state).toBe(state);
    expect(await apply(asked, signal as Signal)).toBe(outcome);
    const after = await rowOf(asked);
    // What was decided is never written again.
    if (state !== "pending")
      expect({ ...after, is_late: false, expires_at: "" }).toEqual({ ...before, is_late: false, expires_at: "" });
  });
});

test("whatever happens in whatever order, one thing closes it, once, and the log and the run agree (property)", async () => {
  const orders = fc.array(fc.constantFrom(...(Object.keys(signals) as Signal[])), { minLength: 1, maxLength: 6 });
  const holds = fc.asyncProperty(orders, fc.constantFrom("fail" as const, "deny" as const), async (order, onExpiry) => {
    const asked = await ask(onExpiry);
    const { key } = asked.claim;
    const seen: string[] = [];
    for (const signal of order) seen.push(await apply(asked, signal));
    const row = await rowOf(asked);
    const first = table.pending[order[0] as Signal];
    expect([seen[0], row.state]).toEqual([first, first]);
    const log = await world.logOf(key.threadId);
    const decisions = log.filter(({ type }) => type === "permission.decided");
    expect(decisions).toHaveLength(1);
    expect(decisions[0]?.data).toMatchObject({ permission_id: asked.id, decision: row.decision });
    const allowances = await allowancesOf(world.database, key.organization, key.thread, 1);
    expect(allowances.length).toBe(row.decision === "allow_for_thread" ? 1 : 0);
    const { state } = await world.runOf(key.runId);
    const canceled = log.some(({ type }) => type === "run.canceled");
    if (canceled) expect(state).toBe("canceled");
    else if (row.state === "expired" && onExpiry === "fail") expect(state).toBe("failed");
    else expect(state).toBe("queued");
  });
  await fc.assert(holds, { numRuns: 60 });
});
