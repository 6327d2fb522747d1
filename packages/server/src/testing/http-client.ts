/** A plain HTTP client for tests: it sends what it is told, also what is wrong, and shows the answer as it came. */
import { SseReader } from "./sse-reader.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

export type Answer = {
  method: string;
  /** Below `/api/v1`, without the query. */
  path: string;
  status: number;
  headers: Headers;
  text: string;
  /** The parsed body of a JSON answer, else undefined. */
  body: Anything;
};

export type Sending = {
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  body?: BodyInit;
  headers?: Record<string, string>;
  query?: Record<string, string | number | boolean>;
  signal?: AbortSignal;
};

export type HttpClientOptions = {
  /** Null sends no `Authorization`. */
  token: string | null;
  /** Sees every answer that is not a stream, before the test does; throws to fail it. */
  onAnswer?: ((answer: Answer) => void) | undefined;
};

const API = "/api/v1";

export class HttpClient {
  readonly baseUrl: string;
  readonly #options: HttpClientOptions;

  constructor(baseUrl: string, options: HttpClientOptions) {
    this.baseUrl = baseUrl;
    this.#options = options;
  }

  /** The same server with another token. */
  as(token: string | null): HttpClient {
    return new HttpClient(this.baseUrl, { ...this.#options, token });
  }

  get = (path: string, sending: Sending = {}): Promise<Answer> => this.send("GET", path, sending);
  post = (path: string, json?: unknown, sending: Sending = {}): Promise<Answer> =>
    this.send("POST", path, json === undefined ? sending : { ...sending, json });
  patch = (path: string, json: unknown, sending: Sending = {}): Promise<Answer> =>
    this.send("PATCH", path, { ...sending, json });
  put = (path: string, json: unknown, sending: Sending = {}): Promise<Answer> =>
    this.send("PUT", path, { ...sending, json });
  delete = (path: string, sending: Sending = {}): Promise<Answer> => this.send("DELETE", path, sending);

  async send(method: string, path: string, sending: Sending = {}): Promise<Answer> {
    const response = await this.raw(method, path, sending);
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    const answer: Answer = {
      method,
      path: path.split("?")[0] as string,
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text !== "" ? JSON.parse(text) : undefined,
    };
    this.#options.onAnswer?.(answer);
    return answer;
  }

  /** Bytes of a download. */
  async bytes(path: string): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
    const response = await this.raw("GET", path, {});
    return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
  }

  /** A multipart upload of one part. */
  upload(path: string, file: { name: string; type?: string; bytes: BlobPart }, sending: Sending = {}): Promise<Answer> {
    const form = new FormData();
    form.append("file", new Blob([file.bytes], { type: file.type ?? "application/octet-stream" }), file.name);
    return this.send("POST", path, { ...sending, body: form });
  }

  /** Opens a server-sent event stream. @throws when the answer is not 200 */
  async stream(path: string, sending: Sending = {}): Promise<SseReader> {
    const abort = new AbortController();
    const response = await this.raw("GET", path, { ...sending, signal: abort.signal });
    if (response.status !== 200 || response.body === null) {
      throw new Error(`stream ${path}: ${response.status} ${await response.text()}`);
    }
    return new SseReader(response.body, () => abort.abort());
  }

  /** The answer as `fetch` gives it, unread. */
  raw(method: string, path: string, sending: Sending = {}): Promise<Response> {
    const { json, body, headers, query, signal } = sending;
    const { token } = this.#options;
    const search = query === undefined ? "" : `?${new URLSearchParams(query as Record<string, string>)}`;
    return fetch(`${this.baseUrl}${API}${path}${search}`, {
      method,
      redirect: "manual",
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }
}
