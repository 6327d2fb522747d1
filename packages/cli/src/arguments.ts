/**
 * Ids in arguments and options, checked by their kind before anything is asked: a title, or another thing's id, would
 * come back as something that is not there.
 */
import { type Argument, type Command, InvalidArgumentError, type Option } from "commander";
import { commandsOf } from "./examples.ts";

/** Placeholder in a command's usage → how ids of it begin. Agents, groups and the like have names as well. */
const prefixes: Readonly<Record<string, string>> = {
  thread: "thread",
  run: "run",
  permission: "perm",
  file: "file",
  job: "job",
  document: "document",
  token: "token",
  budget: "budget",
  invitation: "invite",
  session: "session",
  organization: "org",
};

export function checkIds(program: Command): void {
  for (const { command } of commandsOf(program)) {
    for (const argument of command.registeredArguments) check(argument, argument.name());
    for (const option of command.options) check(option, /[<[](\w+)[\]>]/.exec(option.flags)?.[1] ?? "");
  }
}

function check(place: Argument | Option, word: string): void {
  const prefix = prefixes[word];
  if (prefix === undefined || place.parseArg !== undefined) return;
  place.argParser((text: string) => {
    if (text.startsWith(`${prefix}_`)) return text;
    const article = /^[aeiou]/.test(word) ? "an" : "a";
    throw new InvalidArgumentError(`Expected the id of ${article} ${word}, like ${prefix}_01h455vb4pex5vsknk084sn02q.`);
  });
}
