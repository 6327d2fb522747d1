/** The shelf of a table that keeps sealed secrets in a column. */
import { FIRST_UUID, statement } from "../storage/index.ts";
import type { SealedSecret } from "./keys.ts";
import type { SecretShelf } from "./rotate.ts";

/**
 * @param table has `organization_id`, `id` and `secret` (jsonb, or null); its secrets are sealed for
 *   `<table>/<organization>/<id>`
 */
export function secretColumn(table: string): SecretShelf {
  // In the order of `identity`, which is that of the primary key.
  const others = statement(
    `${table}.other-secrets`,
    `select organization_id, id, secret from ${table}
      where secret is not null and (secret ->> 'key_id' <> $1 or secret -> 'data_key' is null)
        and (organization_id, id) > ($2::uuid, $3::uuid)
      order by organization_id, id limit $4`,
  );
  const replace = statement(
    `${table}.replace-secret`,
    `update ${table} set secret = $4 where organization_id = $1 and id = $2 and secret = $3`,
  );
  return {
    name: table,
    async others(sql, keyId, afterIdentity, limit) {
      const [, organization = FIRST_UUID, id = FIRST_UUID] = afterIdentity.split("/");
      type Row = { organization_id: string; id: string; secret: SealedSecret };
      const rows = await sql.rows<Row>(others, [keyId, organization, id, limit]);
      return rows.map((row) => ({
        organization: row.organization_id,
        identity: `${table}/${row.organization_id}/${row.id}`,
        sealed: row.secret,
      }));
    },
    async replace(sql, { organization, identity, sealed: before }, sealed) {
      const values = [organization, identity.split("/")[2], JSON.stringify(before), JSON.stringify(sealed)];
      return (await sql.run(replace, values)) === 1;
    },
  };
}
