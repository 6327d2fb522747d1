/**
 * One claimed run, from where its log stands to its end on this process.
 *
 *   prompt + conversation ─▶ model call (streamed) ─▶ step ─▶ tools ─▶ next call … ─▶ end
 *
 * L1  A step is one commit; what a tool call may do is written before it is done (`tool-step.ts`).
 * L2  Whatever goes wrong becomes an event with a code. Nothing is thrown past `work`.
 * L3  After the fence is lost nothing is written, not even an error.
 */
import type { AgentFile } from "@callboard/kit";
import {
  type AgentConfig,
  CallboardError,
  type EventData,
  type EventType,
  type MessageId,
  type RunErrorCode,
  toUuid,
  type Usage,
} from "@callboard/protocol";
import type { AgentDirectory } from "../agents/index.ts";
import { type Amount, type BudgetLedger, type Hold, NOTHING } from "../budgets/index.ts";
import { type NewEvent, newEvent } from "../events/index.ts";
import type { Logger } from "../log/index.ts";
import {
  callModel,
  ModelError,
  type ModelMessage,
  type ModelTarget,
  type ModelTool,
  type ModelUsage,
} from "../models/index.ts";
import {
  addUsage,
  type Change,
  type Claim,
  type CommitResult,
  isSuspect,
  type RunCommits,
  type RunEnd,
  type RunInput,
  runError,
  type StepRow,
  sealParts,
  steeringAfter,
  usedByChildren,
} from "../runs/index.ts";
import type { Database } from "../storage/index.ts";
import { isSensitive, type LoadedTool, storable, type ToolRegistry } from "../tools/index.ts";
import { type AgentTool, agentTool, offeredAgents } from "./agent-tools.ts";
import type { Authority, Standing } from "./authority.ts";
import { holdRoom } from "./budget.ts";
import { bound } from "./child-limits.ts";
import type { ChildRuns, Parent } from "./child-runs.ts";
import { addInput, type Conversation, isOpen, readConversation } from "./conversation.ts";
import { Broken, type Counted } from "./estimate.ts";
import { Invocations } from "./invocations.ts";
import { Message, type MessageHost, type Spoken, textOf } from "./message.ts";
import { checkOutput, MAX_REPAIRS, objectionTo } from "./output.ts";
import type { Seat } from "./seat.ts";
import { missingTool, RunFailure, RunPause, RunStop } from "./stop.ts";
import type { ToolServices } from "./tool-context.ts";
import { ToolStep } from "./tool-step.ts";
import type { Wheel } from "./wheel.ts";

export type LoopServices = ToolServices & {
  database: Database;
  authority: Authority;
  agents: Pick<AgentDirectory, "live">;
  children: ChildRuns;
  commits: RunCommits;
  tools: ToolRegistry;
  wheel: Wheel;
  /** Where a model call of this run may go, in order. Throws RunFailure. */
  targets: (claim: Claim, config: AgentConfig) => Promise<ModelTarget[]>;
  /** The configuration a run works under. */
  config: (claim: Claim) => Promise<AgentConfig>;
  /** Micro-dollars of one model call. */
  cost: (provider: string, model: string, usage: ModelUsage) => number;
  /** What that is reckoned with; null for a model without a known price. */
  price: (provider: string, model: string) => object | null;
  budgets: Pick<BudgetLedger, "hold" | "permit" | "recover">;
  log: Logger;
  now: () => Date;
};

/** How the work on a claim ended here. `next`: other runs of the thread wait. */
export type WorkResult = { kind: "ended"; next: boolean } | { kind: "left" };

/** Steps in a row in which a model called nothing that can be called. */
const MAX_USELESS_STEPS = 3;
/** Before the rights were looked at. */
const NO_STANDING: Standing = { epoch: 0, scopes: new Set(), groups: [] };
const NO_USAGE: Usage = { input_tokens: 0, output_tokens: 0, cost_micros: 0 };

