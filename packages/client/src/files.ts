import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";
import { toMultipart, type Upload } from "./upload.ts";

export function fileCalls({ call, open }: Transport) {
  const byId = (fileId: string, options?: RequestOptions) => ({ params: { file_id: fileId }, ...options });
  return {
    /** Uploads a file before a thread exists; name its id in `files` when creating the thread. */
    uploadToAgent: async (agent: string, file: Upload, options?: CreateOptions) =>
      call("files.uploadToAgent", {
        params: { agent_id: agent },
        rawBody: await toMultipart(file, options?.signal),
        ...options,
      }),

    uploadToThread: async (threadId: string, file: Upload, options?: CreateOptions) =>
      call("files.uploadToThread", {
        params: { thread_id: threadId },
        rawBody: await toMultipart(file, options?.signal),
        ...options,
      }),

    /** Files of the thread, newest first. */
    list: (threadId: string, query?: QueryInput<"files.list">, options?: RequestOptions) =>
      call("files.list", { params: { thread_id: threadId }, query, ...options }),

    /** What is known about the file. */
    get: (fileId: string, options?: RequestOptions) => call("files.get", byId(fileId, options)),

    /** The file's bytes, as a Response whose body has not been read: take `body`, `blob()` or `bytes()` of it. */
    download: (fileId: string, options?: RequestOptions): Promise<Response> =>
      open("files.download", { ...byId(fileId, options), headers: { accept: "*/*", ...options?.headers } }),

    delete: (fileId: string, options?: RequestOptions) => call("files.delete", byId(fileId, options)),
  };
}
