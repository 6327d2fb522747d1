/** For tests: a database with one organization, its people and their tokens. */
import { type CreateToken, newId, type RequestId, type Role, type UserId } from "@callboard/protocol";
import { Database, Wakes } from "../storage/index.ts";
import { createTestDatabase } from "../testing/database.ts";
import { Acts } from "./acts.ts";
import { Authenticator } from "./authenticate.ts";
import type { Caller } from "./caller.ts";
import { manageMembers, manageTokens } from "./decide.ts";
import { addMember, createOrganization, type NewOrganization } from "./people.ts";
import { Refusals } from "./refusals.ts";
import { createToken, defaultScopes, issueToken } from "./tokens.ts";

export const requestId: RequestId = newId("request");

export type World = Awaited<ReturnType<typeof createWorld>>;

export async function createWorld() {
  const { url, drop } = await createTestDatabase();
  const errors: Error[] = [];
  const database = new Database({ connectionString: url, poolSize: 6 });
  const wakes = new Wakes(url, "test", (error) => errors.push(error));
  await wakes.start();
  const authenticator = new Authenticator({ sql: database, wakes });
  const refusals = new Refusals({ sql: database, onError: (error) => errors.push(error as Error) });
  const acts = new Acts(database, authenticator, refusals);

  /** A personal token of somebody, as an operator would make it. */
  async function secretOf(caller: { organizationId: Caller["organizationId"] }, userId: UserId): Promise<string> {
    const plan = {
      organizationId: caller.organizationId,
      kind: "personal",
      label: "test",
      userId,
      scopes: [...defaultScopes.personal, "runs:raw"],
      agentIds: [],
      mayAttribute: false,
      createdBy: null,
      expiresAtMs: null,
    } as const;
    const { secret } = await database.transaction((tx) =>
      issueToken(tx, plan, { operatorOf: caller.organizationId }, null),
    );
    return secret;
  }
  const as = (secret: string): Promise<Caller> => authenticator.authenticate(`Bearer ${secret}`);

  /** An organization of its own; `owner` is its first caller. */
  async function organization(settings: Partial<NewOrganization> = {}) {
    const email = `${newId("user")}@example.com`;
    const plan = {
      name: "Acme",
      membersEditAgents: false,
      rawRuns: false,
      owner: { email, name: "Olga" },
      ...settings,
    };
    const made = await database.transaction((tx) => createOrganization(tx, plan));
    const ownerSecret = await secretOf(made, made.userId);

    async function person(role: Role) {
      const body = { email: `${newId("user")}@example.com`, name: role, role };
      const owner = await as(ownerSecret);
      const member = await database.transaction((tx) => addMember(tx, wakes, manageMembers(owner), body, requestId));
      return { userId: member.user_id, secret: await secretOf(made, member.user_id) };
    }
    async function service(more: Partial<CreateToken> = {}) {
      const owner = await as(ownerSecret);
      const body = { kind: "service", label: "bot", expires_in_days: 90, ...more } as const;
      return database.transaction((tx) => createToken(tx, manageTokens(owner), body, requestId));
    }
    return { ...made, ownerSecret, owner: () => as(ownerSecret), person, service };
  }

  async function end(): Promise<void> {
    await authenticator.stop();
    await refusals.stop();
    await wakes.close();
    await database.close();
    await drop();
  }
  return { url, database, wakes, authenticator, refusals, acts, as, organization, secretOf, errors, end };
}
