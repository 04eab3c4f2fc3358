import { and, eq, inArray, type SQL, sql } from "drizzle-orm";
import type { Bindings, Config } from "../env.ts";
import type { Db } from "../platform/db/client.ts";
import { storedObject, uploadPart, weight } from "../platform/db/schema.ts";
import { ago, fromNow, now } from "../platform/db/time.ts";
import { discard, openStore, sweepTime, UPLOAD_URL_SEC } from "./store.ts";

/**
 * Gives up uploads older than UPLOAD_TTL_HOURS, and takes away bytes that nobody refers to; the next
 * call goes on. An object taken away is looked at once more when the last URL for it has expired, so
 * that a late PUT leaves nothing behind.
 *
 * It keeps up with what is announced: a user has at most MAX_OPEN_UPLOADS_PER_USER (2,000) unfinished
 * uploads, which count until they are swept. Given up at once, they are swept an hour later: of 12
 * users who do nothing else that is 24,000 an hour, which 400 a minute are. Beyond that they wait.
 */
export async function sweepUploads(db: Db, env: Bindings, config: Config): Promise<void> {
  const store = openStore({ db, env, config, base: "" });
  const columns = {
    id: storedObject.id,
    objectKey: storedObject.objectKey,
    uploadId: storedObject.uploadId,
  };
  const { objects, uploads } = store.sweepsAtOnce;
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
  const [abandoned, , unwanted] = await db.batch([
    db
      .update(storedObject)
      .set({ state: "aborted", sweepAt: sweepTime(store, true) })
      .where(sql`id in ${stale}`)
      .returning(columns),
    db
      .update(weight)
      .set({ state: "aborted" })
      .where(
        and(
          eq(weight.state, "uploading"),
          // Those given up by the statement before.
          sql`object_id in (select id from stored_object where state = 'aborted'
            and sweep_at > ${fromNow(UPLOAD_URL_SEC - 5)})`,
        ),
      ),
    db
      .select(columns)
      .from(storedObject)
      .where(sql`id in ${first(sql`state = 'aborted' and sweep_at <= ${now}`, sql`sweep_at`)}`),
  ]);
  if (abandoned.length + unwanted.length === 0) return;
  await discard(store, [...abandoned, ...unwanted]);
  const done = unwanted.map((object) => object.id);
  if (done.length === 0) return;
  await db.batch([
    db
      .update(storedObject)
      .set({ state: "removed", uploadId: null })
      .where(inArray(storedObject.id, done)),
    db.delete(uploadPart).where(inArray(uploadPart.objectId, done)),
    // What no weight names any more, not even a deleted one, was a purged task's.
    db
      .delete(storedObject)
      .where(
        and(
          inArray(storedObject.id, done),
          sql`not exists (select 1 from weight w where w.object_id = ${storedObject.id})`,
        ),
      ),
  ]);
}