export class Loop {
  readonly #services: LoopServices;
  readonly #claim: Claim;
  readonly #abort = new AbortController();
  readonly #startedMs: number;
  readonly #seat: Seat;
  #conversation: Conversation = { messages: [], fileBytes: 0 };
  #step = 0;
  /** What its own model calls used, and what the runs used that it has called. */
  #own: Usage = NO_USAGE;
  #below: Usage = NO_USAGE;
  /** It has called agents, or is a call of one. */
  #hasFamily: boolean;
  /** Steering messages taken in, and known to be there. */
  #steered = 0;
  #steeredKnown = 0;
  #useless = 0;
  #repairs = 0;
  #handingOver = false;
  /** A step was written here. */
  #progressed = false;
  #toolStep: ToolStep | undefined;
  #standing: Standing = NO_STANDING;
  #timer: NodeJS.Timeout | undefined;
  #counted: Counted | undefined;
  /** The last model call's reservation, on its way to what it cost. */
  #settling: Promise<void> | undefined;

  constructor(services: LoopServices, claim: Claim, seat: Seat) {
    this.#services = services;
    this.#claim = claim;
    this.#seat = seat;
    this.#hasFamily = claim.row.parent_run_id !== null;
    this.#startedMs = performance.now();
  }

  get claim(): Claim {
    return this.#claim;
  }

  /** Its end may concern other runs. */
  get hasFamily(): boolean {
    return this.#hasFamily;
  }

