/** Lists of hosts that an operator lets tools reach. */

/** One entry: a scheme, a host or all hosts below a name, and a port. */
export type AllowedHost = {
  readonly protocol: "http:" | "https:";
  /** As a URL spells it; with `below`, the name that the host must end with, its dot in front. */
  readonly host: string;
  readonly below: boolean;
  /** As in a URL: "" for the scheme's own. */
  readonly port: string;
};

/**
 * Reads `api.example.com`, `*.example.com`, `api.example.com:8443` (all https) or `http://intranet.example:8080`.
 *
 * @returns undefined for anything else, a path, a query and a user's name among it
 */
export function parseAllowedHost(text: string): AllowedHost | undefined {
  const [, scheme = "https://", star, rest = ""] = /^(https?:\/\/)?(\*\.)?([^*/?#@\s\\]+)$/.exec(text) ?? [];
  if (rest === "" || !URL.canParse(`${scheme}${rest}`)) return undefined;
  const { protocol, hostname: name, port, pathname } = new URL(`${scheme}${rest}`);
  const hostname = withoutRoot(name);
  if (pathname !== "/" || hostname === "") return undefined;
  // A star before an address or a single label would be the whole of the internet or none of it.
  if (star !== undefined && !/[a-z][^.]*$/.test(hostname.split(".", 2)[1] ?? "")) return undefined;
  return {
    protocol: protocol as AllowedHost["protocol"],
    host: star === undefined ? hostname : `.${hostname}`,
    below: star !== undefined,
    port,
  };
}

/** Whether an entry lets a URL be reached. */
export function isAllowed({ protocol, host, below, port }: AllowedHost, url: URL): boolean {
  const name = withoutRoot(url.hostname);
  return url.protocol === protocol && url.port === port && (below ? name.endsWith(host) : name === host);
}

/** A name may end with the root's dot; it is the same host. */
const withoutRoot = (name: string): string => (name.endsWith(".") ? name.slice(0, -1) : name);
