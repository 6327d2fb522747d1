import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { type Connection, type Origin, openConnection } from "./connection.ts";
import { AddressRefusedError } from "./guard.ts";

// Made for this file and valid for "localhost" until 2126; nothing trusts it but these tests.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgDkd9VqcEiiqpr97v
ndI/i821EUkXwmLTWbbjdnYgMjyhRANCAAQTchn7S7iJtBnztD9bXjKp4f1Wxoih
FcspyDuNVA2FKxn4LutBIs4gtCCyO0DkkRU6pKlyMsLmYQt/qSWzrea/
-----END PRIVATE KEY-----`;
const cert = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUO7N1jGe9u63CIo70hXIijO63UTowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA3MzIxNFoYDzIxMjYxMDI5
MDczMjE0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQTchn7S7iJtBnztD9bXjKp4f1WxoihFcspyDuNVA2FKxn4LutBIs4g
tCCyO0DkkRU6pKlyMsLmYQt/qSWzrea/o2kwZzAdBgNVHQ4EFgQUhBlxVDZj4Flg
K0I0WFQZA1zBvxMwHwYDVR0jBBgwFoAUhBlxVDZj4FlgK0I0WFQZA1zBvxMwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIhAMJE6XYHIFOOfbSqAOyp/O+NXSSZ6VX8GxCjZc2Z5DgqAiAkxPWxRYjb
sSmz2WLsyN9V7lgns3C3M9vKZClFLg04Xg==
-----END CERTIFICATE-----`;

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function listen(server: Server, more: Partial<Origin> = {}): Promise<Origin> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    secure: false,
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    allowPrivate: true,
    ...more,
  };
}

/** Echoes lines; "bye" closes. */
const echo = (socket: Socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk) => (`${chunk}` === "bye" ? socket.end() : socket.write(chunk)));
};

/** Until what was sent has been seen: after any time, sockets are looked at once a turn. */
async function arrivals(): Promise<void> {
  await new Promise((done) => setTimeout(done, 30));
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

/** Opens a connection and collects what happens to it. */
function open(origin: Origin) {
  const seen = { text: "", gone: false, error: undefined as Error | undefined };
  let wake = () => {};
  const connection: Connection = openConnection(origin, {
    onBytes: (chunk) => {
      seen.text += chunk;
      wake();
    },
    onGone: (error) => {
      seen.gone = true;
      seen.error = error;
      wake();
    },
  });
  const until = async (condition: () => boolean) => {
    while (!condition()) {
      await new Promise<void>((done) => {
        wake = done;
      });
    }
  };
  return { connection, seen, until };
}

async function exchange(origin: Origin, text = "hello") {
  const { connection, seen, until } = open(origin);
  connection.write(text);
  await until(() => seen.text === text || seen.gone);
  if (seen.error) throw seen.error;
  return connection;
}

describe("openConnection", () => {
  test("uses a released connection again, and not one of another policy", async () => {
    let connections = 0;
    const origin = await listen(createServer(echo).on("connection", () => connections++));
    const first = await exchange(origin);
    expect(first.reused).toBe(false);
    first.release();
    const second = await exchange(origin);
    expect(second).toBe(first);
    expect(second.reused).toBe(true);
    expect(connections).toBe(1);
    second.release();
    expect(() => open({ ...origin, allowPrivate: false })).toThrow(AddressRefusedError);
  });

  test("does not share a connection between two calls at once", async () => {
    const origin = await listen(createServer(echo));
    const [first, second] = await Promise.all([exchange(origin), exchange(origin)]);
    expect(first).not.toBe(second);
    for (const connection of [first, second]) connection.destroy();
  });

  test("does not use a connection again that has closed, or on which something arrived, while it waited", async () => {
    let last: Socket | undefined;
    const origin = await listen(createServer(echo).on("connection", (socket: Socket) => (last = socket)));
    for (const act of [() => last?.end(), () => last?.write("HTTP/1.1 200 OK\r\n")]) {
      const first = await exchange(origin);
      first.release();
      act();
      await arrivals();
      const second = await exchange(origin);
      expect(second).not.toBe(first);
      second.destroy();
    }
  });

  test("tells that the other side has closed, and nothing after its own destroy", async () => {
    const origin = await listen(createServer(echo));
    const closed = open(origin);
    closed.connection.write("bye");
    await closed.until(() => closed.seen.gone);
    expect(closed.seen.error).toBeUndefined();

    const destroyed = open(origin);
    destroyed.connection.destroy();
    await arrivals();
    expect(destroyed.seen.gone).toBe(false);
  });

  test("refuses private addresses, literal or by name", async () => {
    const origin = await listen(createHttpServer(), { allowPrivate: false });
    for (const host of ["127.0.0.1", "::1", "169.254.169.254"]) {
      expect(() => open({ ...origin, host })).toThrow(AddressRefusedError);
    }
    const named = open({ ...origin, host: "localhost" });
    await named.until(() => named.seen.gone);
    expect(named.seen.error).toBeInstanceOf(AddressRefusedError);
  });

  test("tells why nobody can be reached", async () => {
    const origin = await listen(createServer());
    for (const stop of stops.splice(0)) stop();
    const { seen, until } = open(origin);
    await until(() => seen.gone);
    expect(seen.error).toMatchObject({ code: "ECONNREFUSED" });
  });

  test("over TLS, speaks to a server whose certificate is trusted, and to no other", async () => {
    const origin = await listen(createTlsServer({ key, cert }, echo), { secure: true, host: "localhost" });
    await expect(exchange(origin)).rejects.toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });

    const trusted = getCACertificates("default");
    stops.push(() => setDefaultCACertificates(trusted));
    setDefaultCACertificates([...trusted, cert]);
    const connection = await exchange(origin);
    connection.release();
    const again = await exchange(origin);
    expect(again).toBe(connection);
    again.destroy();
    // The session that the server handed out shortens the next handshake, and the name is still checked.
    (await exchange(origin)).destroy();
    await expect(exchange({ ...origin, host: "127.0.0.1" })).rejects.toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
  });
});
