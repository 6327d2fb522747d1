/** The custom endpoints in a server's description of itself. */

export type DescribedEndpoint = {
  /** Its file below `endpoints/`, without the ending. */
  name: string;
  summary: string;
  method: string;
  /** The path below `/endpoints`. */
  parts: readonly ({ literal: string } | { param: string })[];
  input: unknown;
  output: unknown;
  /** Where references of the schemas lead that lead nowhere in them. */
  document: unknown;
};

type Parameter = { name: string; in: string; required?: boolean; schema?: unknown; explode?: boolean };
type Content = { content?: { "application/json"?: { schema?: unknown } } };
type Operation = {
  operationId?: string;
  summary?: string;
  parameters?: readonly Parameter[];
  requestBody?: Content;
  responses?: { [status: string]: Content & { "x-job-result"?: { schema?: unknown } } };
};
export type OpenApi = { paths: { [path: string]: { [method: string]: Operation } } };

const PREFIX = "endpoints.";

/** An answer that comes later is a job in the description; what counts is the job's result. */
export function endpointsIn(document: OpenApi): DescribedEndpoint[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, operation]) => {
      const { operationId = "", summary = "", parameters = [], requestBody, responses = {} } = operation;
      if (!operationId.startsWith(PREFIX)) return [];
      const later = Object.values(responses).find((response) => response["x-job-result"] !== undefined);
      const output = responses[200] ?? responses[201];
      return [
        {
          name: operationId.slice(PREFIX.length),
          summary,
          method: method.toUpperCase(),
          parts: path.split("/").slice(2).map(toPart),
          input: schemaOf(requestBody) ?? querySchema(parameters),
          output: schemaOf(output) ?? later?.["x-job-result"]?.schema ?? true,
          document,
        },
      ];
    }),
  );
}

const schemaOf = (content: Content | undefined): unknown => content?.content?.["application/json"]?.schema;

function toPart(text: string): DescribedEndpoint["parts"][number] {
  const param = /^\{(.+)\}$/.exec(text)?.[1];
  return param === undefined ? { literal: text } : { param };
}

function querySchema(parameters: readonly Parameter[]): unknown {
  const inQuery = parameters.filter((parameter) => parameter.in === "query");
  const whole = inQuery.find(({ explode }) => explode === true);
  if (whole !== undefined) return whole.schema;
  return {
    type: "object",
    properties: Object.fromEntries(inQuery.map(({ name, schema = true }) => [name, schema])),
    required: inQuery.filter(({ required }) => required === true).map(({ name }) => name),
    additionalProperties: false,
  };
}
