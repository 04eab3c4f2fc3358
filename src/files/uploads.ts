import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import type * as z from "zod";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { storedObject, uploadPart } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { refuse } from "../platform/http/problem.ts";
import type { upload, WeightRow } from "./answers.ts";
import { storeOf } from "./bucket/open.ts";
import { bareEtag } from "./bucket/s3.ts";
import { type Store, UPLOAD_URL_SEC } from "./bucket/store.ts";
import { goodParts, partCount, partLength, URLS_AT_ONCE } from "./parts.ts";

/** Keeps the bucket's id of a new multipart upload, unless another request was first. */
const keepUploadId = (db: Db, objectId: number, uploadId: string) =>
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

/** Lets an upload that the bucket has lost start again from its first part. */
export const forgetUpload = (db: Db, objectId: number, uploadId: string) =>
  chain(db, {
    parts: db
      .delete(uploadPart)
      .where(
        and(
          eq(uploadPart.objectId, objectId),
          sql`exists (select 1 from stored_object where id = ${objectId} and upload_id = ${uploadId})`,
        ),
      ),
    object: db
      .update(storedObject)
      .set({ uploadId: null })
      .where(and(eq(storedObject.id, objectId), eq(storedObject.uploadId, uploadId))),
  });

/** The refusal of an upload that was given up before. */
export const refuseGivenUp = (row: WeightRow) =>
  refuse(
    "upload-aborted",
    { case: "before", filename: row.filename },
    { extra: { state: row.state } },
  );

/** The URLs an unfinished upload still needs, from part `from` on; null when it is complete. */
export async function uploadOf(
  c: Context<App>,
  row: WeightRow,
  { from = 1, limit = URLS_AT_ONCE, fresh = false } = {},
): Promise<z.infer<typeof upload>> {
  if (row.state === "complete") return null;
  if (row.state !== "uploading") throw refuseGivenUp(row);
  const { object, size, sha256 } = row;
  const store = storeOf(c);
  const expires = new Date(Date.now() + UPLOAD_URL_SEC * 1000);
  const expires_at = expires.toISOString();
  if (object.partSize === null)
    return {
      method: "PUT",
      ...(await store.signPut({ ...object, size, sha256 }, expires)),
      expires_at,
    };

  let uploadId = object.uploadId;
  let arrived = uploadId && !fresh ? await store.listParts({ ...object, uploadId }) : [];
  if (uploadId && arrived === null) {
    await forgetUpload(c.var.db, object.id, uploadId);
    uploadId = null;
  }
  arrived ??= [];
  const target = { ...object, uploadId: uploadId ?? (await startUploadOf(c, store, object)) };
  const count = partCount(size, object.partSize);
  const there = new Set(goodParts(arrived, size, object.partSize).map((part) => part.number));
  const missing = [];
  for (let number = from; number <= count; number++) if (!there.has(number)) missing.push(number);
  const parts = await Promise.all(
    missing.slice(0, limit).map(async (number) => ({
      number,
      ...(await store.signPart(
        target,
        { number, size: partLength(size, object.partSize ?? size, number) },
        expires,
      )),
    })),
  );
  return {
    method: "PUT",
    part_size: object.partSize,
    part_count: count,
    remaining: missing.length,
    parts,
    expires_at,
  };
}

/** Starts the multipart upload of an object. Of two requests that do so at once, one wins. */
export async function startUploadOf(
  c: Context<App>,
  store: Store,
  object: { id: number; objectKey: string },
): Promise<string> {
  const { db, later } = c.var;
  const uploadId = await store.createUpload(object.objectKey);
  const [kept] = await keepUploadId(db, object.id, uploadId);
  if (kept) return uploadId;
  later(store.abortUpload({ objectKey: object.objectKey, uploadId }));
  const [current] = await db
    .select({ uploadId: storedObject.uploadId })
    .from(storedObject)
    .where(and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading")));
  if (!current?.uploadId) throw refuse("upload-aborted", { case: "meanwhile" });
  return current.uploadId;
}

type ClaimedPart = { number: number; etag?: string | null; md5?: string | null };

/** Joins the parts of an upload whose object is not there yet. Throws ApiError 409. */
export async function joinParts(
  db: Db,
  store: Store,
  { id: weightId, object, size, filename }: WeightRow,
  claimed: ClaimedPart[],
) {
  const { uploadId, partSize } = object;
  if (partSize === null) throw refuse("not-uploaded", { filename });
  const numbers = Array.from({ length: partCount(size, partSize) }, (_, i) => i + 1);
  const lacks = (missing: number[]) =>
    refuse(
      "parts-missing",
      { missing: missing.length, total: numbers.length, filename, weight: weightId },
      { extra: { missing: missing.slice(0, 100) } },
    );
  if (uploadId === null) throw lacks(numbers);
  const arrived = await store.listParts({ ...object, uploadId });
  const parts = new Map(goodParts(arrived ?? [], size, partSize).map((p) => [p.number, p]));
  for (const { number, etag, md5 } of claimed) {
    const part = parts.get(number);
    if (!part) continue;
    // Something else arrived as this part than what was sent: it has to come again.
    const other = etag && bareEtag(etag) !== part.etag;
    if (other || (md5 && store.md5Etags && md5.toLowerCase() !== part.etag)) parts.delete(number);
  }
  const missing = numbers.filter((number) => !parts.has(number));
  if (arrived && missing.length) throw lacks(missing);
  const ordered = [...parts.values()].sort((a, b) => a.number - b.number);
  const joined =
    arrived !== null &&
    (await store.completeUpload({ objectKey: object.objectKey, uploadId }, ordered));
  // Another request may have joined them in the meantime: then the object exists.
  const head = await store.head(object.objectKey);
  if (head) return head;
  if (!joined) await forgetUpload(db, object.id, uploadId);
  throw lacks(numbers);
}
