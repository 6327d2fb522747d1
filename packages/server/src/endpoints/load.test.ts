import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../log/index.ts";
import { matchPath, toPattern, toTemplate } from "./paths.ts";
import { EndpointRegistry } from "./registry.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "callboard-endpoints-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const put = async (name: string, source: string) => {
  const file = join(folder, "endpoints", name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, source);
};
const schema = '{ "~standard": { version: 1, vendor: "own", validate: (value) => ({ value }) } }';
const source = (more = "") => `export default { kind: "endpoint", definition: {
  method: "POST", mode: "sync", input: ${schema}, output: ${schema}, handle: () => 1, ${more} } };`;
const load = () => EndpointRegistry.load({ folder, reload: false, log: createLogger("silent") });

describe("a file's path", () => {
  test.each([
    ["triage", "/endpoints/triage", "/endpoints/triage", {}],
    ["tickets/[id]/close", "/endpoints/tickets/{id}/close", "/endpoints/tickets/t%2F7/close", { id: "t/7" }],
    ["tickets/index", "/endpoints/tickets", "/endpoints/tickets", {}],
    ["index", "/endpoints", "/endpoints", {}],
    ["[a]/[b]", "/endpoints/{a}/{b}", "/endpoints/x/y", { a: "x", b: "y" }],
  ])("%s is %s", (name, template, path, params) => {
    const pattern = toPattern(name);
    expect(toTemplate(pattern)).toBe(template);
    expect(matchPath(pattern, path)).toEqual(params);
    expect(matchPath(pattern, `${path}/more`)).toBeUndefined();
    expect(matchPath(pattern, `${path}/`)).toBeUndefined();
  });

  test.each(["/endpoints/tickets/%/close", "/endpoints/tickets//close"])("%s matches nothing", (path) => {
    expect(matchPath(toPattern("tickets/[id]/close"), path)).toBeUndefined();
  });

  test.each(["a b", "[1]", "x/[id]/[id]", "[...rest]", "a{b}"])("%s is none", (name) => {
    expect(() => toPattern(name)).toThrow(/no part of a path|twice/);
  });
});

describe("a project's endpoints", () => {
  test("are its files below endpoints; a literal part goes before a parameter", async () => {
    for (const name of ["b.mjs", "a/[id].mjs", "a/new.mjs", "[any]/x.mjs"]) await put(name, source());
    for (const name of ["_shared.mjs", "a/_x/y.mjs", "b.test.mjs", "notes.md"]) await put(name, "not a program");
    const registry = await load();
    expect(
      registry
        .list()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["[any]/x", "a/[id]", "a/new", "b"]);
    expect(registry.match("/endpoints/a/new")?.endpoint.name).toBe("a/new");
    expect(registry.match("/endpoints/a/7")).toMatchObject({ endpoint: { name: "a/[id]" }, params: { id: "7" } });
    expect(registry.match("/endpoints/a/x")?.endpoint.name).toBe("a/[id]");
    expect(registry.match("/endpoints/z/x")?.endpoint.name).toBe("[any]/x");
    expect(registry.match("/endpoints/z/y")).toBeUndefined();
    expect(registry.get("b")?.timeoutMs).toBe(300_000);
  });

  test("that cannot be loaded are all named at once", async () => {
    await put("syntax.mjs", "export default {");
    await put("other.mjs", "export default 7;");
    await put("slow.mjs", source("timeoutMs: 1e12"));
    await put("plain.mjs", source("input: {}"));
    await put("methodless.mjs", source("method: undefined"));
    await put("modes.mjs", source('mode: "pollling"'));
    await put("open.mjs", source('acces: { roles: ["admin"] }'));
    await put("everyone.mjs", source('access: { role: ["admin"] }'));
    await put("nobody.mjs", source('access: { roles: ["admim"] }'));
    await put("idle.mjs", source("handle: null"));
    await put("late.mjs", source("abandonAfterMs: 9000"));
    await put("t/[id].mjs", source());
    await put("t/[name].mjs", source());
    await put("b c.mjs", source());
    const error = await load().catch((thrown: Error) => thrown.message);
    expect(error).toContain("endpoints could not be loaded");
    expect(error).toContain("syntax.mjs:");
    expect(error).toContain("other.mjs: the default export must be defineEndpoint({…})");
    expect(error).toContain("slow.mjs: timeoutMs: expected whole milliseconds from 1 to 43200000");
    expect(error).toContain("plain.mjs: input: expected a Standard Schema");
    expect(error).toMatch(/methodless\.mjs: method: .*"GET"/);
    expect(error).toMatch(/modes\.mjs: mode: .*"polling"/);
    expect(error).toMatch(/open\.mjs: .*"acces"/);
    expect(error).toMatch(/everyone\.mjs: access: .*"role"/);
    expect(error).toMatch(/nobody\.mjs: access: roles: 0: .*"admin"/);
    expect(error).toContain("idle.mjs: handle: expected a function");
    expect(error).toContain("late.mjs: abandonAfterMs is for jobs");
    expect(error).toMatch(/t\/\[name\]\.mjs: .*t\/\[id\]\.mjs has the same path/);
    expect(error).toContain("b c.mjs: b c is no part of a path");
  });

  test("may be none", async () => {
    expect((await load()).list()).toEqual([]);
    const without = await EndpointRegistry.load({ folder: null, reload: true, log: createLogger("silent") });
    await without.refresh();
    expect(without.match("/endpoints/x")).toBeUndefined();
  });
});
