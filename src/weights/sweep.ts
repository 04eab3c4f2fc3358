import { and, eq, inArray, sql } from "drizzle-orm";
import type { Db } from "../db/client.ts";
import { storedObject, uploadPart, weight } from "../db/schema.ts";
import type { Bindings, Config } from "../env.ts";
import { discard, openStore, sweepTime } from "./store.ts";

/** Objects of each kind a call: two subrequests each with S3, of the 50 that a Worker has. */
const AT_ONCE = 5;

/**
 * Gives up uploads older than UPLOAD_TTL_HOURS, and takes away bytes that nobody refers to. At
 * most 10 objects a call; the next one goes on. An object taken away is looked at once more when
 * the last URL for it has expired, so that a late PUT leaves nothing behind.
 */
export async function sweepUploads(db: Db, env: Bindings, config: Config): Promise<void> {
  const store = openStore({ db, env, config, base: "" });
  const columns = {
    id: storedObject.id,
    objectKey: storedObject.objectKey,
    uploadId: storedObject.uploadId,
  };
  const stale = sql`(
    select id from stored_object where state = 'uploading'
      and created_at < strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') - ${config.UPLOAD_TTL_HOURS / 24})
    order by created_at limit ${AT_ONCE})`;
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
          sql`object_id in (select id from stored_object where state = 'aborted' and sweep_at > ${nowText})`,
        ),
      ),
    db
      .select(columns)
      .from(storedObject)
      .where(and(eq(storedObject.state, "aborted"), sql`sweep_at <= ${nowText}`))
      .orderBy(storedObject.sweepAt)
      .limit(AT_ONCE),
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

const nowText = sql`strftime('%Y-%m-%dT%H:%M:%fZ','now')`;
