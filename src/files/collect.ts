import { and, eq, inArray, type SQL, sql } from "drizzle-orm";
import type { Bindings, Config } from "../env.ts";
import { audit, scheduledJob } from "../platform/audit/audit.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { storedObject, uploadPart, weight } from "../platform/db/schema.ts";
import { ago, fromNow, now } from "../platform/db/time.ts";
import { openStore } from "./bucket/open.ts";
import { type Store, UPLOAD_URL_SEC } from "./bucket/store.ts";

/*
 * Where files are deleted for good: the functions of this file alone remove objects from the bucket,
 * and rows of `weight` and `stored_object`; others call them. Whatever the cause, it takes two steps.
 *
 * 1. An object that nothing needs any more becomes `aborted`, and `sweep_at` is set. The causes:
 *    an upload is given up, by its owner, by its age or for wrong bytes (giveUpObjects,
 *    collectUploads); a file was in the trash for TRASH_DAYS (collectTrashedFiles), where its owner
 *    or a retention rule put it; its run is purged (collectFilesOf).
 * 2. collectUploads removes its bytes once no URL for it is good any more, and its row if no file
 *    names it.
 */

/** Files that one call takes away. */
const FILES_AT_ONCE = 50;

/** When an object may be removed: no URL for it is good any more. */
const removableAt = (store: Store, uploading: boolean) =>
  uploading || store.urlsOutlive ? fromNow(UPLOAD_URL_SEC) : now;

