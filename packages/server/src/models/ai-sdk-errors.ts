/** What the provider packages throw, as a ModelError. Their messages hold provider bodies and are dropped. */
import { GuardedFetchError } from "../net/index.ts";
import { addressRefused, badResponse, statusError, streamCut, unreachable } from "./errors.ts";
import { ModelError } from "./model.ts";

/**
 * @param error anything thrown by `doStream` or found in an `error` part of its stream
 *
 * The packages' classes are known by the fields they document, not by `instanceof`: they are loaded
 * lazily, and each may carry its own copy of them.
 */
export function toModelError(error: unknown): ModelError {
  for (const cause of causes(error)) {
    if (cause instanceof ModelError) return cause;
    if (cause instanceof GuardedFetchError) return fetchError(cause);
  }
  const { statusCode, responseHeaders, name } = fieldsOf(error);
  if (statusCode !== undefined && statusCode >= 400)
    return statusError(statusCode, (header) => responseHeaders?.[header]);
  if (name === "AI_LoadAPIKeyError") return new ModelError("model_unauthorized", "the model connection has no key");
  if (name === "AI_UnsupportedFunctionalityError" || name === "AI_InvalidPromptError") {
    return new ModelError("model_rejected", "the model's provider cannot take this request", { cause: error });
  }
  for (const cause of causes(error)) {
    const inner = fieldsOf(cause).name;
    if (inner !== undefined && malformed.has(inner)) {
      return badResponse("the model's provider sent something that is not in its format", error);
    }
  }
  return new ModelError("model_unavailable", "the model's provider reported an error", {
    retryable: true,
    cause: error,
  });
}

const malformed = new Set([
  "AI_JSONParseError",
  "AI_TypeValidationError",
  "AI_InvalidResponseDataError",
  "AI_EmptyResponseBodyError",
  "AI_NoContentGeneratedError",
]);

function fetchError(error: GuardedFetchError): ModelError {
  switch (error.reason) {
    case "timeout":
      return new ModelError("model_timeout", "the model went silent", { retryable: true, cause: error });
    case "too_large":
      return new ModelError("model_output_too_large", "the model's answer is larger than the server accepts", {
        cause: error,
      });
    case "cut":
      return streamCut(error);
    case "unreachable":
      return unreachable(error.cause ?? error);
    case "address_refused":
    case "bad_url":
    case "not_allowed":
      return addressRefused(error);
    case "too_many_redirects":
      return statusError(308);
  }
}

type Fields = { name?: string; statusCode?: number; responseHeaders?: Record<string, string> };

function fieldsOf(error: unknown): Fields {
  return typeof error === "object" && error !== null ? (error as Fields) : {};
}

function* causes(error: unknown): Generator<unknown> {
  let current = error;
  for (let depth = 0; depth < 8 && typeof current === "object" && current !== null; depth++) {
    yield current;
    current = (current as { cause?: unknown }).cause;
  }
}
