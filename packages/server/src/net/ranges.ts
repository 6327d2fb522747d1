/**
 * Which addresses belong to nobody on the public internet.
 *
 * Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates),
 * multicast from RFC 5771 and RFC 4291, and the metadata addresses that cloud providers document.
 */
import { BlockList, isIP } from "node:net";

type Family = "ipv4" | "ipv6";
type Range = readonly [network: string, prefix: number, family: Family];

/** Everything that is not unicast on the public internet. */
const internal: readonly Range[] = [
  ["0.0.0.0", 8, "ipv4"], // this network, unspecified
  ["10.0.0.0", 8, "ipv4"], // private
  ["100.64.0.0", 10, "ipv4"], // carrier-grade NAT
  ["127.0.0.0", 8, "ipv4"], // loopback
  ["169.254.0.0", 16, "ipv4"], // link-local, metadata
  ["172.16.0.0", 12, "ipv4"], // private
  ["192.0.0.0", 24, "ipv4"], // protocol assignments
  ["192.0.2.0", 24, "ipv4"], // documentation
  ["192.31.196.0", 24, "ipv4"], // AS112
  ["192.52.193.0", 24, "ipv4"], // AMT
  ["192.88.99.0", 24, "ipv4"], // 6to4 relay
  ["192.168.0.0", 16, "ipv4"], // private
  ["192.175.48.0", 24, "ipv4"], // AS112
  ["198.18.0.0", 15, "ipv4"], // benchmarking
  ["198.51.100.0", 24, "ipv4"], // documentation
  ["203.0.113.0", 24, "ipv4"], // documentation
  ["224.0.0.0", 4, "ipv4"], // multicast
  ["240.0.0.0", 4, "ipv4"], // reserved, broadcast
  // Public IPv6 unicast is 2000::/3. The other seven eighths hold loopback, unspecified, IPv4-mapped and
  // -compatible (::/96, ::ffff:0:0/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), unique local, link-local,
  // site-local and multicast, so they are refused as a whole.
  ["::", 3, "ipv6"],
  ["4000::", 2, "ipv6"],
  ["8000::", 1, "ipv6"],
  // What 2000::/3 holds beside public hosts.
  ["2001::", 23, "ipv6"], // protocol assignments, Teredo, ORCHID
  ["2001:db8::", 32, "ipv6"], // documentation
  ["2002::", 16, "ipv6"], // 6to4 carries an IPv4 address
  ["2620:4f:8000::", 48, "ipv6"], // AS112
  ["3fff::", 20, "ipv6"], // documentation
];

/** Addresses that hand out a machine's credentials. They stay refused where private networks are allowed. */
const metadata: readonly Range[] = [
  ...[
    ["169.254.0.0", 16], // AWS, Azure, Google, Oracle and others, container credentials
    ["100.100.100.200", 32], // Alibaba
    ["168.63.129.16", 32], // Azure's host, a public address
    ["192.0.0.192", 32], // Oracle
  ].flatMap(([network, prefix]) => carried(network as string, prefix as number)),
  ["fd00:ec2::", 32, "ipv6"], // AWS
  ["fd20:ce::254", 128, "ipv6"], // Google
  ["64:ff9b:1::", 48, "ipv6"], // a local NAT64 may lead to any of these
];

/** An IPv4 range and the forms in which IPv6 carries it: compatible, NAT64, 6to4. Mapped ones BlockList knows. */
function carried(network: string, prefix: number): Range[] {
  const [a, b, c, d] = network.split(".").map(Number) as [number, number, number, number];
  const words = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  return [
    [network, prefix, "ipv4"],
    [`::${words}`, 96 + prefix, "ipv6"],
    [`64:ff9b::${words}`, 96 + prefix, "ipv6"],
    [`2002:${words}::`, 16 + prefix, "ipv6"],
  ];
}

function listOf(ranges: readonly Range[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix, family] of ranges) list.addSubnet(network, prefix, family);
  return list;
}

// One list for each family: a BlockList also compares an IPv4 address with the IPv6 ranges, as if it were
// IPv4-mapped, and would find every one of them in ::/3.
const internalOnly = {
  ipv4: listOf(internal.filter((range) => range[2] === "ipv4")),
  ipv6: listOf(internal.filter((range) => range[2] === "ipv6")),
};
const metadataOnly = listOf(metadata);

/**
 * Whether a connection to an address must not be made.
 *
 * @param address an IPv4 or IPv6 address as text, without brackets; anything else is refused
 */
export function isRefusedAddress(address: string, options: { allowPrivate: boolean }): boolean {
  const zone = address.indexOf("%");
  const bare = zone === -1 ? address : address.slice(0, zone);
  const version = isIP(bare);
  if (version === 0) return true;
  const family = version === 4 ? "ipv4" : "ipv6";
  return metadataOnly.check(bare, family) || (!options.allowPrivate && internalOnly[family].check(bare, family));
}