/** Removes the bytes of objects from the bucket; collectUploads repeats it should this fail. */
export async function removeBytes(
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

/** A statement that gives up the unfinished uploads under `where`; it answers with what their removal needs. */
export const giveUpObjects = (db: Db, store: Store, where: SQL | undefined) =>
  db
    .update(storedObject)
    .set({ state: "aborted", sweepAt: removableAt(store, true) })
    .where(where)
    .returning({
      id: storedObject.id,
      objectKey: storedObject.objectKey,
      uploadId: storedObject.uploadId,
    });

/** A statement that gives up an object whose bytes came through the Worker and are not wanted: no URL leads to it. */
export const giveUpReceived = (db: Db, sha256: string, where: SQL) =>
  db
    .update(storedObject)
    // What was verified no longer counts as an open upload.
    .set({ state: "aborted", verified: "sha256", sha256, sweepAt: now })
    .where(where)
    .returning({
      id: storedObject.id,
      objectKey: storedObject.objectKey,
      uploadId: storedObject.uploadId,
    });

/**
 * Gives up uploads older than UPLOAD_TTL_HOURS, and takes away bytes that nobody refers to; the next
 * call continues. An object taken away is looked at once more when the last URL for it has expired, so
 * that a late PUT leaves nothing behind.
 *
 * It keeps up with what is announced: a user has at most MAX_OPEN_UPLOADS_PER_USER (2,000) unfinished
 * uploads, which count until they are collected. Given up at once, they are collected an hour later: of
 * 12 users who do nothing else that is 24,000 an hour, which 400 a minute are. Beyond that they wait.
 */
export async function collectUploads(db: Db, env: Bindings, config: Config): Promise<void> {
  const store = openStore({ db, env, config, base: "" });
  const { objects, uploads } = store.collectAtOnce;
  /** The first by `order`, no more of them with a multipart upload than can be aborted. */
  const first = (where: SQL, order: SQL) => sql`(
    select id from (
      select id, sum(upload_id is not null) over (order by ${order}, id) as multipart from (
        select id, upload_id, ${order} from stored_object where ${where} order by ${order} limit ${objects}))
    where multipart <= ${uploads})`;
  const stale = first(
    sql`state = 'uploading' and created_at < ${ago(config.UPLOAD_TTL_HOURS, "hours")}`,
    sql`created_at`,
  );
  const { abandoned, unwanted } = await chain(db, {
    abandoned: giveUpObjects(db, store, sql`id in ${stale}`),
    files: db
      .update(weight)
      .set({ state: "aborted" })
      .where(
        and(
          eq(weight.state, "uploading"),
          // Those of the objects that were given up just now.
          sql`object_id in (select id from stored_object where state = 'aborted'
            and sweep_at > ${fromNow(UPLOAD_URL_SEC - 5)})`,
        ),
      ),
    unwanted: db
      .select({
        id: storedObject.id,
        objectKey: storedObject.objectKey,
        uploadId: storedObject.uploadId,
      })
      .from(storedObject)
      .where(sql`id in ${first(sql`state = 'aborted' and sweep_at <= ${now}`, sql`sweep_at`)}`),
  });
  if (abandoned.length + unwanted.length === 0) return;
  await removeBytes(store, [...abandoned, ...unwanted]);
  const removed = unwanted.map((object) => object.id);
  if (removed.length === 0) return;
  await chain(db, {
    objects: db
      .update(storedObject)
      .set({ state: "removed", uploadId: null })
      .where(inArray(storedObject.id, removed)),
    parts: db.delete(uploadPart).where(inArray(uploadPart.objectId, removed)),
    // What no weight names any more, not even a deleted one, was a purged task's.
    unnamed: db
      .delete(storedObject)
      .where(
        and(
          inArray(storedObject.id, removed),
          sql`not exists (select 1 from weight w where w.object_id = ${storedObject.id})`,
        ),
      ),
  });
}

/** Files deleted by themselves before a time, except those that a model version uses. */
const trashedBefore = (time: SQL) =>
  sql`x.deleted_at is not null and x.deleted_at < ${time}
    and not exists (select 1 from version_hold h where h.weight_id = x.id)`;

/**
 * A statement that finds the runs of the files that were deleted by themselves before a time, the first
 * to go first. `sound` is the condition that a run is not set aside.
 */
export const findTrashedFiles = (db: Db, time: SQL, sound: (taskId: SQL) => SQL) =>
  db.all<{ id: number }>(sql`
    select distinct task_id as id from (
      select x.task_id from weight x where ${trashedBefore(time)} and ${sound(sql`x.task_id`)}
      order by x.deleted_at limit ${FILES_AT_ONCE})`);

/** Takes away files of the runs `tasks` that were deleted by themselves before a time. */
export function collectTrashedFiles(db: Db, store: Store, tasks: SQL, time: SQL) {
  const files = sql`
    select x.id from weight x where x.task_id in ${tasks} and ${trashedBefore(time)}
    order by x.deleted_at limit ${FILES_AT_ONCE}`;
  return chain(db, {
    noted: audit(
      db,
      scheduledJob,
      "weight.purge",
      sql`select w.id, w.task_id, w.filename, w.sha256 from weight w where w.id in (${files})`,
      sql`json_object('task_id', changed.task_id, 'filename', changed.filename, 'sha256', changed.sha256)`,
    ),
    objects: db.run(sql`
      update stored_object set state = 'aborted', sweep_at = ${removableAt(store, false)}
      where state = 'complete' and id in (select object_id from weight where id in (${files}))
        and not exists (select 1 from weight w where w.object_id = stored_object.id
          and w.id not in (${files}) and w.state <> 'aborted')
        and not exists (select 1 from version_hold h where h.object_id = stored_object.id)`),
    files: db.run(sql`delete from weight where id in (${files})`),
  });
}

/** Statements that take away files of a purged run, as many as one call may. */
export function collectFilesOf(db: Db, store: Store, taskId: number) {
  const files = sql`select id from weight where task_id = ${taskId} order by id limit ${FILES_AT_ONCE}`;
  return {
    objects: db.run(sql`
      update stored_object set state = 'aborted',
        sweep_at = iif(state = 'uploading', ${removableAt(store, true)}, ${removableAt(store, false)})
      where state <> 'aborted' and id in (select object_id from weight where id in (${files}))
        and not exists (select 1 from weight w where w.object_id = stored_object.id
          and w.task_id <> ${taskId} and w.state <> 'aborted')
        and not exists (select 1 from version_hold h where h.object_id = stored_object.id)`),
    files: db.run(sql`delete from weight where id in (${files})`),
  };
}
