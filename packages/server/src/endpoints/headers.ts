/**
 * The headers of a job's request, encrypted where they are stored: they may carry keys of the caller's own.
 * What a handler is told of its caller is not among them.
 */
import type { SealedSecret, SecretKeys, SecretShelf, StoredSecret } from "../secrets/index.ts";
import { FIRST_UUID, statement } from "../storage/index.ts";
import type { CallRequest } from "./asked.ts";

/** A request as a job's row has it. Jobs of earlier versions have their headers as they came. */
export type StoredRequest = CallRequest & { readonly sealed_headers?: SealedSecret };

type Row = { organization: string; id: string };
const identityOf = ({ organization, id }: Row): string => `jobs/${organization}/${id}`;

export function sealHeaders(keys: SecretKeys, row: Row, request: CallRequest): StoredRequest {
  const sealed_headers = keys.seal(JSON.stringify(request.headers), identityOf(row));
  return { ...request, headers: {}, sealed_headers };
}

/** @throws SecretError when the key is not here */
export function openHeaders(keys: SecretKeys, row: Row, { sealed_headers, ...request }: StoredRequest): CallRequest {
  if (sealed_headers === undefined) return request;
  return { ...request, headers: JSON.parse(keys.open(sealed_headers, identityOf(row))) };
}

const others = statement(
  "jobs.other-headers",
  `select organization_id, id, request from jobs
    where request -> 'sealed_headers' ->> 'key_id' <> $1 and (organization_id, id) > ($2::uuid, $3::uuid)
    order by organization_id, id limit $4`,
);
const replace = statement(
  "jobs.replace-headers",
  `update jobs set request = $3
    where organization_id = $1 and id = $2 and request -> 'sealed_headers' -> 'data_key' ->> 'data' = $4`,
);

/** For changing the server's key. */
export const jobSecrets: SecretShelf<StoredSecret & Row & { request: StoredRequest }> = {
  name: "jobs",
  async others(sql, keyId, afterIdentity, limit) {
    const [, after = FIRST_UUID, afterId = FIRST_UUID] = afterIdentity.split("/");
    type Found = { organization_id: string; id: string; request: StoredRequest & { sealed_headers: SealedSecret } };
    const rows = await sql.rows<Found>(others, [keyId, after, afterId, limit]);
    return rows.map(({ organization_id: organization, id, request }) => ({
      organization,
      id,
      request,
      identity: identityOf({ organization, id }),
      sealed: request.sealed_headers,
    }));
  },
  async replace(sql, { organization, id, request, sealed: before }, sealed) {
    const next = JSON.stringify({ ...request, sealed_headers: sealed });
    return (await sql.run(replace, [organization, id, next, before.data_key?.data])) === 1;
  },
};
