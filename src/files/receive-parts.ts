/* The same in parts, of which a client knows the number and says nothing of their length or hash. */
import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import { reportable } from "../platform/auth/access.ts";
import { storedObject, trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { refuse } from "../platform/http/problem.ts";
import { storeOf } from "./bucket/open.ts";
import { bareEtag } from "./bucket/s3.ts";
import { OBJECT_PREFIX, UPLOAD_URL_SEC } from "./bucket/store.ts";
import type { PointAtFinal } from "./final.ts";
import { MOST_PARTS, sizeLimit } from "./parts.ts";
import { dropObject, type Incoming, keepFile, openObject } from "./receive.ts";
import { startUploadOf } from "./uploads.ts";
import { hashObject } from "./verify.ts";

const MiB = 1024 * 1024;
/** What is reserved for each part until it is there: the usual length of MLflow's. */
const USUAL_PART = 10 * MiB;
/** R2 joins parts of the same length, of which only the last may be shorter, or than this. */
const LEAST_PART = 5 * MiB;

/** Begins an upload in parts: its id, and the URL of each part. Throws ApiError 403, 404, 409, 422. */
export async function openParts(c: Context<App>, taskId: number, count: number) {
  const store = storeOf(c);
  const object = await openObject(c, taskId, Math.min(count, MOST_PARTS) * USUAL_PART);
  const uploadId = await startUploadOf(c, store, object);
  const expires = new Date(Date.now() + UPLOAD_URL_SEC * 1000);
  const parts = await Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      number: i + 1,
      ...(await store.signPart({ ...object, uploadId }, { number: i + 1, size: null }, expires)),
    })),
  );
  return { id: object.objectKey.slice(`${OBJECT_PREFIX}${taskId}/`.length), parts };
}

/** An upload of a run by the id that openParts() gave. */
async function findUpload(c: Context<App>, taskId: number, id: string) {
  const [row] = await c.var.db
    .select({
      id: storedObject.id,
      objectKey: storedObject.objectKey,
      state: storedObject.state,
      uploadId: storedObject.uploadId,
      reserved: storedObject.size,
      sha256: storedObject.sha256,
    })
    .from(storedObject)
    .innerJoin(trainingTask, eq(trainingTask.id, storedObject.taskId))
    .where(
      and(
        eq(storedObject.objectKey, `${OBJECT_PREFIX}${taskId}/${id}`),
        eq(storedObject.taskId, taskId),
        reportable(c.var.auth),
      ),
    );
  if (!row) throw refuse("upload-aborted", { case: "meanwhile" });
  return row;
}

/**
 * Joins the parts of an upload to a file. A repeated request of what is complete changes nothing. Throws
 * ApiError 403, 409, 413, 422.
 */
export async function completeParts(
  c: Context<App>,
  pointAtFinal: PointAtFinal,
  file: Incoming,
  { id, parts }: { id: string; parts: { number: number; etag: string }[] },
) {
  const upload = await findUpload(c, file.taskId, id);
  if (upload.state !== "uploading" || upload.uploadId === null) {
    const [there] = await c.var.db.all(sql`
      select id from weight where task_id = ${file.taskId} and filename = ${file.filename}
        and (object_id = ${upload.id} or (sha256 = ${upload.sha256} and sha256 <> '')) and state = 'complete' and deleted_at is null`);
    if (there) return;
    throw refuse("upload-aborted", { case: "meanwhile" });
  }
  const store = storeOf(c);
  const target = { objectKey: upload.objectKey, uploadId: upload.uploadId };
  const arrived = await store.listParts({ ...upload, uploadId: upload.uploadId });
  const known = new Map((arrived ?? []).map((part) => [part.number, part]));
  const ordered = parts
    .toSorted((a, b) => a.number - b.number)
    .map(({ number, etag }, i) => {
      const part = known.get(number);
      return number === i + 1 && part?.etag === bareEtag(etag) ? part : null;
    });
  const whole = ordered.filter((part) => part !== null);
  if (whole.length < ordered.length || whole.length === 0)
    throw refuse("parts-differ", { case: "missing", filename: file.filename });
  const [first] = whole;
  const uneven = whole
    .slice(0, -1)
    .some((part) => part.size !== first?.size || part.size < LEAST_PART);
  if (uneven || Number(whole.at(-1)?.size) > Number(first?.size))
    throw refuse("parts-differ", { case: "uneven", filename: file.filename, least: LEAST_PART });
  const size = whole.reduce((sum, part) => sum + part.size, 0);
  const limit = sizeLimit(c.var.config);
  if (size > limit) {
    await dropObject(c, upload.id);
    throw refuse("too-large", { case: "file", limit, size });
  }
  const joined = await store.completeUpload(target, whole);
  if (!joined && !(await store.head(upload.objectKey)))
    throw refuse("parts-differ", { case: "missing", filename: file.filename });
  const sha256 = await hashObject(store, upload.objectKey);
  await keepFile(c, pointAtFinal, file, { ...upload, size, sha256 });
}

/** Gives up an upload in parts. One that is complete or given up stays so. Throws ApiError 409. */
export async function abortParts(c: Context<App>, taskId: number, id: string) {
  const upload = await findUpload(c, taskId, id);
  await dropObject(c, upload.id);
}
