import { eq } from "drizzle-orm";
import type { Bindings, Config } from "../../env.ts";
import type { Db } from "../../platform/db/client.ts";
import { uploadPart } from "../../platform/db/schema.ts";
import { hex } from "../../platform/http/encode.ts";
import { signUrl } from "./sign.ts";
import { type Head, OBJECT_PREFIX, type Store } from "./store.ts";

const seconds = (expires: Date) => Math.floor(expires.getTime() / 1000);

/** R2 by its binding; URLs are the Worker's own, and the database knows which parts arrived. */
export function r2Store({
  db,
  env,
  config,
  base,
}: {
  db: Db;
  env: Bindings;
  config: Config;
  base: string;
}): Store {
  const bucket = env.BUCKET;
  return {
    md5Etags: false,
    urlsOutlive: false,
    async signPut({ objectKey, size, sha256 }, expires) {
      const url = await signUrl(config, base, {
        method: "PUT",
        key: objectKey,
        expires: seconds(expires),
        params: { size: String(size), sha256 },
      });
      return { url, headers: { "If-None-Match": "*" } };
    },
    async signPart({ objectKey, uploadId }, { number, size }, expires) {
      const url = await signUrl(config, base, {
        method: "PUT",
        key: objectKey,
        expires: seconds(expires),
        params: {
          upload: uploadId,
          part: String(number),
          ...(size !== null && { size: String(size) }),
        },
      });
      return { url, headers: {} };
    },
    signGet({ objectKey, size }, { name, mediaType }, expires) {
      return signUrl(config, base, {
        method: "GET",
        key: objectKey,
        expires: seconds(expires),
        params: { size: String(size), name, ...(mediaType && { type: mediaType }) },
      });
    },
    put: (objectKey, body, size) => putThrough(bucket, objectKey, body, size),
    async createUpload(objectKey) {
      return (await bucket.createMultipartUpload(objectKey)).uploadId;
    },
    listParts({ id }) {
      return db
        .select({ number: uploadPart.number, etag: uploadPart.etag, size: uploadPart.size })
        .from(uploadPart)
        .where(eq(uploadPart.objectId, id))
        .orderBy(uploadPart.number);
    },
    async completeUpload({ objectKey, uploadId }, parts) {
      try {
        await bucket
          .resumeMultipartUpload(objectKey, uploadId)
          .complete(parts.map((p) => ({ partNumber: p.number, etag: p.etag })));
        return true;
      } catch (error) {
        if (isUploadLost(error)) return false;
        throw error;
      }
    },
    async abortUpload({ objectKey, uploadId }) {
      try {
        await bucket.resumeMultipartUpload(objectKey, uploadId).abort();
      } catch {
        // Gone already, or R2 itself drops it after a week.
      }
    },
    async head(objectKey) {
      const object = await bucket.head(objectKey);
      return object && describeObject(object);
    },
    async read(objectKey, offset, length) {
      const object = await bucket.get(objectKey, { range: { offset, length } });
      if (!object) throw new Error("the object is not there");
      return new Uint8Array(await object.arrayBuffer());
    },
    async stream(objectKey) {
      const object = await bucket.get(objectKey);
      if (!object) throw new Error("the object is not there");
      return object.body;
    },
    async list(after, limit) {
      const options = { prefix: OBJECT_PREFIX, limit, ...(after && { startAfter: after }) };
      const { objects, truncated } = await bucket.list(options);
      return {
        objects: objects.map(({ key, size }) => ({ objectKey: key, size })),
        more: truncated,
      };
    },
    remove: (objectKeys) => bucket.delete(objectKeys),
    collectAtOnce: { objects: 400, uploads: 200 },
  };
}

/**
 * Whether R2 does not know a multipart upload (10024) or one of its parts (10025) any more. The
 * binding's errors carry their code in the message alone.
 */
export const isUploadLost = (error: unknown) =>
  error instanceof Error &&
  /1002[45]|multipart upload does not exist|parts could not be found/.test(error.message);

/** Puts a stream of known length into R2, which takes no other. */
export async function putThrough(
  bucket: R2Bucket,
  objectKey: string,
  body: ReadableStream<Uint8Array>,
  size: number,
): Promise<void> {
  const { readable, writable } = new FixedLengthStream(size);
  await Promise.all([body.pipeTo(writable), bucket.put(objectKey, readable)]);
}

export const describeObject = (object: R2Object): Head => ({
  size: object.size,
  etag: object.etag,
  sha256: object.checksums.sha256 ? hex(new Uint8Array(object.checksums.sha256)) : null,
});
