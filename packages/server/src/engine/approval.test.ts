/** Which calls are asked about, and what an answer holds for. */
import type { ToolDefinition } from "@callboard/kit";
import type { AgentConfigInput, EventData, Json, PermissionId } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../runs/index.ts";
import { statement } from "../storage/index.ts";
import { calls, createEngineWorld, type EngineWorld, ScriptedModel, says, testTool } from "./fixture.ts";

let world: EngineWorld;
beforeAll(async () => {
  world = await createEngineWorld();
});
afterAll(() => world.end());

const editInput = statement("approval_test.edit", "update tool_calls set input = $2 where run_id = $1");
const editVersion = statement("approval_test.version", "update permissions set agent_version = 7 where run_id = $1");
const allowances = statement("approval_test.allowances", "select scope from thread_allowances where thread_id = $1");

type Refund = { amount: number; customer?: string };
type Asked = EventData<"permission.requested">;

/** A conversation in which the model calls `refund` once for each message, with the input given for it. */
async function talk(
  inputs: Json[],
  definition: Partial<ToolDefinition>,
  config: Partial<AgentConfigInput> = {},
): Promise<{
  paid: Refund[];
  claim: Claim;
  /** The questions so far. */
  questions(): Promise<Asked[]>;
  decide(id: PermissionId, decision?: "allow_once" | "allow_for_thread" | "deny"): Promise<void>;
  /** The next message. */
  next(): Promise<void>;
  state(): Promise<string>;
}> {
  const paid: Refund[] = [];
  const refund = testTool((input) => paid.push(input as Refund), { effect: "once", ...definition } as never);
  const model = new ScriptedModel();
  const queue = [...inputs];
  const play = async (claim: Claim) => {
    model.replies = [...model.replies, calls(["refund", queue.shift() as Json]), says("Done.")];
    await world.work(claim, services);
  };
  const services = world.services(model, config, { refund });
  const claim = await world.begin();
  await play(claim);
  const goOn = async () => {
    const [again] = await world.runs.claimOf(claim.key.threadId);
    if (again !== undefined) await world.work(again, services);
  };
  return {
    paid,
    claim,
    questions: async () =>
      (await world.runs.logOf(claim.key.threadId))
        .filter((event) => event.type === "permission.requested")
        .map(({ data }) => data as Asked),
    async decide(permission_id, decision = "allow_once") {
      await world.runs.send(claim.key.threadId, { type: "permission.decision", permission_id, decision });
      await goOn();
    },
    async next() {
      await world.runs.send(claim.key.threadId, world.runs.message("next"));
      await play(world.runs.host.last());
    },
    state: async () => (await world.runs.runsOf(claim.key.threadId)).at(-1)?.state ?? "none",
  };
}

describe("a call", () => {
  test("is asked about when the tool's function says so, and not otherwise", async () => {
    const approval = (({ amount }: Refund) => amount > 50) as never;
    const small = await talk([{ amount: 50 }], { approval });
    expect([small.paid, await small.state()]).toEqual([[{ amount: 50 }], "completed"]);
    const large = await talk([{ amount: 51 }], { approval });
    expect([large.paid, await large.state()]).toEqual([[], "waiting"]);
  });

  test("is asked about when the agent's condition fits, and when it cannot be told", async () => {
    const config = { tools: [{ name: "refund", approval: { when: { path: "amount", above: 50 } } }] };
    for (const [input, state] of [
      [{ amount: 50 }, "completed"],
      [{ amount: 51 }, "waiting"],
      [{}, "waiting"],
      [{ amount: "1" }, "waiting"],
    ] as const) {
      const one = await talk([input as Json], {}, config);
      expect([input, await one.state()]).toEqual([input, state]);
    }
  });

  test("is under the stricter of the tool's policy and the agent's", async () => {
    const states: string[] = [];
    for (const approval of ["never", "always", () => true, () => false] as const) {
      for (const agents of [
        "never",
        "always",
        { when: { path: "n", equals: 1 } },
        { when: { path: "n", equals: 2 } },
      ]) {
        const config = { tools: [{ name: "refund", approval: agents }] } as Partial<AgentConfigInput>;
        const one = await talk([{ n: 1 }], { approval }, config);
        states.push((await one.state()) === "waiting" ? "asks" : "-");
      }
    }
    expect(states).toEqual([
      ...["-", "asks", "asks", "-"],
      ...["asks", "asks", "asks", "asks"],
      ...["asks", "asks", "asks", "asks"],
      ...["-", "asks", "asks", "-"],
    ]);
  });

  test("is asked about with the parts of its input that are not sensitive", async () => {
    const one = await talk([{ amount: 5, card: { number: "4242", name: "Ann" } }], {
      approval: "always",
      sensitive: ["card.number"],
    });
    const [question] = await one.questions();
    expect(question?.input).toEqual({ amount: 5, card: { number: "[hidden]", name: "Ann" } });
    await one.decide(question?.permission_id as PermissionId);
    expect(one.paid).toMatchObject([{ card: { number: "4242" } }]);
  });
});

