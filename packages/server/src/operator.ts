/** What an operator does on the database itself, also while servers run on it. */
import { join } from "node:path";
import {
  type AuditCheck,
  type AuditHead,
  CallboardError,
  fromUuid,
  type OrganizationId,
  parseId,
} from "@callboard/protocol";
import { audit, auditedOrganizations, auditHead, checkAudit } from "./access/index.ts";
import { answerSecrets } from "./calls/index.ts";
import { type Config, readConfig } from "./config/index.ts";
import { jobSecrets } from "./endpoints/index.ts";
import { ssoSecrets } from "./identity/index.ts";
import { connectionSecrets } from "./models/index.ts";
import { transcriptSecrets } from "./runs/index.ts";
import { type Rotation, rotateSecrets, SecretKeys, type SecretShelf } from "./secrets/index.ts";
import { Database, embeddedUrl, type Sql } from "./storage/index.ts";

/** DATABASE_URL, else the database that `npm start` runs in the data folder. @throws EmbeddedPostgresError for neither */
export const operatorsUrl = async ({ databaseUrl, dataDir }: Config): Promise<string> =>
  databaseUrl ?? (await embeddedUrl(join(dataDir, "postgres")));

async function onDatabase<T>(work: (database: Database) => Promise<T>): Promise<T> {
  const database = new Database({ connectionString: await operatorsUrl(readConfig(process.env, "dev")), poolSize: 2 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

export type AuditedOrganization<Answer> = { organization_id: OrganizationId } & Answer;

/**
 * Checks the audit log of one organization, or of all.
 *
 * @param anchor `<seq>:<hash>` that was kept elsewhere; it belongs to one organization
 * @throws not_found; invalid_request when there are several organizations for one anchor
 */
export function auditVerify(plan: {
  organization?: string;
  anchor?: string;
}): Promise<AuditedOrganization<AuditCheck>[]> {
  return onDatabase(async (database) => {
    const organizations = await chosen(database, plan.organization);
    if (plan.anchor !== undefined && organizations.length !== 1) {
      throw new CallboardError("invalid_request", "an anchor belongs to one organization: say which one");
    }
    const checks: AuditedOrganization<AuditCheck>[] = [];
    for (const organization_id of organizations) {
      checks.push({ organization_id, ...(await checkAudit(database, organization_id, plan.anchor)) });
    }
    return checks;
  });
}

/** The last entry's number and hash, of one organization or of all: to keep elsewhere. @throws not_found */
export function auditHeads(plan: { organization?: string }): Promise<AuditedOrganization<AuditHead>[]> {
  return onDatabase(async (database) => {
    const organizations = await chosen(database, plan.organization);
    return Promise.all(
      organizations.map(async (organization_id) => ({
        organization_id,
        ...(await auditHead(database, organization_id)),
      })),
    );
  });
}

async function chosen(sql: Sql, organization: string | undefined): Promise<OrganizationId[]> {
  const all = await auditedOrganizations(sql);
  if (organization === undefined) return all;
  const id = parseId("organization", organization);
  if (id === undefined || !all.includes(id)) {
    throw new CallboardError("not_found", `there is no organization ${organization} in this database`);
  }
  return [id];
}

/** Secrets that people entered and that stay. */
export const lastingSecrets: readonly SecretShelf[] = [connectionSecrets, ssoSecrets];
/** Every table that holds secrets. */
export const secretShelves: readonly SecretShelf[] = [
  ...lastingSecrets,
  answerSecrets,
  jobSecrets,
  ...transcriptSecrets,
];

/**
 * Puts every stored secret under the first key of `CALLBOARD_SECRET_KEY`; the others open what is there. May be
 * stopped and begun again, and run while servers do.
 *
 * @throws an error with code `config` when CALLBOARD_SECRET_KEY is not set
 */
export function rotateKeys(): Promise<Rotation> {
  const text = process.env.CALLBOARD_SECRET_KEY;
  if (!text) throw Object.assign(new Error("CALLBOARD_SECRET_KEY is missing"), { code: "config" });
  const keys = SecretKeys.parse(text);
  return onDatabase((database) =>
    rotateSecrets(database, keys, secretShelves, (tx, organization, table, count) =>
      audit(tx, {
        actor: { operatorOf: fromUuid("organization", organization) },
        action: "secrets.rotate",
        target: null,
        outcome: "done",
        details: { table, count, key_id: keys.ids[0] as string },
        requestId: null,
      }),
    ),
  );
}
