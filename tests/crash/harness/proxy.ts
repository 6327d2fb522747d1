/** A relay in front of PostgreSQL that loses answers: what was asked is done, and nobody hears of it. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { random } from "./form.ts";

export class LossyProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;
  /** Chance that a piece of an answer is lost together with its connection. */
  loss = 0;
  /** Answers lost so far. */
  lost = 0;

  /** @param databaseUrl where PostgreSQL really is */
  constructor(databaseUrl: string) {
    this.#target = new URL(databaseUrl);
    this.#server = createServer((client) => this.#relay(client));
  }

  /** @returns the database's address through the proxy */
  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => {
        const url = new URL(this.#target);
        url.port = String((this.#server.address() as { port: number }).port);
        url.hostname = "127.0.0.1";
        resolve(url.href);
      });
    });
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #relay(client: Socket): void {
    const database = connect(Number(this.#target.port), this.#target.hostname);
    const end = () => {
      client.destroy();
      database.destroy();
    };
    for (const socket of [client, database]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    client.on("data", (chunk) => database.write(chunk));
    database.on("data", (chunk) => {
      if (random() < this.loss) {
        this.lost++;
        end();
      } else client.write(chunk);
    });
  }
}
