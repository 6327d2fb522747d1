import { type ContentPart, type FileId, newId, type ThreadId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { completeBlob, insertFile, storeBytes } from "../files/index.ts";
import type { Claim } from "../runs/index.ts";
import { addInput, type Conversation, readConversation } from "./conversation.ts";
import { calls, createEngineWorld, type EngineWorld, ScriptedModel, says, testTool } from "./fixture.ts";

let world: EngineWorld;
beforeAll(async () => {
  world = await createEngineWorld();
});
afterAll(() => world.end());

async function addFile(thread: ThreadId, bytes: number, name = "a.txt"): Promise<FileId> {
  const { database, organizationId } = world.runs;
  const organization = toUuid(organizationId);
  const source = (async function* () {
    yield Buffer.alloc(bytes, "x");
  })();
  const stored = await storeBytes(database, organization, source, 100_000_000);
  const id = newId("file");
  await database.transaction(async (tx) => {
    await completeBlob(tx, organization, stored.blob);
    await insertFile(tx, {
      organization_id: organization,
      id: toUuid(id),
      agent_id: null,
      thread_id: toUuid(thread),
      run_id: null,
      call_id: null,
      kind: "attachment",
      name,
      media_type: "text/plain",
      size_bytes: stored.sizeBytes,
      sha256: stored.sha256,
      blob_id: stored.blob,
      created_by_kind: "user",
      created_by_id: organization,
      created_at: "2026-01-31T09:30:00.000Z",
    });
  });
  return id;
}

describe("what a model is told", () => {
  async function told(thread: ThreadId, content: ContentPart[]) {
    const conversation: Conversation = { messages: [], fileBytes: 0 };
    const row = { organization_id: toUuid(world.runs.organizationId), thread_id: toUuid(thread) };
    await addInput(world.runs.database, row, conversation, [{ content, seq: 1 }]);
    const message = conversation.messages[0];
    if (message?.role !== "user") throw new Error("nobody was told anything");
    return { parts: message.content, fileBytes: conversation.fileBytes };
  }

  test("files come with their bytes, in their place", async () => {
    const { thread } = await world.runs.start({ text: null });
    const id = await addFile(thread.id, 300_000);
    const { parts, fileBytes } = await told(thread.id, [
      { type: "text", text: "Look:" },
      { type: "file", file_id: id },
    ]);
    expect(parts).toMatchObject([
      { type: "text", text: "Look:" },
      { type: "file", name: "a.txt", mediaType: "text/plain" },
    ]);
    expect(parts[1]?.type === "file" ? parts[1].bytes : undefined).toHaveLength(300_000);
    expect(fileBytes).toBe(300_000);
  });

  test("files that were removed, or are another thread's, are named and not shown", async () => {
    const { thread } = await world.runs.start({ text: null });
    const other = await addFile((await world.runs.start({ text: null })).thread.id, 10);
    const gone = newId("file");
    const { parts } = await told(thread.id, [
      { type: "file", file_id: other },
      { type: "file", file_id: gone },
    ]);
    expect(parts).toEqual([
      { type: "text", text: `[The file ${other} was removed.]` },
      { type: "text", text: `[The file ${gone} was removed.]` },
    ]);
  });

  test("20 MiB of files are shown, what is beyond is named", async () => {
    const { thread } = await world.runs.start({ text: null });
    const large = await addFile(thread.id, 20 * 1024 * 1024 - 5, "large.txt");
    const small = await addFile(thread.id, 10, "small.txt");
    const { parts } = await told(thread.id, [
      { type: "file", file_id: large },
      { type: "file", file_id: small },
    ]);
    expect(parts).toMatchObject([
      { type: "file", name: "large.txt" },
      { type: "text", text: `[The file small.txt (${small}) is too large to be shown here.]` },
    ]);
  });
});

test("a run that was cut off is told with what it had done and not read, each call with a result", async () => {
  const model = new ScriptedModel(calls(["look", {}], ["hang", {}]));
  const tools = { look: testTool(() => "looked"), hang: testTool(() => new Promise(() => {})) };
  const claim = await world.begin("first");
  const working = world.work(claim, world.services(model, { limits: { timeout_ms: 4000 } }, tools));
  await world.runs.send(claim.key.threadId, world.runs.message("in blue", "steer"));
  await working;
  await world.runs.send(claim.key.threadId, world.runs.message("second"));
  const next: Claim = world.runs.host.last();
  const { conversation } = await readConversation(world.runs.database, world.runs.keys, next.row, () => undefined);
  expect(conversation.messages).toMatchObject([
    { role: "user", content: [{ text: "first" }] },
    { role: "assistant", content: [{ tool: "look" }, { tool: "hang" }] },
    {
      role: "tool",
      results: [
        { callId: "model_call_0", isError: false, text: "looked" },
        { callId: "model_call_1", isError: true, text: "The run ended during this call." },
      ],
    },
    { role: "user", content: [{ text: "in blue" }] },
    { role: "user", content: [{ text: "second" }] },
  ]);
  await world.work(next, world.services(new ScriptedModel(says("Done."))));
});
