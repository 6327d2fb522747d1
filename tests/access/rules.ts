/**
 * Who may do what: one rule a route. The matrix holds the server to it, and the access guide's table is made of it.
 *
 * A route without a rule does not compile.
 */
import type { RouteName } from "@callboard/protocol";
import { type CallerName, type House, type KnownName, type OfHouse, PASSWORD, type Works } from "./cast.ts";

/** `pass`: access said yes, whatever else the request then runs into below 500. */
export type Verdict = "pass" | 401 | 403 | 404;

/** What the path names, and whose: each row of the matrix has one of these in its path. */
export const targets = {
  /** Threads and what is in them, jobs, approvals. */
  work: ["own", "colleague", "foreign", "absent", "malformed"],
  /** Things of the organization. */
  house: ["there", "foreign", "absent", "malformed"],
  agent: ["open", "club", "foreign", "absent", "malformed"],
  token: ["own", "colleague", "service", "foreign", "absent", "malformed"],
  member: ["self", "colleague", "foreign", "absent", "malformed"],
  session: ["own", "foreign", "absent", "malformed"],
  nothing: ["-"],
} as const;
export type Targets = typeof targets;
export type Target = Targets[keyof Targets][number];

export type Rule = {
  kind: keyof Targets;
  /** Which of the things the path names. */
  thing?: keyof Works | OfHouse;
  body?: unknown | ((house: House) => unknown);
  query?: string;
  /** A pass uses the thing up: each gets a fresh one. */
  consumes?: true;
  may: (caller: KnownName, target: Target) => Verdict | undefined;
  /** Known callers other than the session are refused so. */
  sessionOnly?: true;
  /** Takes no token at all. */
  open?: true;
};

const admins: readonly KnownName[] = ["admin", "owner", "foreign"];
const isAdmin = (caller: KnownName) => admins.includes(caller);
const isOwner = (caller: KnownName) => caller === "owner" || caller === "foreign";
const serves = (caller: KnownName) => caller === "service" || caller === "scoped";
const isElsewhere = (target: Target) => target === "foreign" || target === "absent" || target === "malformed";

// Work: threads, runs, events, files, jobs

const work =
  (guests: "may" | "may not") =>
  (caller: KnownName, target: Target): Verdict | undefined => {
    if (isElsewhere(target)) return 404;
    if (target === "colleague") return isAdmin(caller) ? "pass" : 404;
    if (caller === "bystander") return undefined; // it can have nothing
    return caller === "guest" && guests === "may not" ? 403 : "pass";
  };
const read = work("may");
const write = work("may not");
const ownRead = (thing: keyof Works, more: Partial<Rule> = {}): Rule => ({ kind: "work", thing, may: read, ...more });
const ownWrite = (thing: keyof Works, more: Partial<Rule> = {}): Rule => ({ kind: "work", thing, may: write, ...more });

// Agents

/** D3: a service sees its listed agents and no others. */
const sees = (caller: KnownName, target: Target): boolean => !isElsewhere(target) && caller !== "bystander";

const callAgent = (caller: KnownName, target: Target): Verdict => {
  if (!sees(caller, target)) return 404;
  if (caller === "guest") return 403;
  if (target === "club") return isOwner(caller) || serves(caller) ? "pass" : 403;
  return "pass";
};
const readAgent = (caller: KnownName, target: Target): Verdict => {
  if (!sees(caller, target)) return 404;
  return target === "open" || isAdmin(caller) || serves(caller) ? "pass" : 403;
};
const editAgent = (caller: KnownName, target: Target): Verdict => {
  if (!sees(caller, target)) return 404;
  return isAdmin(caller) ? "pass" : 403;
};
/** What is in the agent's threads is filtered; the list is there for whoever sees the agent. */
const listThreads = (caller: KnownName, target: Target): Verdict => (sees(caller, target) ? "pass" : 404);
const agent = (may: Rule["may"], more: Partial<Rule> = {}): Rule => ({ kind: "agent", may, ...more });

// The organization

const everybody: Rule = { kind: "nothing", may: () => "pass" };
const noGuests: Rule = { kind: "nothing", may: (caller) => (caller === "guest" ? 403 : "pass") };
const onlyAdmins: Rule = { kind: "nothing", may: (caller) => (isAdmin(caller) ? "pass" : 403) };
const auditors: Rule = { kind: "nothing", may: (caller) => (isAdmin(caller) || caller === "scoped" ? "pass" : 403) };
const manage = (caller: KnownName, target: Target): Verdict => {
  if (!isAdmin(caller)) return 403;
  return isElsewhere(target) ? 404 : "pass";
};
/** Who lets people in decides who is who: that is for owners alone. */
const onlyOwners: Rule = { kind: "nothing", may: (caller) => (isOwner(caller) ? "pass" : 403) };
const ownerManaged = (thing: OfHouse, more: Partial<Rule> = {}): Rule => ({
  kind: "house",
  thing,
  may: (caller, target) => (!isOwner(caller) ? 403 : isElsewhere(target) ? 404 : "pass"),
  ...more,
});
const managed = (thing: OfHouse, more: Partial<Rule> = {}): Rule => ({ kind: "house", thing, may: manage, ...more });
const seenBy = (thing: OfHouse, may: (caller: KnownName) => boolean): Rule => ({
  kind: "house",
  thing,
  may: (caller, target) => (!may(caller) ? 403 : isElsewhere(target) ? 404 : "pass"),
});
const notGuest = (caller: KnownName) => caller !== "guest";

