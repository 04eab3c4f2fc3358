import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import type { Bindings, Config } from "../env.ts";
import type { Db } from "../platform/db/client.ts";
import { storedObject, uploadPart } from "../platform/db/schema.ts";
import { fromNow, now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { hex } from "../platform/http/encode.ts";
import { hexToBase64, presign, s3Client, s3Settings } from "./bucket/s3.ts";
import { signUrl } from "./sign.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** The most that one PUT carries: below the 100 MB that a free plan lets through a Worker. */
const SINGLE_PUT_LIMIT = 90 * MiB;
const MIN_PART = 16 * MiB;
const MOST_PARTS = 1000;
/** How many URLs one answer holds: signing costs CPU time. */
export const URLS_AT_ONCE = 32;
/** Lives of signed URLs in seconds. A transfer that has begun may last longer. */
export const UPLOAD_URL_SEC = 3600;
export const DOWNLOAD_URL_SEC = 600;

/** What the keys of all weights' objects begin with. */
export const OBJECT_PREFIX = "w/";

/** Part size in bytes for a file, or null where one PUT will do. */
export const partSizeFor = (size: number): number | null =>
  size <= SINGLE_PUT_LIMIT ? null : Math.max(MIN_PART, Math.ceil(size / MOST_PARTS / MiB) * MiB);

export const partCount = (size: number, partSize: number) => Math.ceil(size / partSize);

/** Bytes of part `number`, counted from 1; the last is what remains. */
export const partLength = (size: number, partSize: number, number: number) =>
  Math.min(partSize, size - (number - 1) * partSize);

/** The largest file in bytes: through the Worker each part has to fit into one request. */
export const sizeLimit = (config: Config) =>
  s3Settings(config) ? 1024 * GiB : MOST_PARTS * SINGLE_PUT_LIMIT;

type Part = { number: number; etag: string; size: number };
type SignedUrl = { url: string; headers: Record<string, string> };
/** An object as the bucket knows it; `sha256` (hex) where the bucket itself checked it. */
export type Head = { size: number; etag: string; sha256: string | null };
type Upload = { objectKey: string; uploadId: string };

/** Where the bytes lie: R2 by its binding and the Worker's own signed URLs, or by the S3 protocol. */
export type Store = {
  /** URL for the one PUT of a whole file; it never replaces an object. */
  signPut(
    object: { objectKey: string; size: number; sha256: string },
    expires: Date,
  ): Promise<SignedUrl>;
  signPart(
    upload: Upload,
    part: { number: number; size: number },
    expires: Date,
  ): Promise<SignedUrl>;
  /** URL that gives the file as `name`, shown inline only with a `mediaType`. */
  signGet(
    object: { objectKey: string; size: number },
    as: { name: string; mediaType: string | null },
    expires: Date,
  ): Promise<string>;
  createUpload(objectKey: string): Promise<string>;
  /** The parts that arrived; null when the bucket knows no such upload any more. */
  listParts(upload: Upload & { id: number }): Promise<Part[] | null>;
  /** False when the bucket does not know the upload or these parts any more. */
  completeUpload(upload: Upload, parts: { number: number; etag: string }[]): Promise<boolean>;
  abortUpload(upload: Upload): Promise<void>;
  head(objectKey: string): Promise<Head | null>;
  read(objectKey: string, offset: number, length: number): Promise<Uint8Array>;
  stream(objectKey: string): Promise<ReadableStream<Uint8Array>>;
  /** Objects by their keys, from behind `after` on; `more` tells whether others follow. */
  list(
    after: string,
    limit: number,
  ): Promise<{ objects: { objectKey: string; size: number }[]; more: boolean }>;
  /** At most 1,000. Objects that are gone already are no error. */
  remove(objectKeys: string[]): Promise<void>;
  /**
   * What one call of the sweep may take away, of each kind: objects, and multipart uploads, of which each
   * is aborted by a call of its own. A free plan's Worker may send 50 requests, and make 1,000 calls to
   * the binding, which removes 1,000 objects by one.
   */
  sweepsAtOnce: { objects: number; uploads: number };
  /** ETags of parts are their MD5. */
  md5Etags: boolean;
  /** URLs stay good until they expire, whatever becomes of the upload. */
  urlsOutlive: boolean;
};

type Origin = { db: Db; env: Bindings; config: Config; base: string };

/** The store that the configuration asks for. `base` is where clients reach the service. */
export function openStore(origin: Origin): Store {
  return s3Settings(origin.config) ? s3Store(origin) : bindingStore(origin);
}

/** Where clients reach the service: as configured, else the address of the request itself. */
export const baseUrl = (config: Config, requestUrl: string) =>
  (config.PUBLIC_URL ?? new URL(requestUrl).origin).replace(/\/+$/, "");

/** The store, for the handler of a request. */
export const storeOf = (c: Context<App>): Store =>
  openStore({
    db: c.var.db,
    env: c.env,
    config: c.var.config,
    base: baseUrl(c.var.config, c.req.url),
  });

/** RFC 6266 with RFC 8187's encoding; the plain name is for clients that know only that. */
export function contentDisposition(kind: "attachment" | "inline", filename: string): string {
  const name = filename.slice(filename.lastIndexOf("/") + 1);
  const plain = name.replace(/[^\w .()+=@-]/g, "_");
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

const seconds = (expires: Date) => Math.floor(expires.getTime() / 1000);
const secondsLeft = (expires: Date) =>
  Math.max(1, seconds(expires) - Math.floor(Date.now() / 1000));

function bindingStore({ db, env, config, base }: Origin): Store {
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
        params: { upload: uploadId, part: String(number), size: String(size) },
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
    sweepsAtOnce: { objects: 400, uploads: 200 },
  };
}

/**
 * Whether R2 does not know a multipart upload (10024) or one of its parts (10025) any more. The
 * binding's errors carry their code in the message alone.
 */
export const isUploadLost = (error: unknown) =>
  error instanceof Error &&
  /1002[45]|multipart upload does not exist|parts could not be found/.test(error.message);

const describeObject = (object: R2Object): Head => ({
  size: object.size,
  etag: object.etag,
  sha256: object.checksums.sha256 ? hex(new Uint8Array(object.checksums.sha256)) : null,
});

function s3Store({ env, config }: Origin): Store {
  const s3 = s3Settings(config);
  if (!s3) throw new Error("no S3 settings");
  const client = s3Client(s3);
  return {
    md5Etags: true,
    urlsOutlive: true,
    async signPut({ objectKey, sha256 }, expires) {
      // R2 checks this hash itself and stores nothing on a mismatch. If-None-Match keeps a URL
      // that is still good from replacing the object after it was checked.
      const headers = { "If-None-Match": "*", "x-amz-checksum-sha256": hexToBase64(sha256) };
      const url = await presign(s3, {
        method: "PUT",
        key: objectKey,
        expires: secondsLeft(expires),
        headers,
      });
      return { url, headers };
    },
    async signPart({ objectKey, uploadId }, { number }, expires) {
      const query = { partNumber: String(number), uploadId };
      const url = await presign(s3, {
        method: "PUT",
        key: objectKey,
        expires: secondsLeft(expires),
        query,
      });
      return { url, headers: {} };
    },
    signGet({ objectKey }, { name, mediaType }, expires) {
      return presign(s3, {
        method: "GET",
        key: objectKey,
        expires: secondsLeft(expires),
        query: {
          "response-content-disposition": contentDisposition(
            mediaType ? "inline" : "attachment",
            name,
          ),
          "response-content-type": mediaType ?? "application/octet-stream",
        },
      });
    },
    createUpload: (objectKey) => client.createUpload(objectKey),
    listParts: ({ objectKey, uploadId }) => client.listParts(objectKey, uploadId),
    completeUpload: ({ objectKey, uploadId }, parts) =>
      client.completeUpload(objectKey, uploadId, parts),
    abortUpload: ({ objectKey, uploadId }) => client.abortUpload(objectKey, uploadId),
    async head(objectKey) {
      const head = await client.head(objectKey);
      if (!head || head.sha256 || config.R2_ENDPOINT) return head;
      // R2's S3 API may keep the checksum to itself; the binding, of the same bucket, tells it.
      const object = await env.BUCKET.head(objectKey);
      return object && { ...head, sha256: describeObject(object).sha256 };
    },
    async read(objectKey, offset, length) {
      return new Uint8Array(await (await client.get(objectKey, { offset, length })).arrayBuffer());
    },
    async stream(objectKey) {
      const { body } = await client.get(objectKey);
      return body ?? new Blob([]).stream();
    },
    async list(after, limit) {
      const { keys, more } = await client.list(OBJECT_PREFIX, after, limit);
      return { objects: keys.map(({ key, size }) => ({ objectKey: key, size })), more };
    },
    async remove(objectKeys) {
      // The binding, of the same bucket, takes many at once.
      if (!config.R2_ENDPOINT) await env.BUCKET.delete(objectKeys);
      else await Promise.all(objectKeys.map((objectKey) => client.remove(objectKey)));
    },
    sweepsAtOnce: config.R2_ENDPOINT ? { objects: 10, uploads: 5 } : { objects: 400, uploads: 8 },
  };
}

/** Takes what is there of an object out of the bucket; the sweep repeats it should this fail. */
export async function discard(
  store: Store,
  objects: { objectKey: string; uploadId: string | null }[],
) {
  if (objects.length === 0) return;
  const uploads = objects.flatMap(({ objectKey, uploadId }) =>
    uploadId ? [{ objectKey, uploadId }] : [],
  );
  await Promise.all(uploads.map((upload) => store.abortUpload(upload)));
  await store.remove(objects.map((object) => object.objectKey));
}

/** When the sweep may take an object away for good: no URL for it is good any more. */
export const sweepTime = (store: Store, uploading: boolean) =>
  uploading || store.urlsOutlive ? fromNow(UPLOAD_URL_SEC) : now;

/** Keeps the bucket's id of a new multipart upload, unless another request was first. */
export const keepUploadId = (db: Db, objectId: number, uploadId: string) =>
  db
    .update(storedObject)
    .set({ uploadId })
    .where(
      and(
        eq(storedObject.id, objectId),
        eq(storedObject.state, "uploading"),
        sql`upload_id is null`,
      ),
    )
    .returning({ uploadId: storedObject.uploadId });

/** Lets an upload that the bucket has lost begin anew, from its first part. */
export const forgetUpload = (db: Db, objectId: number, uploadId: string) =>
  db.batch([
    db
      .delete(uploadPart)
      .where(
        and(
          eq(uploadPart.objectId, objectId),
          sql`exists (select 1 from stored_object where id = ${objectId} and upload_id = ${uploadId})`,
        ),
      ),
    db
      .update(storedObject)
      .set({ uploadId: null })
      .where(and(eq(storedObject.id, objectId), eq(storedObject.uploadId, uploadId))),
  ]);
