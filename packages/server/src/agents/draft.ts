/** Whether a draft can be published, all problems at once; everything that needs no database. */
import { type AgentConfig, CallboardError, type FieldProblem } from "@callboard/protocol";
import { conditionProblems } from "./condition.ts";
import { outputSchemaProblem } from "./output-schema.ts";
import { agentListProblems } from "./sub-agents.ts";
import { placeholders } from "./template.ts";
import { declarationProblems } from "./variables.ts";

/** What a tool of this server takes, as JSON Schema; undefined where that is not known. */
export type InputSchemaOf = (tool: string) => { readonly [key: string]: unknown } | undefined;

/**
 * @param toolNames the tools of this server
 * @returns problems with paths in the configuration; empty when there are none
 */
export function draftProblems(
  config: AgentConfig,
  toolNames: ReadonlySet<string>,
  inputSchemaOf: InputSchemaOf = () => undefined,
): FieldProblem[] {
  const output = config.output_schema && outputSchemaProblem(config.output_schema);
  return [
    ...instructionProblems(config),
    ...declarationProblems(config.variables),
    ...toolProblems(config.tools, toolNames),
    ...config.tools.flatMap((tool, i) => approvalProblems(tool, `tools[${i}].approval`, inputSchemaOf)),
    ...approverProblems(config.approvals),
    ...agentListProblems(config),
    ...(output === undefined ? [] : [{ path: "output_schema", message: output }]),
  ];
}

function instructionProblems({ instructions, variables }: AgentConfig): FieldProblem[] {
  const names = new Set(placeholders(instructions).map(({ name }) => name));
  return [...names]
    .filter((name) => !Object.hasOwn(variables, name))
    .map((name) => ({
      path: "instructions",
      message: `the placeholder \${${name}} is not declared; $\${${name}} prints it as it is`,
    }));
}

function toolProblems(tools: AgentConfig["tools"], toolNames: ReadonlySet<string>): FieldProblem[] {
  const seen = new Set<string>();
  return tools.flatMap(({ name }, i) => {
    const path = `tools[${i}].name`;
    if (seen.has(name)) return [{ path, message: `the tool ${name} is listed twice` }];
    seen.add(name);
    return toolNames.has(name) ? [] : [{ path, message: `there is no tool ${name} on this server` }];
  });
}

function approvalProblems(
  { name, approval }: AgentConfig["tools"][number],
  path: string,
  inputSchemaOf: InputSchemaOf,
): FieldProblem[] {
  return typeof approval === "string" ? [] : conditionProblems(approval.when, `${path}.when`, inputSchemaOf(name));
}

function approverProblems({ approvers, not_requester }: AgentConfig["approvals"]): FieldProblem[] {
  if (!not_requester || approvers.some((one) => one === "owner" || one === "admins" || one.startsWith("group:")))
    return [];
  const message = "with not_requester somebody else must be named: owner, admins or a group";
  return [{ path: "approvals.approvers", message }];
}

/** @throws draft_invalid when there are problems */
export function refuseProblems(slug: string, fields: FieldProblem[]): void {
  const [first] = fields;
  if (first === undefined) return;
  const more = fields.length > 1 ? ` (and ${fields.length - 1} more)` : "";
  throw new CallboardError("draft_invalid", `agent ${slug}: ${first.path}: ${first.message}${more}`, { fields });
}