/** Nobody removes himself here: the others still need the caller. */
const removeMember = (caller: KnownName, target: Target): Verdict | undefined =>
  target === "self" && isAdmin(caller) ? undefined : manage(caller, target);

const token = (caller: KnownName, target: Target): Verdict | undefined => {
  if (isElsewhere(target)) return 404;
  return target === "own" || isAdmin(caller) ? "pass" : 404;
};
/** A service's own token is still needed by the others. */
const endToken = (caller: KnownName, target: Target): Verdict | undefined =>
  target === "own" && serves(caller) ? undefined : token(caller, target);
/** A personal token's secret is its person's: admins revoke it, and no more. */
const rotate = (caller: KnownName, target: Target): Verdict | undefined =>
  target === "colleague" && isAdmin(caller) ? 403 : endToken(caller, target);

/** A collection that was opened to nobody: for admins, and for the others it is not there. */
const readDocuments = (thing: "collection" | "document"): Rule => ({
  kind: "house",
  thing,
  may: (caller, target) => (isElsewhere(target) || !isAdmin(caller) ? 404 : "pass"),
});

const session = (more: Partial<Rule> = {}): Rule => ({
  kind: "nothing",
  sessionOnly: true,
  may: () => "pass",
  ...more,
});
const open = (body: unknown): Rule => ({ kind: "nothing", open: true, body, may: () => "pass" });

const message = { type: "user.message", text: "hello" };
const upload = { name: "a.txt", content_base64: "" };