  /** It may be what its processes died of; a step that it wrote says that it is not. */
  get isSuspect(): boolean {
    return isSuspect(this.#claim.row) && !this.#progressed;
  }

  /** The run is not this process's any more. */
  lose(): void {
    this.#abort.abort(new RunStop("lost"));
  }

  /** Somebody's access changed, perhaps this caller's: the run stops here if it may not go on. */
  accessChanged(): void {
    this.#check().catch((error) => {
      if (error instanceof RunFailure) this.#abort.abort(error);
    });
  }

  /** So many messages have joined the run: they are taken in before its next step. */
  joined(number: number): void {
    this.#steeredKnown = Math.max(this.#steeredKnown, number);
  }

  /**
   * The process ends: the run is given back. Calls of `once` tools that are under way may finish first,
   * because nobody could repeat them.
   */
  handOver(): void {
    this.#handingOver = true;
    if (this.#toolStep?.busyOnce !== true) this.#abort.abort(new RunStop("shutdown"));
  }

  /** Works until the run ends, waits, or is lost. Never throws (L2). */
  async work(): Promise<WorkResult> {
    try {
      const config = bound(await this.#services.config(this.#claim), this.#claim.row);
      this.#setDeadline(config.limits.timeout_ms);
      return await this.#steps(config);
    } catch (error) {
      return await this.#stopped(error);
    } finally {
      clearTimeout(this.#timer);
    }
  }

  async #steps(config: AgentConfig): Promise<WorkResult> {
    const targets = await this.#services.targets(this.#claim, config);
    const tools = await this.#modelTools(config);
    // A run that was just accepted was accepted with these rights.
    if (this.#claim.fresh !== true) {
      await this.#check(true);
      await this.#services.budgets.recover(this.#claim.key.organizationId, this.#claim.key);
    }
    const open = await this.#load(config);
    if (open !== undefined) {
      const result = await this.#runTools(config, open);
      if (result !== undefined) return result;
    }
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#handingOver) throw new RunStop("shutdown");
      this.#checkLimits(config);
      if (this.#step > 0) await this.#check();
      const joined = await this.#takeSteering();
      const spoken = await this.#speak(config, targets, tools);
      const calls = spoken.parts.filter((part) => part.type === "tool_call");
      if (calls.length > 0) {
        const result = await this.#callTools(config, spoken, joined, calls);
        if (result !== undefined) return result;
      } else {
        const result = await this.#finish(config, spoken, joined);
        if (result !== undefined) return result;
      }
      this.#step++;
    }
  }

  // Reading back

  /** Reads what there is. @returns the tool calls of the last step that have no result yet */
  async #load(config: AgentConfig): Promise<ToolStep | undefined> {
    const { row, fresh } = this.#claim;
    const { database, keys } = this.#services;
    if (fresh === true) {
      await addInput(database, row, this.#conversation, row.input);
      return undefined;
    }
    const { conversation, steps, calls } = await readConversation(database, keys, row, (answer) => {
      const checked = config.output_schema === undefined ? undefined : checkOutput(config.output_schema, answer);
      if (checked?.ok !== false) return undefined;
      this.#repairs++;
      return objectionTo(checked.problem);
    });
    this.#conversation = conversation;
    const last = steps.at(-1);
    if (last === undefined) {
      this.#steeredKnown = 1; // unknown: look once
      return undefined;
    }
    this.#step = last.step + 1;
    this.#steered = last.steered;
    this.#steeredKnown = last.steered + 1;
    for (const step of steps) this.#own = addUsage(this.#own, step);
    await this.#countBelow();
    const own = calls.filter((call) => call.step === last.step);
    return own.some(isOpen) ? ToolStep.resume(last.step, own) : undefined;
  }

  async #takeSteering(): Promise<RunInput[]> {
    if (this.#steeredKnown <= this.#steered) return [];
    const { database } = this.#services;
    const { key, row } = this.#claim;
    const joined = await steeringAfter(database, key.organization, key.run, this.#steered);
    await addInput(database, row, this.#conversation, joined);
    this.#steered += joined.length;
    this.#steeredKnown = this.#steered;
    return joined;
  }

  // Speaking

  async #speak(config: AgentConfig, targets: ModelTarget[], tools: ModelTool[]): Promise<Spoken> {
    let message = new Message(this.#deltaHost());
    const request = {
      system: this.#claim.row.prompt,
      messages: this.#conversation.messages,
      tools,
      ...(config.limits.max_output_tokens === undefined ? {} : { maxOutputTokens: config.limits.max_output_tokens }),
      ...(config.output_schema === undefined ? {} : { outputSchema: config.output_schema }),
    };
    const messages = request.messages.length;
    await this.#settling;
    const room = await holdRoom(this.#services, this.#claim, config, this.#step, targets, request, this.#counted);
    const { hold, ...bounds } = room;
    const broken = new Broken(targets, request, this.#services.cost);
    const onRestart = () => {
      broken.ended(false);
      const begun = message.begun;
      message.drop();
      if (begun) this.#supersede(message.id);
      message = new Message(this.#deltaHost());
    };
    try {
      const end = await callModel(
        targets,
        { ...request, ...bounds },
        {
          signal: this.#signal,
          onPart: (part) => {
            broken.came(part);
            message.add(part);
          },
          onRestart,
        },
      );
      const target = targets[end.targetIndex] as ModelTarget;
      const used = {
        micros: this.#services.cost(target.model.provider, target.modelId, end.usage),
        tokens: end.usage.inputTokens + end.usage.outputTokens,
      };
      this.#settle(hold, broken.with(used));
      this.#counted = { target, messages, tokens: used.tokens };
      return { ...message.close(end), end, model: target.modelId, provider: target.model.provider };
    } catch (error) {
      broken.ended(this.#signal.aborted);
      this.#settle(hold, broken.with(NOTHING));
      message.drop();
      throw error;
    }
  }

  /** Not waited for: the run goes on, and only its next reservation waits. */
  #settle(hold: Hold | undefined, used: Amount): void {
    this.#settling = hold?.settle(used);
  }

  #supersede(messageId: MessageId): void {
    const data = {
      attempt: this.#claim.row.attempt,
      reason: "model_retry" as const,
      superseded_message_ids: [messageId],
    };
    void this.#note({ events: [this.#event("run.resumed", data)] });
  }

  #deltaHost(): MessageHost {
    return {
      wheel: this.#services.wheel,
      event: (type, data) => this.#event(type, data),
      write: (event) => this.#note({ events: [event] }),
    };
  }

  // Ending a step

  #stepRow(spoken: Spoken, joined: RunInput[], usage: Usage): StepRow {
    return {
      step: this.#step,
      message: toUuid(spoken.messageId),
      provider: spoken.provider,
      model: spoken.model,
      joined,
      steered: this.#steered,
      parts: sealParts(this.#services.keys, this.#claim.key, spoken.parts, (name) => {
        const tool = this.#services.tools.get(name);
        return tool !== undefined && isSensitive(tool);
      }),
      finish: spoken.end.finishReason,
      usage,
      price: this.#services.price(spoken.provider, spoken.model),
      at: this.#at(),
    };
  }

  #stepUsage(spoken: Spoken): Usage {
    const { inputTokens, outputTokens } = spoken.end.usage;
    return {
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      cost_micros: this.#services.cost(spoken.provider, spoken.model, spoken.end.usage),
    };
  }

  #stepEvents(spoken: Spoken, usage: Usage): NewEvent[] {
    const events = [...spoken.rest];
    const thinking = textOf(spoken.parts, "thinking");
    const message_id = spoken.messageId;
    if (thinking !== "") events.push(this.#event("agent.thinking", { message_id, text: thinking }));
    if (spoken.text !== "" || spoken.end.finishReason !== "tool_calls") {
      const finish_reason = spoken.end.finishReason;
      events.push(this.#event("agent.message", { message_id, text: spoken.text, finish_reason }));
    }
    events.push(this.#event("usage.updated", { step: this.#step, model: spoken.model, usage }));
    return events;
  }

  async #callTools(
    config: AgentConfig,
    spoken: Spoken,
    joined: RunInput[],
    asked: Parameters<typeof ToolStep.plan>[2],
  ): Promise<WorkResult | undefined> {
    const usage = this.#stepUsage(spoken);
    this.#own = addUsage(this.#own, usage);
    const { tools, revoked } = await this.#begin(config, asked, (planned) => ({
      ...planned,
      events: [...this.#stepEvents(spoken, this.#usage), ...planned.events],
      steps: [this.#stepRow(spoken, joined, usage)],
      usage: this.#usage,
    }));
    if (revoked !== undefined) throw revoked;
    this.#say({ role: "assistant", content: spoken.parts, provider: spoken.provider });
    this.#useless = tools.useless ? this.#useless + 1 : 0;
    if (this.#useless >= MAX_USELESS_STEPS) {
      throw new RunFailure(
        "tool_loop",
        "the model called tools it does not have, or with invalid arguments, three times in a row",
      );
    }
    return this.#runTools(config, tools);
  }

  /** Writes a step with its calls, under rights that still hold; without them the calls are written as refused. */
  async #begin(
    config: AgentConfig,
    asked: Parameters<typeof ToolStep.plan>[2],
    withStep: (planned: Change) => Change,
  ): Promise<{ tools: ToolStep; revoked: RunFailure | undefined }> {
    for (let fresh = false; ; fresh = true) {
      const revoked = await this.#refusal(fresh);
      const host = this.#toolHost(config);
      const tools = await ToolStep.plan(host, this.#step, asked, revoked?.message);
      const change = withStep(tools.change(host, this.#at()));
      const epoch = revoked === undefined ? { epoch: this.#standing.epoch } : {};
      const written = await this.#commit({ ...change, ...epoch });
      if (written.kind === "committed") return { tools, revoked };
      if (written.kind !== "stale") throw new RunStop("lost");
    }
  }

  /** Runs a step's calls. @returns how the work ended when the run now waits for a person */
  async #runTools(config: AgentConfig, tools: ToolStep): Promise<WorkResult | undefined> {
    // It stays when this throws: the end of the run then says what became of its open calls.
    this.#toolStep = tools;
    const question = await tools.run(this.#toolHost(config));
    if (this.#hasFamily) await this.#countBelow();
    if (question !== undefined) {
      const { waitingFor, change } = question;
      const waiting = this.#event("run.waiting", { waiting_for: waitingFor });
      return this.#end({ state: "waiting", waitingFor }, [...change.events, waiting], change);
    }
    this.#toolStep = undefined;
    this.#say({ role: "tool", results: tools.results() });
    return undefined;
  }

  #toolHost(config: AgentConfig) {
    const { key, fence, row } = this.#claim;
    return {
      services: this.#services,
      run: { key, fence, row, standing: this.#standing },
      config,
      check: async () => {
        await this.#check(true);
        return this.#standing;
      },
      signal: this.#signal,
      registry: this.#services.tools,
      find: (name: string) => this.#findTool(config, name),
      invocations: (call: ConstructorParameters<typeof Invocations>[1]) => this.#invocations(config, call),
      now: this.#services.now,
      commit: (change: Change) => this.#commit(change),
      note: (change: Change) => void this.#note(change),
      event: <T extends EventType>(type: T, data: EventData<T>) => this.#event(type, data),
    };
  }

  #findTool(config: AgentConfig, name: string): LoadedTool | AgentTool | undefined {
    if (config.tools.some((tool) => tool.name === name)) return this.#services.tools.get(name);
    return agentTool(config, name);
  }

  #invocations(config: AgentConfig, call: ConstructorParameters<typeof Invocations>[1]): Invocations {
    const { key, fence, row } = this.#claim;
    const { children, tools } = this.#services;
    const parent: Parent = {
      run: { key, fence, row, standing: this.#standing },
      config,
      seat: this.#seat,
      used: () => this.#own,
      leftMs: () => config.limits.timeout_ms - this.#runningMs(),
      onBegin: () => {
        this.#hasFamily = true;
      },
    };
    const host = { parent, children, slugOf: (agent: AgentFile) => tools.slugOf(agent), signal: this.#signal };
    return new Invocations(host, call);
  }

  /** Ends the run with an answer, or goes on: with a wrong answer sent back, or a message that joined. */
  async #finish(config: AgentConfig, spoken: Spoken, joined: RunInput[]): Promise<WorkResult | undefined> {
    if (spoken.end.finishReason === "content_filter") {
      throw new RunFailure("model_content_filtered", "the provider withheld the answer");
    }
    const usage = this.#stepUsage(spoken);
    this.#own = addUsage(this.#own, usage);
    const step: Change = {
      events: this.#stepEvents(spoken, this.#usage),
      steps: [this.#stepRow(spoken, joined, usage)],
      usage: this.#usage,
    };
    const said: ModelMessage = { role: "assistant", content: spoken.parts, provider: spoken.provider };
    const checked = config.output_schema === undefined ? undefined : checkOutput(config.output_schema, spoken.text);
    if (checked?.ok === false) {
      if (this.#repairs >= MAX_REPAIRS) {
        await this.#commit(step);
        throw new RunFailure("output_invalid", `the answer did not fit the output schema: ${checked.problem}`);
      }
      this.#repairs++;
      await this.#commitOrLose(step);
      this.#say(said);
      this.#say({ role: "user", content: [{ type: "text", text: objectionTo(checked.problem) }] });
      return undefined;
    }
    const result = { text: spoken.text, ...(checked === undefined ? {} : { output: checked.output }) };
    const completed = this.#event("run.completed", { result, usage: this.#usage });
    const end = this.#endRow({ state: "completed", result, steered: this.#steered });
    const written = await this.#commit({ ...step, events: [...step.events, completed], end });
    if (written.kind === "committed") return { kind: "ended", next: written.queued };
    if (written.kind === "fenced") throw new RunStop("lost");
    // Somebody joined at the last moment (C3): the answer stands, and the run goes on with the new message.
    await this.#commitOrLose(step);
    this.#steeredKnown = written.steered;
    this.#say(said);
    return undefined;
  }

  // Stopping

  async #stopped(error: unknown): Promise<WorkResult> {
    // What ran into an aborted signal ends for the signal's reason, whatever it threw.
    const cause = this.#abort.signal.aborted ? this.#abort.signal.reason : error;
    if (cause instanceof RunStop) {
      if (cause.kind === "lost") return { kind: "left" };
      if (cause.kind === "shutdown") return this.#end({ state: "queued" }, []).catch(() => ({ kind: "left" }) as const);
      return this.#fail("timeout", `the run used up its running time`);
    }
    if (cause instanceof RunPause) return this.#pause(cause);
    if (cause instanceof CallboardError && cause.code === "unavailable") {
      // The database was away while something was read: whoever finds the run once it is back goes on.
      return this.#end({ state: "queued" }, []).catch(() => ({ kind: "left" }) as const);
    }
    if (cause instanceof ModelError) return this.#fail(cause.code, cause.message);
    if (cause instanceof RunFailure) return this.#fail(cause.code, cause.message);
    this.#services.log.error({ run_id: this.#claim.key.runId, error: cause }, "a run failed inside the server");
    return this.#fail("internal", undefined);
  }

  async #pause({ permission, requested }: RunPause): Promise<WorkResult> {
    const waitingFor = [{ kind: "permission" as const, id: requested.permission_id }];
    const events = [
      this.#event("permission.requested", requested),
      this.#event("run.waiting", { waiting_for: waitingFor }),
    ];
    const change = { permissions: [permission] };
    return this.#end({ state: "waiting", waitingFor }, events, change).catch(() => ({ kind: "left" }) as const);
  }

  async #fail(code: RunErrorCode, message: string | undefined): Promise<WorkResult> {
    const error = runError(code, message === undefined ? undefined : storable(message));
    // Its children end a moment after it; what they used until now is counted.
    if (this.#hasFamily) await this.#countBelow().catch(() => undefined);
    const open = this.#toolStep?.abandon(this.#toolHostForEnd()) ?? { events: [] };
    const failed = this.#event("run.failed", { error, usage: this.#usage });
    try {
      return await this.#end({ state: "failed", error }, [...open.events, failed], open);
    } catch (failure) {
      if (!(failure instanceof RunStop)) {
        this.#services.log.error(
          { run_id: this.#claim.key.runId, error: failure },
          "the end of a run could not be written",
        );
      }
      return { kind: "left" };
    }
  }

  #toolHostForEnd() {
    return {
      now: this.#services.now,
      event: <T extends EventType>(type: T, data: EventData<T>) => this.#event(type, data),
    };
  }

  async #end(
    end: Pick<RunEnd, "state" | "error" | "waitingFor">,
    events: NewEvent[],
    more: Partial<Change> = {},
  ): Promise<WorkResult> {
    const written = await this.#commit({ ...more, events, end: this.#endRow(end) });
    if (written.kind !== "committed") throw new RunStop("lost");
    return { kind: "ended", next: written.queued };
  }

  #endRow(end: Pick<RunEnd, "state" | "error" | "waitingFor" | "result" | "steered">): RunEnd {
    return { ...end, at: this.#at(), runningMs: Math.round(this.#runningMs()), usage: this.#usage };
  }

  // Usage

  get #usage(): Usage {
    return addUsage(this.#own, this.#below);
  }

  /** Reads what the runs used that this one has called. */
  async #countBelow(): Promise<void> {
    const { organization, run } = this.#claim.key;
    this.#below = await usedByChildren(this.#services.database, organization, run);
  }

  // Rights

  /** @throws RunFailure access_revoked */
  async #check(fresh = false): Promise<void> {
    this.#standing = await this.#services.authority.standing(this.#claim.row, fresh);
  }

  async #refusal(fresh: boolean): Promise<RunFailure | undefined> {
    try {
      await this.#check(fresh);
      return undefined;
    } catch (error) {
      if (error instanceof RunFailure) return error;
      throw error;
    }
  }

  // Small things

  #runningMs(): number {
    return this.#claim.row.running_ms + performance.now() - this.#startedMs;
  }

  get #signal(): AbortSignal {
    return this.#abort.signal;
  }

  #setDeadline(timeoutMs: number): void {
    const leftMs = Math.max(1, timeoutMs - this.#claim.row.running_ms);
    this.#timer = setTimeout(() => this.#abort.abort(new RunStop("timeout")), leftMs);
  }

  #checkLimits({ limits }: AgentConfig): void {
    if (this.#step >= limits.max_steps)
      throw new RunFailure("step_limit", `the run used its ${limits.max_steps} steps`);
    const tokens = this.#usage.input_tokens + this.#usage.output_tokens;
    if (limits.max_tokens !== undefined && tokens >= limits.max_tokens) {
      throw new RunFailure("token_limit", `the run used ${tokens} of its ${limits.max_tokens} tokens`);
    }
    if (limits.max_cost_micros !== undefined && this.#usage.cost_micros > limits.max_cost_micros) {
      throw new RunFailure(
        "cost_limit",
        `the run used ${this.#usage.cost_micros} of its ${limits.max_cost_micros} micro-dollars`,
      );
    }
  }

  async #modelTools(config: AgentConfig): Promise<ModelTool[]> {
    const tools = config.tools.map(({ name }) => {
      const tool = this.#services.tools.get(name);
      if (tool === undefined) throw missingTool(this.#services.tools, name);
      return { name, description: tool.definition.description, inputSchema: tool.inputSchema };
    });
    if (config.agents.length === 0) return tools;
    return [...tools, ...(await offeredAgents(this.#services.agents, this.#claim.key.organizationId, config))];
  }

  async #commit(change: Change): Promise<CommitResult> {
    const result = await this.#services.commits.commit(this.#claim.key, this.#claim.fence, change);
    if (result.kind === "fenced") this.lose();
    if (result.kind === "committed" && change.steps !== undefined) this.#progressed = true;
    if (result.kind !== "fenced" && result.steered > this.#steeredKnown) this.#steeredKnown = result.steered;
    return result;
  }

  /** A change nobody waits for. Never rejects: one that cannot be written ends the run. */
  async #note(change: Change): Promise<void> {
    await this.#commit(change).catch((error) => this.#abort.abort(error));
  }

  async #commitOrLose(change: Change): Promise<void> {
    if ((await this.#commit(change)).kind !== "committed") throw new RunStop("lost");
  }

  #event<T extends EventType>(type: T, data: EventData<T>): NewEvent {
    return newEvent(this.#claim.key.threadId, this.#claim.key.runId, type, data, this.#at());
  }

  #say(message: ModelMessage): void {
    this.#conversation.messages.push(message);
  }

  #at(): string {
    return this.#services.now().toISOString();
  }
}
