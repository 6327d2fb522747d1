import { readdir, readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import type { Event, EventList, Job, Json, Run, Thread, ThreadAnswer } from "@callboard/protocol";
import { describe, expect, expectTypeOf, test } from "vitest";
import * as entry from "./index.ts";
import { type CallboardClient, paginate, type QueryInput } from "./index.ts";

test("these names are the public API", () => {
  expect(Object.keys(entry).sort()).toEqual([
    "CallboardApiError",
    "CallboardConnectionError",
    "CallboardTimeoutError",
    "createClient",
    "paginate",
  ]);
});

test("the running client imports its own files only", async () => {
  const files = await readdir(import.meta.dirname);
  for (const file of files.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))) {
    const source = await readFile(`${import.meta.dirname}/${file}`, "utf8");
    const imports = [...stripTypeScriptTypes(source).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(
      (match) => match[1],
    );
    expect(imports.filter((name) => !name?.startsWith("./"))).toEqual([]);
  }
});

describe("types", () => {
  type Answer<Verb extends (...args: never[]) => unknown> = Awaited<ReturnType<Verb>>;

  test("answers are the route table's", () => {
    expectTypeOf<Answer<CallboardClient["threads"]["create"]>>().toEqualTypeOf<ThreadAnswer>();
    expectTypeOf<Answer<CallboardClient["threads"]["archive"]>>().toEqualTypeOf<Thread>();
    expectTypeOf<Answer<CallboardClient["threads"]["delete"]>>().toEqualTypeOf<undefined>();
    expectTypeOf<Answer<CallboardClient["events"]["list"]>>().toEqualTypeOf<EventList>();
    expectTypeOf<Answer<CallboardClient["runs"]["get"]>>().toEqualTypeOf<Run>();
    expectTypeOf<ReturnType<CallboardClient["events"]["follow"]>>().toExtend<AsyncIterable<Event>>();
  });

  test("a result is there on completed and nowhere else, an error where there is no result", () => {
    type Ended = Answer<CallboardClient["runs"]["wait"]>;
    type In<T, State> = Extract<T, { state: State }>;
    expectTypeOf<Ended["state"]>().toEqualTypeOf<"completed" | "failed" | "canceled">();
    expectTypeOf<In<Run, "completed">["result"]["text"]>().toEqualTypeOf<string>();
    expectTypeOf<In<Ended, "failed" | "canceled">["error"]["code"]>().toEqualTypeOf<string>();
    expectTypeOf<Exclude<Run, { state: "completed" }>["result"]>().toEqualTypeOf<undefined>();
    expectTypeOf<Exclude<Job, { state: "completed" }>["result"]>().toEqualTypeOf<undefined>();
    expectTypeOf<In<Job, "completed">>().toHaveProperty("result").toEqualTypeOf<Json>();
    expectTypeOf<In<Job, "failed" | "canceled">["error"]["status"]>().toEqualTypeOf<number>();
  });

  test("query values are numbers, booleans and arrays, and may be left out where the API allows it", () => {
    expectTypeOf<QueryInput<"threads.list">["limit"]>().toEqualTypeOf<number | undefined>();
    expectTypeOf<QueryInput<"threads.list">["archived"]>().toEqualTypeOf<boolean | undefined>();
    expectTypeOf<NonNullable<QueryInput<"events.list">["types"]>[number]>().toEqualTypeOf<Event["type"]>();
    // biome-ignore lint/complexity/noBannedTypes: the question is whether nothing at all is enough
    expectTypeOf<{}>().toExtend<QueryInput<"threads.list">>();
    // biome-ignore lint/complexity/noBannedTypes: as above
    expectTypeOf<{}>().not.toExtend<QueryInput<"agents.diff">>();
    expectTypeOf<{ from: string }>().toExtend<QueryInput<"agents.diff">>();
  });

  test("a page's items flow through paginate", () => {
    const list = (client: CallboardClient) => paginate((page) => client.threads.list("support", page));
    expectTypeOf(list).returns.toEqualTypeOf<AsyncGenerator<Thread, void, undefined>>();
  });

  test("a narrowed event has its own data", () => {
    const text = (event: Event) => (event.type === "agent.message" ? event.data.text : "");
    expectTypeOf(text).returns.toEqualTypeOf<string>();
  });

  test("a first message is text or input, never both", () => {
    type Input = Parameters<CallboardClient["threads"]["run"]>[1];
    expectTypeOf<{ text: string }>().toExtend<Input>();
    expectTypeOf<{ text: string; input: { type: "user.message"; text: string } }>().not.toExtend<Input>();
    expectTypeOf<{ title: string }>().not.toExtend<Input>();
  });
});
