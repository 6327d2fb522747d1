/** Files: bytes attached to or produced in a thread. */
import { z } from "zod";
import { listOf, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";

export const fileName = z
  .string()
  .min(1)
  .max(255)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what the rule is about
  .regex(/^[^\u0000-\u001f\u007f/\\]+$/, "expected a name without slashes and control characters");

export const mediaType = z
  .string()
  .max(127)
  .regex(/^[\w.+-]+\/[\w.+-]+$/, "expected a media type like text/plain");

export const file = z
  .object({
    id: idSchema("file"),
    thread_id: idSchema("thread").nullable(),
    /** A caller adds an `attachment`, an agent writes an `artifact`. */
    kind: z.enum(["attachment", "artifact"]),
    name: fileName,
    media_type: mediaType,
    size_bytes: z.number().int(),
    sha256: z.string(),
    run_id: idSchema("run").nullable(),
    created_at: timestamp,
  })
  .meta({ id: "File" });
export type File = z.infer<typeof file>;

/** The small form of an upload: the bytes as base64 in JSON. Larger files come as multipart/form-data. */
export const uploadFile = z.strictObject({
  name: fileName,
  media_type: mediaType.default("application/octet-stream"),
  content_base64: z.base64(),
});
export type UploadFile = z.output<typeof uploadFile>;

export const fileList = listOf(file);
