/** `docs/reference/cli.md` is what the command line says of itself, and every command says enough. */
import { describe, expect, test } from "vitest";
import { commandsOf, exampleOf, examples } from "../../packages/cli/src/examples.ts";
import { createProgram } from "../../packages/cli/src/program.ts";
import { cliReference } from "../../scripts/cli-reference.ts";
import { read } from "./pages.ts";

type Command = ReturnType<typeof createProgram>;
const program = createProgram({});
const commands = commandsOf(program);

/** An example's words, as a shell takes them. */
const words = (example: string): string[] =>
  (example.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^(['"])(.*)\1$/s, "$2"));

/** What is wrong with an example, as the command's own parser sees it. */
function problem(name: string, command: Command): string | undefined {
  const example = exampleOf(name);
  if (example === undefined) return "there is none";
  const [line = ""] = example.split(/ [<>] /);
  const rest = words(line).slice(name.split(" ").length);
  const known = [...command.options, ...program.options];
  const operands: string[] = [];
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at] as string;
    const option = known.find(({ long }) => long === word);
    if (option?.required) at++;
    else if (word.startsWith("--") && option === undefined) return `there is no option ${word}`;
    else if (option === undefined) operands.push(word);
  }
  const needed = command.registeredArguments.filter(({ required }) => required).length;
  if (operands.length < needed || operands.length > command.registeredArguments.length) {
    return `it takes ${command.usage()}`;
  }
  return undefined;
}

test("the reference is made from the commands: node scripts/cli-reference.ts writes it", () => {
  expect(read("docs/reference/cli.md").endsWith(cliReference())).toBe(true);
});

describe("every command", () => {
  test.each(commands)("$name says what it does, with an example that it takes", ({ name, command }) => {
    expect(command.description()).not.toBe("");
    expect(problem(name, command)).toBeUndefined();
    for (const option of command.options) expect(option.description, option.flags).not.toBe("");
  });

  test("has one example, and there is none without a command", () => {
    const names = commands.map(({ name }) => name);
    const owners = examples.map((example) => names.find((name) => exampleOf(name) === example));
    expect(owners.filter((owner) => owner === undefined)).toEqual([]);
    expect(new Set(owners).size).toBe(examples.length);
  });

  test("that takes something away for ever asks first", () => {
    const asking = commands.filter(({ command }) => command.options.some(({ long }) => long === "--yes"));
    const deleting = commands.filter(({ name }) => /\b(delete|remove|end-all)$/.test(name) || name === "apply");
    expect(asking.map(({ name }) => name)).toEqual(deleting.map(({ name }) => name));
  });

  test("takes no secret as an argument", () => {
    const taking = commands.flatMap(({ name, command }) =>
      [...command.options, ...program.options]
        .filter(
          ({ long, required, optional }) => /key|secret|password|token/.test(long ?? "") && (required || optional),
        )
        .map(({ long }) => `${name} ${long}`),
    );
    // Names of variables and files, an id, and a count.
    expect(taking.filter((option) => !/-(env|file)$|--service-token$|budgets \w+ --tokens$/.test(option))).toEqual([]);
  });
});
