/** The identity room: from a person to a session. */
import type { Sql } from "../storage/index.ts";
import { sweepLinks } from "./links.ts";
import { sweepAttempts } from "./sso.ts";
import { sweepThrottles } from "./throttle.ts";

export {
  createConnection,
  deleteConnection,
  getConnection,
  listConnections,
  ssoSecrets,
  updateConnection,
} from "./connections.ts";
export {
  acceptInvitation,
  createInvitation,
  getInvitation,
  listInvitations,
  previewInvitation,
  resendInvitation,
  revokeInvitation,
} from "./invitations.ts";
export { Issuers } from "./issuer.ts";
export { createPasswordLink, resetPassword } from "./links.ts";
export { operatorLink, operatorPassword } from "./operator.ts";
export { Passwords } from "./password.ts";
export { changePassword, type Door, reachable, signIn, switchOrganization } from "./sign-in.ts";
export { ATTEMPT_SECONDS, finishSso, type SsoWorld, startSso } from "./sso.ts";
export type { IdentityWorld } from "./world.ts";

/** Removes what is over: links, attempts, buckets. */
export async function sweepIdentity(sql: Sql): Promise<void> {
  await sweepLinks(sql);
  await sweepAttempts(sql);
  await sweepThrottles(sql);
}
