/** Configurations as people write them: without what goes without saying. */
import { isDeepStrictEqual } from "node:util";
import { type AgentConfig, type AgentConfigInput, agentConfig } from "@callboard/protocol";

type Fields = { [name: string]: unknown };

/** The same configuration without the fields whose value is the default. */
export function withoutDefaults(config: AgentConfig): AgentConfigInput {
  const { name: _, ...defaults } = agentConfig.parse({ name: "-" });
  const short = strip(config, defaults) as AgentConfigInput;
  // A default may be one of a whole object, whose fields cannot be left out one by one.
  return isDeepStrictEqual(agentConfig.parse(short), config) ? short : config;
}

function strip(value: Fields, defaults: Fields): Fields {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, own]) => {
      if (own === undefined) return [];
      const usual = Object.hasOwn(defaults, name) ? defaults[name] : undefined;
      if (isDeepStrictEqual(own, usual)) return [];
      return [[name, isFields(own) && isFields(usual) ? strip(own, usual) : own]];
    }),
  );
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
