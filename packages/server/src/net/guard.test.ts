import type { LookupAddress, lookup } from "node:dns";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AddressRefusedError, guardedAgents, guardedLookup } from "./guard.ts";
import { isRefusedAddress } from "./ranges.ts";

const strict = { allowPrivate: false };
const open = { allowPrivate: true };

describe("isRefusedAddress", () => {
  test.each([
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
  ])("%s is not on the public internet", (address) => {
    expect(isRefusedAddress(address, strict)).toBe(true);
  });

  test.each(["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])(
    "%s is on the public internet",
    (address) => {
      expect(isRefusedAddress(address, strict)).toBe(false);
    },
  );

  test.each(["127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "fd12::1", "8.8.8.8"])(
    "%s is allowed where private networks are",
    (address) => {
      expect(isRefusedAddress(address, open)).toBe(false);
    },
  );

  test.each([
    "169.254.169.254",
    "169.254.170.2",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2002:a83f:8110::",
    "fd00:ec2::254",
    "fd00:ec2::254%eth0",
    "fd20:ce::254",
    "100.100.100.200",
    "::ffff:168.63.129.16",
  ])("%s hands out credentials and stays refused where private networks are allowed", (address) => {
    expect(isRefusedAddress(address, open)).toBe(true);
  });

  test("an IPv4-mapped or NAT64 form of any IPv4 address is refused", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(isRefusedAddress(`::ffff:${address}`, strict)).toBe(true);
        expect(isRefusedAddress(`64:ff9b::${address}`, strict)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

/** A resolver that answers with these addresses. */
function resolving(...addresses: string[]): typeof lookup {
  return ((_name: string, _options: unknown, done: (error: null, found: LookupAddress[]) => void) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    )) as typeof lookup;
}

function look(options: { allowPrivate: boolean }, resolve: typeof lookup, all: boolean) {
  return new Promise((done, fail) => {
    guardedLookup(options, resolve)("host.example", { all }, (error, address) => (error ? fail(error) : done(address)));
  });
}

describe("guardedLookup", () => {
  test("answers with public addresses in the form it was asked for", async () => {
    expect(await look(strict, resolving("1.1.1.1", "2606:4700::1111"), false)).toBe("1.1.1.1");
    expect(await look(strict, resolving("1.1.1.1", "2606:4700::1111"), true)).toEqual([
      { address: "1.1.1.1", family: 4 },
      { address: "2606:4700::1111", family: 6 },
    ]);
  });

  test("refuses a name when one of its addresses is private", async () => {
    await expect(look(strict, resolving("1.1.1.1", "127.0.0.1"), true)).rejects.toThrow(AddressRefusedError);
    await expect(look(strict, resolving("1.1.1.1", "10.0.0.1"), false)).rejects.toThrow(AddressRefusedError);
  });

  test("asks the resolver once for each connection, so nothing is resolved again after the check", async () => {
    const answers = ["1.1.1.1", "127.0.0.1"];
    let asked = 0;
    const rebinding = ((...call: unknown[]) =>
      (resolving(answers[asked++] as string) as (...args: unknown[]) => void)(...call)) as unknown as typeof lookup;
    expect(await look(strict, rebinding, false)).toBe("1.1.1.1");
    expect(asked).toBe(1);
    await expect(look(strict, rebinding, false)).rejects.toThrow(AddressRefusedError);
    expect(asked).toBe(2);
  });

  test("refuses a name without addresses", async () => {
    await expect(look(open, resolving(), true)).rejects.toThrow(AddressRefusedError);
  });
});

describe("guardedAgents", () => {
  async function get(url: string, options: { allowPrivate: boolean }): Promise<string> {
    return new Promise((done, fail) => {
      request(url, { agent: guardedAgents(options).http }, (message) => {
        message.setEncoding("utf8");
        let text = "";
        message.on("data", (piece: string) => {
          text += piece;
        });
        message.on("end", () => done(text));
      })
        .on("error", fail)
        .end();
    });
  }

  test("refuse loopback in every spelling without connecting, and reach it where that is allowed", async () => {
    let connections = 0;
    const server = createServer((_request, response) => response.end("hello"));
    server.on("connection", () => connections++);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    try {
      for (const host of ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]) {
        await expect(get(`http://${host}:${port}/`, strict)).rejects.toThrow(AddressRefusedError);
      }
      expect(connections).toBe(0);
      expect(await get(`http://127.0.0.1:${port}/`, open)).toBe("hello");
      expect(await get(`http://localhost:${port}/`, open)).toBe("hello");
      // An open connection of the other policy does not help.
      await expect(get(`http://127.0.0.1:${port}/`, strict)).rejects.toThrow(AddressRefusedError);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