export const rules: Record<RouteName, Rule> = {
  "threads.create": agent(callAgent, { body: {} }),
  "threads.list": agent(listThreads),
  "threads.get": ownRead("thread"),
  "threads.update": ownWrite("thread", { body: {} }),
  "threads.archive": ownWrite("thread", { consumes: true }),
  "threads.unarchive": ownWrite("thread"),
  "threads.delete": ownWrite("thread", { consumes: true }),

  "events.send": ownWrite("thread", { body: message, consumes: true }),
  "events.list": ownRead("thread"),
  "events.stream": ownRead("thread"),

  "runs.create": agent(callAgent, { body: { input: message } }),
  "runs.createRaw": { ...noGuests, body: { config: { instructions: "Raw" }, input: message } },
  "runs.list": everybody,
  "runs.get": ownRead("run"),
  "runs.cancel": ownWrite("run"),
  "runs.tree": ownRead("run"),
  "runs.transcript": ownRead("run"),

  "permissions.list": everybody,
  "permissions.get": ownRead("permission"),
  "permissions.decide": {
    kind: "work",
    thing: "permission",
    body: { decision: "deny" },
    consumes: true,
    may: (caller, target) => {
      // An agent's approvers are whom the run works for: admins see the question and may not answer it, and a
      // service asks in its own name without being anybody's person.
      if (target === "colleague" && isAdmin(caller)) return 403;
      if (target === "own" && serves(caller)) return 403;
      return write(caller, target);
    },
  },

  "jobs.get": ownRead("job"),
  "jobs.stream": ownRead("job"),
  "jobs.cancel": ownRead("job"),

  "files.uploadToAgent": agent(callAgent, { body: upload }),
  "files.uploadToThread": ownWrite("thread", { body: upload }),
  "files.list": ownRead("thread"),
  "files.get": ownRead("file"),
  "files.download": ownRead("file"),
  "files.delete": ownWrite("file", { consumes: true }),

  "agents.list": everybody,
  "agents.create": { ...onlyAdmins, body: { slug: "made-by-matrix", draft: { name: "M" } } },
  "agents.get": agent(readAgent),
  "agents.update": agent(editAgent, { body: {} }),
  "agents.delete": agent(editAgent, { consumes: true }),
  "agents.publish": agent(editAgent),
  "agents.unpublish": agent(editAgent, { consumes: true }),
  "agents.versions": agent(readAgent),
  "agents.version": agent(readAgent),
  "agents.activate": agent(editAgent),
  "agents.diff": agent(readAgent, { query: "from=1" }),
  "agents.getAccess": agent(editAgent), // a service too may not, with the scope to read agents
  "agents.setAccess": agent(editAgent, { consumes: true, body: { users: [], groups: [] } }),
  "tools.list": everybody,

  "models.list": noGuests,
  "models.create": { ...onlyAdmins, body: { slug: "made-by-matrix", kind: "demo" } },
  "models.get": seenBy("model", notGuest),
  "models.update": managed("model", { body: {} }),
  "models.delete": managed("model", { consumes: true }),

  "me.get": everybody,
  "organization.get": everybody,
  "organization.update": { ...onlyAdmins, body: {} },
  "members.list": noGuests,
  "members.add": { ...onlyAdmins, body: { email: "made-by-matrix@example.com", name: "M" } },
  "members.update": { kind: "member", may: manage, body: {} },
  "members.remove": { kind: "member", may: removeMember, consumes: true },
  "groups.list": noGuests,
  "groups.create": { ...onlyAdmins, body: { slug: "made-by-matrix", name: "M" } },
  "groups.update": managed("group", { body: {} }),
  "groups.delete": managed("group", { consumes: true }),

  "audit.list": auditors,
  "audit.head": auditors,
  "audit.verify": auditors,
  "budgets.list": onlyAdmins,
  "budgets.create": {
    ...onlyAdmins,
    body: { subject: { kind: "organization" }, period: "month", limit_tokens: 1e12 },
  },
  "budgets.update": managed("budget", { body: {} }),
  "budgets.delete": managed("budget", { consumes: true }),
  "usage.totals": everybody,
  "usage.calls": everybody,

  "tokens.list": everybody,
  "tokens.create": {
    kind: "nothing",
    may: (caller) => (serves(caller) ? 403 : "pass"),
    body: { label: "made by matrix" },
  },
  "tokens.update": { kind: "token", may: token, body: {} },
  "tokens.rotate": { kind: "token", may: rotate, body: {}, consumes: true },
  "tokens.revoke": { kind: "token", may: endToken, consumes: true },

  "session.signIn": open({ email: "nobody@example.com", password: PASSWORD }),
  "session.get": session(),
  "session.signOut": session({ consumes: true }),
  "session.switch": session({ consumes: true, body: (house: House) => ({ organization_id: house.organization.id }) }),
  "sessions.list": session(),
  "sessions.end": {
    kind: "session",
    sessionOnly: true,
    consumes: true,
    may: (_, target) => (target === "own" ? "pass" : 404),
  },
  "sessions.endAll": session({ consumes: true }),
  "password.change": session({ consumes: true, body: { old_password: PASSWORD, new_password: PASSWORD } }),
  "password.reset": open({ token: "cbl_nothing", password: PASSWORD }),
  "passwordLinks.create": { ...onlyAdmins, body: (house: House) => ({ user_id: house.colleague.userId }) },
  "invitations.list": onlyAdmins,
  "invitations.create": { ...onlyAdmins, body: { email: "made-by-matrix-too@example.com" } },
  "invitations.get": managed("invitation"),
  "invitations.resend": managed("invitation"),
  "invitations.revoke": managed("invitation", { consumes: true }),
  "invitations.preview": open({ token: "cbi_nothing" }),
  "invitations.accept": open({ token: "cbi_nothing", password: PASSWORD }),
  "ssoConnections.list": onlyOwners,
  "ssoConnections.create": {
    ...onlyOwners,
    body: {
      slug: "made-by-matrix",
      name: "M",
      issuer: "https://issuer.example",
      client_id: "m",
      email_domains: ["example.com"],
    },
  },
  "ssoConnections.get": ownerManaged("sso"),
  "ssoConnections.update": ownerManaged("sso", { body: {} }),
  "ssoConnections.delete": ownerManaged("sso", { consumes: true }),
  "sso.start": { kind: "house", thing: "sso", open: true, may: () => "pass" },
  "sso.callback": open(undefined),

  "collections.list": everybody,
  "collections.create": { ...onlyAdmins, body: { slug: "made-by-matrix", name: "M" } },
  "collections.get": readDocuments("collection"),
  "collections.update": managed("collection", { body: {} }),
  "collections.delete": managed("collection", { consumes: true }),
  "collections.getAccess": managed("collection"),
  "collections.setAccess": managed("collection", {
    consumes: true,
    body: { organization: false, users: [], groups: [], services: [] },
  }),
  "documents.list": readDocuments("collection"),
  "documents.add": managed("collection", { body: { name: "m.txt", text: "m" } }),
  "documents.get": readDocuments("document"),
  "documents.content": readDocuments("document"),
  "documents.replace": managed("document", { body: { text: "m" } }),
  "documents.delete": managed("document", { consumes: true }),
  "documents.search": { ...everybody, body: { query: "canary" } },
};

/** The scopes of a service token that names none. */
export const serviceScopes = ["agents:read", "threads:read", "threads:write"];
export const isService = (caller: CallerName): boolean => caller === "service" || caller === "bystander";
