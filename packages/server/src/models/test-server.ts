/** A provider for tests: plays one script for each request, byte by byte where that matters. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Step =
  | string
  | Buffer
  | { delayMs: number }
  /** Never goes on. */
  | "hang"
  /** Closes the connection in the middle of the body. */
  | "cut"
  /** Sends this again and again until the client has enough. */
  | { endless: Buffer };

export type Script = { status?: number; headers?: Record<string, string>; steps: Step[] };

export type SeenRequest = {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
  json: any;
  /** Resolves when the connection was closed before the answer was complete. */
  aborted: Promise<void>;
};

export type TestServer = {
  url: string;
  requests: SeenRequest[];
  /** How many connections were opened. */
  connections(): number;
  /** Bytes written so far. */
  written(): number;
  close(): Promise<void>;
};

/** @param scripts one for each request in order; the last one is repeated */
export async function serveScripts(...scripts: Script[]): Promise<TestServer> {
  const requests: SeenRequest[] = [];
  let connections = 0;
  let written = 0;

  async function play(script: Script, response: ServerResponse): Promise<void> {
    response.writeHead(script.status ?? 200, { "content-type": "text/event-stream", ...script.headers });
    response.flushHeaders();
    for (const step of script.steps) {
      if (response.destroyed || step === "hang") return;
      if (step === "cut") {
        // What was written before goes out first.
        await new Promise((done) => setTimeout(done, 20));
        response.destroy();
        return;
      }
      if (typeof step === "string" || Buffer.isBuffer(step)) {
        written += step.length;
        await new Promise<void>((done) => response.write(step, () => done()));
        await new Promise((done) => setImmediate(done));
      } else if ("delayMs" in step) {
        await new Promise((done) => setTimeout(done, step.delayMs));
      } else {
        while (!response.destroyed) {
          written += step.endless.length;
          const room = response.write(step.endless);
          if (!room) await new Promise<void>((done) => setTimeout(done, 1));
        }
        return;
      }
    }
    response.end();
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const aborted = new Promise<void>((done) => {
        response.on("close", () => {
          if (!response.writableFinished) done();
        });
      });
      const script = scripts[Math.min(requests.length, scripts.length - 1)] as Script;
      requests.push({ path: request.url ?? "", headers: request.headers, text, json: JSON.parse(text), aborted });
      void play(script, response);
    });
  });
  server.on("connection", () => connections++);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections: () => connections,
    written: () => written,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** `data:` frames of JSON values; a string is sent as it is. */
export function frames(...values: unknown[]): string {
  return values.map((value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`).join("");
}

/** Frames with the event's name, as Anthropic and the Responses API send them. */
export function namedFrames(...values: { type: string }[]): string {
  return values.map((value) => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`).join("");
}
