import { and, eq, sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { storedObject, uploadPart } from "../platform/db/schema.ts";

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
