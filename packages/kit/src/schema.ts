/**
 * The two interfaces a schema library implements so that others can use its schemas.
 *
 * Source: Standard Schema 1 and Standard JSON Schema 1 (standardschema.dev). Zod ≥ 4.2, ArkType and
 * Valibot (through its adapter) implement both.
 */
export type SchemaIssue = {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
};
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<SchemaIssue> };

export type JsonSchema = { [key: string]: unknown };
type JsonSchemaOptions = { readonly target: string; readonly libraryOptions?: Record<string, unknown> | undefined };

export type StandardSchema<Input = unknown, Output = Input> = {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly jsonSchema?: {
      readonly input: (options: JsonSchemaOptions) => JsonSchema;
      readonly output: (options: JsonSchemaOptions) => JsonSchema;
    };
  };
};

export type InputOf<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["input"];
export type OutputOf<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];

/**
 * What a model is shown of the schema its answer must fit: the schema of its input, because what a model writes
 * goes into it.
 *
 * @throws when the schema library cannot make one
 */
export function answerSchema(output: StandardSchema): JsonSchema {
  const made = output["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
  if (made === undefined) throw new Error("output cannot be shown as JSON Schema; give output_schema in its place");
  const { $schema: _, ...schema } = made;
  return schema;
}

/** `input[0].name` from a schema issue. */
export function issuePath(issue: SchemaIssue): string {
  let path = "";
  for (const step of issue.path ?? []) {
    const key = typeof step === "object" ? step.key : step;
    path += typeof key === "number" ? `[${key}]` : path === "" ? String(key) : `.${String(key)}`;
  }
  return path;
}
