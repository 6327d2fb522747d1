/**
 * The commands of `docs/reference/cli.md`, made from the command line itself.
 *
 *     node scripts/cli-reference.ts    writes them into the page
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandsOf, exampleOf } from "../packages/cli/src/examples.ts";
import { createProgram } from "../packages/cli/src/program.ts";

type Command = ReturnType<typeof createProgram>;
type Option = Command["options"][number];

const MARK = "<!-- Made by scripts/cli-reference.ts from here on. -->\n";

/** Markdown: a section for each noun, an entry for each command. */
export function cliReference(program: Command = createProgram({})): string {
  const sections = program.commands.map((noun) => {
    const commands =
      noun.commands.length > 0 ? commandsOf(noun, [noun.name()]) : [{ name: noun.name(), command: noun }];
    const heading = noun.commands.length > 0 ? `${sentence(noun.description())}\n\n` : "";
    return `## ${noun.name()}\n\n${heading}${commands.map(({ name, command }) => entry(name, command)).join("\n")}`;
  });
  return `${MARK}\n${sections.join("\n")}`;
}

function entry(name: string, command: Command): string {
  const args = command.registeredArguments.map((one) => (one.required ? ` <${one.name()}>` : ` [${one.name()}]`));
  const options = command.options.map((option) => `- \`${option.flags}\`: ${describe(option)}\n`);
  const example = `\`\`\`sh\ncallboard ${exampleOf(name)}\n\`\`\`\n`;
  const list = options.length > 0 ? `${options.join("")}\n` : "";
  return `**\`${name}${args.join("")}\`** — ${prose(command.description())}.\n\n${list}${example}`;
}

function describe({ description, argChoices, defaultValue, mandatory }: Option): string {
  const notes = [
    ...(argChoices === undefined ? [] : [argChoices.map((choice) => `\`${choice}\``).join(", ")]),
    ...(defaultValue === undefined ? [] : [`default \`${defaultValue}\``]),
    ...(mandatory ? ["needed"] : []),
  ];
  return notes.length === 0 ? prose(description) : `${prose(description)} (${notes.join("; ")})`;
}

/** In prose, `<slug>` would be taken for HTML. */
const prose = (text: string): string => text.replaceAll("<", "&lt;");
const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

if (import.meta.main) {
  const path = join(import.meta.dirname, "../docs/reference/cli.md");
  const [written = ""] = readFileSync(path, "utf8").split(MARK);
  writeFileSync(path, written + cliReference());
}
