import { type Agent, agentConfig, CallboardError, createAgent, newId } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AgentInFile, type AgentPlan, type FoundAgent, planAgents, publishAll, withoutFile } from "./plan.ts";

const file = (slug: string, draft: Partial<AgentInFile["draft"]> = {}, settings: object = {}): AgentInFile =>
  createAgent.parse({ slug, draft: { name: slug, ...draft }, ...settings });

/** An agent of a server; published unless `live` says otherwise. */
function found(inFile: AgentInFile, { live = inFile.draft }: { live?: AgentInFile["draft"] | null } = {}): FoundAgent {
  const agent: Agent = {
    ...inFile,
    id: newId("agent"),
    owner_id: newId("user"),
    live_version: live === null ? null : 1,
    latest_version: live === null ? 0 : 1,
    revision: "r",
    created_at: "2026-01-31T09:30:00.000Z",
    updated_at: "2026-01-31T09:30:00.000Z",
  };
  return { agent, live };
}
const plan = (files: AgentInFile[], agents: FoundAgent[]) => planAgents(files, agents)[0] as AgentPlan;

describe("a file", () => {
  test("whose agent is what it says changes nothing", () => {
    expect(plan([file("desk")], [found(file("desk"))])).toEqual({ action: "none", slug: "desk" });
  });

  test("without an agent creates one", () => {
    expect(plan([file("desk")], [])).toEqual({ action: "create", slug: "desk", body: file("desk") });
  });

  test("that differs writes the draft, publishes, and names the fields, lists as one", () => {
    const before = file("desk", { tools: [{ name: "a", approval: "never" }] });
    const tools = [{ name: "b", approval: "never" as const }, ...before.draft.tools];
    expect(plan([file("desk", { tools, description: "New" })], [found(before)])).toMatchObject({
      action: "update",
      write: { draft: { tools } },
      publish: true,
      changes: [
        { path: "description", before: "", after: "New" },
        { path: "tools", before: before.draft.tools, after: tools },
      ],
      discards: [],
    });
  });

  test("with other settings alone does not publish", () => {
    const wanted = file("desk", {}, { access_mode: "invited", api_access: false });
    expect(plan([wanted], [found(file("desk"))])).toMatchObject({
      write: { access_mode: "invited", api_access: false },
      publish: false,
      changes: [
        { path: "access_mode", before: "organization", after: "invited" },
        { path: "api_access", before: true, after: false },
      ],
    });
  });

  test("whose agent is not live, or an older version of it is, publishes without writing the draft", () => {
    const wanted = file("desk", { description: "New" });
    const old = plan([wanted], [found(wanted, { live: file("desk").draft })]);
    expect(old).toMatchObject({
      write: {},
      publish: true,
      changes: [{ path: "description", before: "", after: "New" }],
    });
    expect(plan([wanted], [found(wanted, { live: null })])).toMatchObject({ write: {}, publish: true, changes: [] });
  });

  test("says what of a draft that nobody published it would take away", () => {
    const begun = found(file("desk", { description: "Begun" }), { live: file("desk").draft });
    expect(plan([file("desk")], [begun])).toMatchObject({
      publish: false,
      changes: [],
      discards: [{ path: "description", before: "", after: "Begun" }],
    });
  });
});

describe("an agent without a file", () => {
  const agents = [found(file("kept")), found(file("idle")), found(file("used")), found(file("off"), { live: null })];
  const withThreads = new Set(["used", "off"]);

  test("is left alone", () => {
    expect(planAgents([file("kept")], agents)).toEqual([{ action: "none", slug: "kept" }]);
    expect(withoutFile([file("kept")], agents).map(({ agent }) => agent.slug)).toEqual(["idle", "used", "off"]);
  });

  test("is deleted with prune, or unpublished when it has threads", () => {
    const plans = planAgents([file("kept")], agents, { prune: true, withThreads });
    expect(plans.map(({ slug, action }) => [slug, action])).toEqual([
      ["idle", "delete"],
      ["kept", "none"],
      ["off", "none"],
      ["used", "unpublish"],
    ]);
  });
});

describe("publishing", () => {
  /** Each slug can be published once those it needs are; the answer is the order in which they were. */
  async function order(needs: Record<string, string[]>): Promise<string[]> {
    const live: string[] = [];
    await publishAll(Object.keys(needs), async (slug) => {
      if (!(needs[slug] ?? []).every((one) => live.includes(one))) throw new CallboardError("draft_invalid", slug);
      live.push(slug);
    });
    return live;
  }

  test("waits with what the server takes only after others", async () => {
    expect(await order({ a: ["b"], b: ["c"], c: [] })).toEqual(["c", "b", "a"]);
  });

  test("publishes what it can and then says what is refused first", async () => {
    const published: string[] = [];
    const work = publishAll(["bad", "worse", "good"], async (slug) => {
      if (slug !== "good") throw new CallboardError("draft_invalid", slug);
      published.push(slug);
    });
    await expect(work).rejects.toMatchObject({ message: "bad" });
    expect(published).toEqual(["good"]);
  });

  test("stops at once at any other refusal", async () => {
    const asked: string[] = [];
    const work = publishAll(["a", "b"], async (slug) => {
      asked.push(slug);
      throw new CallboardError("precondition_failed", slug);
    });
    await expect(work).rejects.toMatchObject({ message: "a" });
    expect(asked).toEqual(["a"]);
  });
});

test("a plan that was carried out is followed by one without a change, whatever the files' and agents' order", () => {
  const draft = fc.record({
    name: fc.constantFrom("A", "B"),
    description: fc.constantFrom("", "x"),
    tools: fc.subarray([
      { name: "a", approval: "never" as const },
      { name: "b", approval: "always" as const },
    ]),
    output_schema: fc.option(fc.constant({ type: "object", properties: { a: { type: "string" } } }), {
      nil: undefined,
    }),
  });
  const one = fc
    .record({
      slug: fc.constantFrom("a", "b", "c", "d"),
      draft: draft.map((value) => agentConfig.parse(JSON.parse(JSON.stringify(value)))),
      access_mode: fc.constantFrom("organization" as const, "invited" as const),
      api_access: fc.boolean(),
    })
    .map((value): AgentInFile => value);
  const files = fc.uniqueArray(one, { selector: ({ slug }) => slug });
  const agents = files.chain((list) =>
    fc.tuple(...list.map((each) => fc.option(one).map((live) => found(each, { live: live?.draft ?? null })))),
  );
  fc.assert(
    fc.property(files, agents, fc.boolean(), (wanted, before, prune) => {
      const plans = planAgents(wanted, before, { prune });
      expect(planAgents(wanted.toReversed(), before.toReversed(), { prune })).toEqual(plans);
      const after = carriedOut(plans, before);
      expect(planAgents(wanted, after, { prune }).filter(({ action }) => action !== "none")).toEqual([]);
      if (!prune) expect(withoutFile(wanted, after)).toEqual(withoutFile(wanted, before));
    }),
  );
});

function carriedOut(plans: AgentPlan[], before: FoundAgent[]): FoundAgent[] {
  const after = new Map(before.map((one) => [one.agent.slug, one]));
  for (const one of plans) {
    if (one.action === "create") after.set(one.slug, found(one.body));
    if (one.action === "delete") after.delete(one.slug);
    if (one.action === "unpublish") after.set(one.slug, { agent: { ...one.agent, live_version: null }, live: null });
    if (one.action === "update") {
      const agent = { ...one.agent, ...one.write } as Agent;
      after.set(one.slug, { agent, live: one.publish ? agent.draft : (after.get(one.slug)?.live ?? null) });
    }
  }
  return [...after.values()];
}
