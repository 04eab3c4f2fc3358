/*
 * Files whose bytes come before their run is named, as Trackio's client sends them. Until then each is an
 * unfinished upload of its user's, which the collector takes away after UPLOAD_TTL_HOURS.
 */
import { sql } from "drizzle-orm";
import type { Context } from "hono";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { refuse } from "../platform/http/problem.ts";
import { storeOf } from "./bucket/open.ts";
import { OBJECT_PREFIX } from "./bucket/store.ts";
import type { PointAtFinal } from "./final.ts";
import { dropObject, type Incoming, keepFile } from "./receive.ts";

/** Stores bytes of no run yet; gives the name by which nameLoose() finds them. Throws ApiError 403. */
export async function receiveLoose(c: Context<App>, bytes: Uint8Array<ArrayBuffer>) {
  const { db, auth, config } = c.var;
  const name = `${OBJECT_PREFIX}0/${crypto.randomUUID()}`;
  const more = { files: 1, file_bytes: bytes.length, uploads: 1 };
  const [object] = await db.all<{ id: number }>(sql`
    insert into stored_object (object_key, task_id, user_id, size, sha256)
    select ${name}, 0, ${auth.userId}, ${bytes.length}, ${await sha256Hex(bytes)}
    where ${roomFor(config, auth.userId, more)} returning id`);
  if (!object)
    throw (
      (await explainRoom(db, config, auth.userId, more)) ?? refuse("conflict", { case: "room" })
    );
  try {
    await storeOf(c).put(name, new Blob([bytes]).stream(), bytes.length);
  } catch (error) {
    await dropObject(c, object.id);
    throw error;
  }
  return name;
}

/**
 * Makes the file of a run out of bytes that came before; false where the caller has none of that name, since
 * they were named before or taken away. Throws ApiError 403, 404.
 */
export async function nameLoose(
  c: Context<App>,
  pointAtFinal: PointAtFinal,
  name: string,
  file: Incoming,
): Promise<boolean> {
  const { db, auth } = c.var;
  const [object] = await db.all<{ id: number; size: number; sha256: string }>(sql`
    update stored_object set task_id = ${file.taskId}
    where object_key = ${name} and user_id = ${auth.userId} and state = 'uploading'
      and task_id in (0, ${file.taskId}) and object_key glob ${`${OBJECT_PREFIX}0/*`}
    returning id, size, sha256`);
  if (!object) return false;
  await keepFile(c, pointAtFinal, file, {
    ...object,
    objectKey: name,
    reserved: object.size,
  });
  return true;
}