describe("an answer for the thread", () => {
  const approvalScope = (({ customer }: Refund) => `customer ${customer}`) as never;

  test("covers later calls with the same scope, and others are asked about", async () => {
    const inputs = ["ann", "ann", "bob", "ann"].map((customer, amount) => ({ amount, customer }));
    const thread = await talk(inputs, { approval: "always", approvalScope });
    const [first] = await thread.questions();
    await thread.decide(first?.permission_id as PermissionId, "allow_for_thread");
    await thread.next();
    expect(thread.paid.map(({ amount }) => amount)).toEqual([0, 1]);
    await thread.next();
    expect([await thread.state(), (await thread.questions()).length]).toEqual(["waiting", 2]);
    await thread.decide((await thread.questions())[1]?.permission_id as PermissionId, "deny");
    await thread.next();
    expect(thread.paid.map(({ amount }) => amount)).toEqual([0, 1, 3]);
    expect(await world.runs.database.rows(allowances, [thread.claim.key.thread])).toEqual([{ scope: "customer ann" }]);
  });

  test("is not offered for a call whose scope is unfit, and is refused", async () => {
    const thread = await talk([{ amount: 1, customer: "a\u0001" }], { approval: "always", approvalScope });
    const [question] = await thread.questions();
    const asked = thread.decide(question?.permission_id as PermissionId, "allow_for_thread");
    await expect(asked).rejects.toMatchObject({
      code: "invalid_request",
      details: { fields: [{ path: "events[0].decision" }] },
    });
    expect([thread.paid, await thread.state()]).toEqual([[], "waiting"]);
    await thread.decide(question?.permission_id as PermissionId);
    expect(thread.paid).toHaveLength(1);
  });

  test("covers the tool as a whole where it declares no scopes", async () => {
    const definition: Partial<ToolDefinition> = { approval: "always" };
    const thread = await talk([{ amount: 1, customer: "ann" }, { amount: 2 }], definition);
    const [first] = await thread.questions();
    await thread.decide(first?.permission_id as PermissionId, "allow_for_thread");
    await thread.next();
    expect(thread.paid).toHaveLength(2);
    expect(await world.runs.database.rows(allowances, [thread.claim.key.thread])).toEqual([{ scope: "" }]);
  });
});

describe("an answer holds for the arguments it was given for", () => {
  test("and a model that calls again with others is asked again", async () => {
    const thread = await talk([{ amount: 1 }, { amount: 1_000_000 }, { amount: 1 }], { approval: "always" });
    const [first] = await thread.questions();
    await thread.decide(first?.permission_id as PermissionId);
    expect(thread.paid).toEqual([{ amount: 1 }]);
    await thread.next();
    await thread.next();
    const hashes = (await thread.questions()).map(({ arguments_hash }) => arguments_hash);
    expect(thread.paid).toEqual([{ amount: 1 }]);
    expect(hashes[1]).not.toBe(hashes[0]);
  });

  test("and a call whose arguments are others than those allowed is asked about anew", async () => {
    const thread = await talk([{ amount: 1 }], { approval: "always" });
    const [first] = await thread.questions();
    await world.runs.database.run(editInput, [thread.claim.key.run, { amount: 1_000_000 }]);
    await thread.decide(first?.permission_id as PermissionId);
    expect([thread.paid, await thread.state()]).toEqual([[], "waiting"]);
    const [, second] = await thread.questions();
    expect(second).toMatchObject({ call_id: first?.call_id, input: { amount: 1_000_000 } });
    await thread.decide(second?.permission_id as PermissionId);
    expect(thread.paid).toEqual([{ amount: 1_000_000 }]);
  });

  test("and so for those under another version", async () => {
    const thread = await talk([{ amount: 1 }], { approval: "always" });
    const [first] = await thread.questions();
    await world.runs.database.run(editVersion, [thread.claim.key.run]);
    await thread.decide(first?.permission_id as PermissionId);
    expect([thread.paid, (await thread.questions()).length]).toEqual([[], 2]);
  });
});
