import type { Tool, ToolCaller, ToolContext, ToolFiles } from "@callboard/kit";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { articles, tickets } from "../lib/desk.ts";
import draftReply from "../tools/draft_reply.ts";
import escalate from "../tools/escalate.ts";
import getArticle from "../tools/get_article.ts";
import getTicket from "../tools/get_ticket.ts";
import refund from "../tools/refund.ts";
import searchArticles from "../tools/search_articles.ts";
import searchTickets from "../tools/search_tickets.ts";

type WrittenFile = Awaited<ReturnType<ToolFiles["write"]>>;
const threadId = "thread_1" as ToolContext["thread"]["id"];
const runId = "run_1" as ToolContext["run"]["id"];

/** A context that keeps what was written and said. */
function fakeContext() {
  const written: Array<{ name: string; mediaType: string; text: string }> = [];
  const said: string[] = [];
  const context: ToolContext = {
    caller: {
      organizationId: "org_1" as ToolCaller["organizationId"],
      kind: "user",
      userId: null,
      serviceId: null,
      email: "kim@example.com",
      groups: [],
    },
    callId: "call_01jd0000000000000abcdefgh",
    signal: new AbortController().signal,
    thread: { id: threadId },
    run: { id: runId },
    files: {
      list: async () => [],
      read: async () => {
        throw new Error("there is no such file");
      },
      write: async ({ name, mediaType, bytes }): Promise<WrittenFile> => {
        const text = typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes);
        written.push({ name, mediaType, text });
        return {
          id: `file_${written.length}` as WrittenFile["id"],
          thread_id: threadId,
          kind: "artifact",
          name,
          media_type: mediaType,
          size_bytes: Buffer.byteLength(text),
          sha256: "0".repeat(64),
          run_id: runId,
          created_at: "2026-01-31T09:30:00.000Z",
        };
      },
    },
    documents: {
      search: async () => [],
      read: async () => {
        throw new Error("there is no such document");
      },
    },
    fetch: async () => {
      throw new Error("these tools need no network");
    },
    invokeAgent: () => Promise.reject(new Error("no agents here")),
    relayStatus: (text) => void said.push(text),
    log: { info() {}, warn() {} },
  };
  return { context, written, said };
}

/** Calls a tool as the engine does: input checked, run, output checked. */
async function call(tool: Tool, input: unknown, context = fakeContext().context): Promise<Record<string, unknown>> {
  const { definition } = tool;
  const parsed = (definition.input as unknown as z.ZodType).parse(input);
  const result = await definition.run(parsed, context);
  return (definition.output as unknown as z.ZodType<Record<string, unknown>>).parse(result);
}

const all = { draftReply, escalate, getArticle, getTicket, refund, searchArticles, searchTickets };

describe("every tool", () => {
  test.each(Object.entries(all))("%s describes each of its inputs in JSON Schema", (_name, { definition }) => {
    expect(definition.description.length).toBeGreaterThan(30);
    const schema = z.toJSONSchema(definition.input as unknown as z.ZodType, { io: "input" });
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      expect(typeof property === "object" && property.description, name).toBeTruthy();
    }
  });

  test("says what a repetition would do, and shows its input and output", () => {
    const effects = Object.fromEntries(Object.entries(all).map(([name, { definition }]) => [name, definition.effect]));
    expect(effects).toEqual({
      draftReply: "idempotent",
      escalate: "once",
      getArticle: "read",
      getTicket: "read",
      refund: "once",
      searchArticles: "read",
      searchTickets: "read",
    });
    for (const { definition } of Object.values(all)) expect(definition.public).toEqual({ input: true, output: true });
  });
});

describe("search_tickets", () => {
  test("needs nothing but a query", async () => {
    const { tickets: found } = (await call(searchTickets, { query: "card reader no connection" })) as {
      tickets: Array<{ product: string; resolution: string | null }>;
    };
    expect(found).toHaveLength(5);
    expect(found[0]).toMatchObject({ product: "Dovetill", category: "hardware" });
    expect(found[0]?.resolution).toBeTruthy();
  });

  test("keeps to one product when asked", async () => {
    const { tickets: found } = (await call(searchTickets, {
      query: "update connection",
      product: "Mossgate",
      limit: 10,
    })) as {
      tickets: Array<{ product: string }>;
    };
    expect(new Set(found.map((one) => one.product))).toEqual(new Set(["Mossgate"]));
  });

  test("answers an empty list when nothing fits", async () => {
    expect(await call(searchTickets, { query: "xylophone" })).toEqual({ total: 0, tickets: [] });
  });

  test.each([
    {},
    { query: "  " },
    { query: "x", limit: 11 },
    { query: "x", product: "Abacus" },
    { query: "x", more: 1 },
  ])("refuses %j", async (input) => {
    await expect(call(searchTickets, input)).rejects.toThrow(z.ZodError);
  });
});

