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

  test("of answers say all of them: nowhere any or unknown", () => {
    type IsLoose<T> = unknown extends T ? true : false;
    // To a depth, since Json holds itself. Functions are a Response's own.
    type HasLoose<T, Depth extends 0[] = []> =
      IsLoose<T> extends true
        ? true
        : Depth["length"] extends 8
          ? false
          : T extends (...args: never[]) => unknown
            ? false
            : T extends object
              ? true extends { [K in keyof T]-?: HasLoose<T[K], [...Depth, 0]> }[keyof T]
                ? true
                : false
              : false;
    type Verbs = { [G in keyof CallboardClient]: { [V in keyof CallboardClient[G]]: Answers<CallboardClient[G][V]> } };
    type Answers<V> = V extends (...args: never[]) => infer R
      ? true extends HasLoose<R extends AsyncGenerator<infer E, void, undefined> ? E : Awaited<R>>
        ? V
        : never
      : never;
    type Loose = { [G in keyof Verbs]: Verbs[G][keyof Verbs[G]] }[keyof Verbs];
    expectTypeOf<HasLoose<{ a: { b: unknown }[] }>>().toEqualTypeOf<true>();
    // biome-ignore lint/suspicious/noExplicitAny: that is what is looked for
    expectTypeOf<HasLoose<{ a: "x" | { b: any } }>>().toEqualTypeOf<true>();
    // An endpoint's answer is what its caller or the generated helpers name.
    expectTypeOf<Loose>().toEqualTypeOf<CallboardClient["endpoints"]["call"]>();
  });

  test("every verb takes a signal in its last argument", () => {
    type Last<A extends readonly unknown[]> = Required<A> extends readonly [...unknown[], infer L] ? L : never;
    type Deaf<V> = V extends (...args: infer A) => unknown ? (Last<A> extends { signal?: unknown } ? never : V) : V;
    type Verbs = {
      [G in keyof CallboardClient]: {
        [V in keyof CallboardClient[G]]: Deaf<CallboardClient[G][V]>;
      }[keyof CallboardClient[G]];
    };
    expectTypeOf<Deaf<(id: string, options?: { signal?: AbortSignal }) => void>>().toEqualTypeOf<never>();
    expectTypeOf<Deaf<(id: string, body?: { a?: 1 }) => void>>().not.toEqualTypeOf<never>();
    expectTypeOf<Verbs[keyof Verbs]>().toEqualTypeOf<never>();
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
