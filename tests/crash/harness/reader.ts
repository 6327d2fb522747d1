/** A reader of an event stream that can be cut at any byte and resumes after the last whole event it has. */
import { type ClientRequest, request } from "node:http";

export class Reader {
  readonly #path: string;
  readonly #token: string;
  #request: ClientRequest | undefined;
  #buffer = "";
  /** The `data:` of each event, and the `id:` of the last one. */
  readonly events: string[] = [];
  lastId = "";
  connections = 0;

  constructor(threadId: string, token: string) {
    this.#path = `/api/v1/threads/${threadId}/events/stream`;
    this.#token = token;
  }

  /** Follows the log at one process. Resolves when the stream is over: `ended` by the server, or `cut`. */
  follow(baseUrl: string): Promise<"ended" | "cut"> {
    this.#buffer = "";
    this.connections++;
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` };
    if (this.lastId !== "") headers["last-event-id"] = this.lastId;
    return new Promise((resolve) => {
      const sent = request(`${baseUrl}${this.#path}`, { headers, agent: false }, (response) => {
        response.setEncoding("utf8");
        response.on("data", (text: string) => this.#take(text));
        response.on("error", () => undefined);
        response.on("close", () => resolve(response.complete ? "ended" : "cut"));
      });
      sent.on("error", () => resolve("cut"));
      this.#request = sent;
      sent.end();
    });
  }

  cut(): void {
    this.#request?.destroy();
  }

  /** An event of the type has come. */
  has(type: string): boolean {
    return this.events.some((data) => data.includes(`"type":"${type}"`));
  }

  #take(text: string): void {
    this.#buffer += text;
    for (let end = this.#buffer.indexOf("\n\n"); end >= 0; end = this.#buffer.indexOf("\n\n")) {
      this.#frame(this.#buffer.slice(0, end));
      this.#buffer = this.#buffer.slice(end + 2);
    }
  }

  #frame(frame: string): void {
    const lines = frame.split("\n");
    const data = lines.find((line) => line.startsWith("data: "));
    if (data === undefined) return; // a heartbeat, or the retry time
    this.events.push(data.slice("data: ".length));
    this.lastId = lines.find((line) => line.startsWith("id: "))?.slice("id: ".length) ?? this.lastId;
  }
}