describe("search_articles and the two readers", () => {
  test("an article that was found can be read in full", async () => {
    const { articles: found } = (await call(searchArticles, { query: "guest wifi page", product: "Mossgate" })) as {
      articles: Array<{ id: string }>;
    };
    const id = found[0]?.id;
    expect(id).toBe("KB-1204");
    expect(await call(getArticle, { id })).toEqual(articles.find((one) => one.id === id));
  });

  test("a ticket is read in full", async () => {
    expect(await call(getTicket, { id: tickets[7]?.id })).toEqual(tickets[7]);
  });

  test("an unknown id is an error that names it", async () => {
    await expect(call(getArticle, { id: "KB-9999" })).rejects.toThrow("there is no article KB-9999");
    await expect(call(getTicket, { id: "T-99999" })).rejects.toThrow("there is no ticket T-99999");
  });
});

describe("draft_reply", () => {
  test("writes the reply and its articles to reply.md", async () => {
    const { context, written } = fakeContext();
    const result = await call(
      draftReply,
      { subject: "Your card reader", body: "Please restart it.", article_ids: ["KB-1002", "KB-1002"] },
      context,
    );
    expect(result).toMatchObject({ file_id: "file_1", name: "reply.md", article_ids: ["KB-1002"] });
    expect(written).toEqual([
      {
        name: "reply.md",
        mediaType: "text/markdown",
        text: '# Your card reader\n\nPlease restart it.\n\n---\n\n- KB-1002: Card reader says "No connection" or drops out\n',
      },
    ]);
  });

  test("writes nothing when an article does not exist", async () => {
    const { context, written } = fakeContext();
    const input = { subject: "Hello", body: "See below.", article_ids: ["KB-9999"] };
    await expect(call(draftReply, input, context)).rejects.toThrow("there is no article KB-9999");
    expect(written).toEqual([]);
  });
});

describe("refund", () => {
  test("asks about large amounts, whoever uses it, and is allowed for one customer at a time", () => {
    const { approval, approvalScope } = refund.definition;
    const { caller } = fakeContext().context;
    if (typeof approval !== "function") throw new Error("expected a function of the input");
    const asked = { customer_id: "QH-20417", currency: "EUR", reason: "The reader never worked." } as const;
    const of = (amount_cents: number) => approval({ ...asked, amount_cents }, { caller });
    expect([of(50_000), of(50_001)]).toEqual([false, true]);
    expect(approvalScope?.({ ...asked, amount_cents: 1 }, { caller })).toBe("QH-20417");
  });

  test("writes a credit note that is named after the call", async () => {
    const { context, written } = fakeContext();
    const asked = { customer_id: "QH-20417", amount_cents: 4_990, reason: "The reader never worked." };
    const result = await call(refund, asked, context);
    expect(result).toEqual({ reference: "CN-ABCDEFGH", file_id: "file_1", amount_cents: 4_990 });
    expect(JSON.parse(written[0]?.text ?? "")).toMatchObject({ ...asked, currency: "EUR", ticket_id: null });
  });
});

describe("escalate", () => {
  test("asks a person each time", () => {
    expect(escalate.definition.approval).toBe("always");
  });

  test("writes what the team needs and says so", async () => {
    const { context, written, said } = fakeContext();
    const ticket = tickets[0];
    const result = await call(
      escalate,
      { team: "Registers", summary: "No card payments since 9:00.", ticket_ids: [ticket?.id] },
      context,
    );
    expect(result).toEqual({ reference: "ESC-ABCDEFGH", file_id: "file_1", team: "Registers", priority: "high" });
    expect(written[0]).toMatchObject({ name: "escalation.json", mediaType: "application/json" });
    expect(JSON.parse(written[0]?.text ?? "")).toEqual({
      reference: "ESC-ABCDEFGH",
      team: "Registers",
      priority: "high",
      summary: "No card payments since 9:00.",
      reason: "The steps known to the desk did not solve it.",
      related_tickets: [{ id: ticket?.id, subject: ticket?.subject, status: ticket?.status }],
      requested_by: "kim@example.com",
      thread_id: "thread_1",
      run_id: "run_1",
    });
    expect(said).toEqual(["Escalated to Registers as ESC-ABCDEFGH"]);
  });
});
