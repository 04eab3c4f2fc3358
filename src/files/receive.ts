/*
 * Files that come through the Worker without their size or hash having been announced, as other trackers'
 * clients send them: the object is made first, so that nothing stays in the bucket that no row names, and
 * the file when its bytes are there and hashed.
 */
import { and, eq, isNull, or, sql } from "drizzle-orm";
import type { Context } from "hono";
import { audit } from "../platform/audit/audit.ts";
import { readable, reportable, reportedOnce } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { storedObject, trainingTask, uploadPart, type weightKinds } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { hex } from "../platform/http/encode.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { storeOf } from "./bucket/open.ts";
import { OBJECT_PREFIX, type Store } from "./bucket/store.ts";
import { giveUpObjects, giveUpReceived, removeBytes } from "./collect.ts";
import type { PointAtFinal } from "./final.ts";
import { SINGLE_PUT_LIMIT } from "./parts.ts";
import { describeBytes } from "./verify.ts";

/** A file of a run as its client names it. */
export type Incoming = {
  taskId: number;
  filename: string;
  kind: (typeof weightKinds)[number];
  step?: number | null;
  group?: string | null;
  prompt?: string | null;
};

/** A body whose length is not known is held in memory: R2 takes none of unknown length. */
const MOST_UNKNOWN = 8 * 1024 * 1024;
/** Bytes from the beginning that are kept while a file streams through: most headers are in them. */
const HEAD_BYTES = 65_536;

/** A task that has not begun is at attempt 0; its first files belong to attempt 1. */
const current = sql`max(${trainingTask.attempt}, 1)`;

/**
 * Makes the object of a file that is about to come. `reserve` is its size in bytes, or what is likely of it.
 * Throws ApiError 403 where the user's bounds leave no room, 404, 409 where the run was taken away.
 */
export async function openObject(c: Context<App>, taskId: number, reserve: number) {
  const { db, auth, config } = c.var;
  const task = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt));
  const objectKey = `${OBJECT_PREFIX}${taskId}/${crypto.randomUUID()}`;
  const more = { files: 1, file_bytes: reserve, uploads: 1 };
  const { made, seen: found } = await chain(db, {
    made: db.all<{ id: number }>(sql`
      insert into stored_object (object_key, task_id, user_id, size, sha256)
      select ${objectKey}, id, user_id, ${reserve}, '' from training_task
      where ${and(task, reportable(auth))} and ${roomFor(config, sql`training_task.user_id`, more)}
      returning id`),
    seen: db
      .select({
        userId: trainingTask.userId,
        attempt: trainingTask.attempt,
        mine: sql<number>`${reportable(auth)}`,
        once: sql<number>`${reportedOnce(auth)}`,
      })
      .from(trainingTask)
      .where(and(task, or(readable(auth), reportedOnce(auth)))),
  });
  const [object] = made;
  if (object) return { id: object.id, objectKey };
  const [seen] = found;
  if (!seen?.mine && seen?.once)
    throw refuse("superseded", {
      case: "upload",
      attempt: Math.max(0, seen.attempt - 1),
      current: seen.attempt,
    });
  if (!seen?.mine) throw notFound("own-task", { id: taskId });
  throw (await explainRoom(db, config, seen.userId, more)) ?? refuse("conflict", { case: "room" });
}

/** Gives up an object whose bytes did not come, or are not wanted. */
export async function dropObject(c: Context<App>, objectId: number) {
  const { db, later } = c.var;
  const store = storeOf(c);
  const { objects } = await chain(db, {
    objects: giveUpObjects(
      db,
      store,
      and(eq(storedObject.id, objectId), eq(storedObject.state, "uploading")),
    ),
  });
  if (objects.length) later(removeBytes(store, objects));
}

/** A stream that hashes what passes through it, and keeps its first bytes. */
function hashing() {
  const digest = new crypto.DigestStream("SHA-256");
  const writer = digest.getWriter();
  const head: Uint8Array[] = [];
  let kept = 0;
  const through = new TransformStream<Uint8Array, Uint8Array>({
    async transform(chunk, controller) {
      if (kept < HEAD_BYTES) {
        head.push(chunk.slice(0, HEAD_BYTES - kept));
        kept += Math.min(chunk.length, HEAD_BYTES - kept);
      }
      await writer.write(chunk);
      controller.enqueue(chunk);
    },
    flush: () => writer.close(),
  });
  return {
    through,
    async result() {
      const first = new Uint8Array(kept);
      let at = 0;
      for (const chunk of head) {
        first.set(chunk, at);
        at += chunk.length;
      }
      return { sha256: hex(new Uint8Array(await digest.digest)), first };
    },
  };
}

/** A body that came without its length, whole. Throws ApiError 413 beyond MOST_UNKNOWN. */
async function readShort(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MOST_UNKNOWN)
      throw refuse("too-large", { case: "unknown-length", limit: MOST_UNKNOWN });
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const empty = () => new Blob([]).stream();

/**
 * Stores the body of a request as a file of a run. The bytes are hashed on their way into the bucket; a body
 * of known length is never held whole. Throws ApiError 403, 404, 409, 413.
 */
export async function receiveFile(
  c: Context<App>,
  pointAtFinal: PointAtFinal,
  file: Incoming,
): Promise<void> {
  const length = c.req.header("Content-Length");
  const given: ReadableStream<Uint8Array> = c.req.raw.body ?? empty();
  const short = length === undefined || !/^\d+$/.test(length) ? await readShort(given) : undefined;
  const size = short?.length ?? Number(length);
  if (size > SINGLE_PUT_LIMIT)
    throw refuse("too-large", { case: "file", limit: SINGLE_PUT_LIMIT, size });
  const object = await openObject(c, file.taskId, size);
  const { through, result } = hashing();
  try {
    const body: ReadableStream<Uint8Array> = short ? new Blob([short]).stream() : given;
    await storeOf(c).put(object.objectKey, body.pipeThrough(through), size);
  } catch (error) {
    await dropObject(c, object.id);
    throw error;
  }
  await keepFile(c, pointAtFinal, file, { ...object, size, reserved: size, ...(await result()) });
}

/** What arrived: its object, the bytes that were reserved for it, and its first bytes where they are known. */
type Arrived = {
  id: number;
  objectKey: string;
  size: number;
  reserved: number;
  sha256: string;
  first?: Uint8Array;
};

/** Reads a range of an object, from its first bytes where these have it. */
const readFrom =
  (store: Store, { objectKey, first }: Arrived) =>
  async (offset: number, length: number) =>
    first && offset + length <= first.length
      ? first.slice(offset, offset + length)
      : store.read(objectKey, offset, length);

/**
 * Makes the file of an object whose bytes are in the bucket and hashed. Bytes that the ledger has already are
 * not kept twice, and the same bytes under the same name again are the same file, as of now. Throws ApiError 403.
 */
export async function keepFile(
  c: Context<App>,
  pointAtFinal: PointAtFinal,
  file: Incoming,
  arrived: Arrived,
): Promise<void> {
  const { db, auth, config, later } = c.var;
  const store = storeOf(c);
  const { facts, mediaType } = await describeBytes(
    readFrom(store, arrived),
    file.filename,
    arrived.size,
  );
  const { id, size, sha256 } = arrived;
  const { taskId, kind, filename, step = null, group = null, prompt = null } = file;
  const mine = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), reportable(auth));
  const more = { files: 1, file_bytes: Math.max(0, size - arrived.reserved) };
  const same = sql`task_id = ${taskId} and kind = ${kind} and filename = ${filename} and sha256 = ${sha256}
    and size = ${size} and deleted_at is null and state <> 'aborted'
    and attempt = (select ${current} from training_task where ${mine})`;
  // Whoever sends the bytes has them: here nobody gets a file by its hash. CROSS JOIN keeps the order of the loops.
  const held = sql`(
    select o.id from stored_object o
      cross join weight h on h.object_id = o.id and h.state = 'complete' and h.deleted_at is null
    where o.sha256 = ${sha256} and o.size = ${size} and o.state = 'complete' and o.verified = 'sha256'
      and o.id <> ${id} limit 1)`;
  // What the trigger counts as uploading is what was reserved: the size changes with the state alone.
  const isOpen = sql`id = ${id} and state = 'uploading'`;
  const {
    file: made,
    again,
    objects,
  } = await chain(db, {
    object: db
      .update(storedObject)
      .set({
        state: "complete",
        verified: "sha256",
        size,
        sha256,
        mediaType,
        uploadId: null,
        ...facts,
      })
      .where(
        sql`${isOpen} and ${held} is null and not exists (select 1 from weight where ${same} and state = 'complete')
          and exists (select 1 from training_task where ${mine} and ${roomFor(config, sql`training_task.user_id`, more)})`,
      ),
    again: db.all<{ id: number }>(sql`
      update weight set completed_at = ${now}, state = 'complete',
        object_id = iif(state = 'complete', object_id, coalesce(${held}, ${id}))
      where ${same} and (state = 'complete' or ${held} is not null
        or exists (select 1 from stored_object where id = ${id} and state = 'complete'))
      returning id`),
    file: db.all<{ id: number }>(sql`
      insert into weight (task_id, attempt, object_id, key_id, kind, filename, size, sha256, state, completed_at, step, "group", prompt)
      select id, ${current}, coalesce(${held}, ${id}), ${auth.keyId}, ${kind}, ${filename}, ${size}, ${sha256},
        'complete', ${now}, ${step}, ${group}, ${prompt}
      from training_task where ${mine} and not exists (select 1 from weight where ${same})
        and (${held} is not null or exists (select 1 from stored_object where id = ${id} and state = 'complete'))
        and ${roomFor(config, sql`training_task.user_id`, more)}
      returning id`),
    noted: ifChanged("file", (changed) =>
      audit(db, auth, "weight.complete", sql`select id from weight where ${same} and ${changed}`, {
        task_id: taskId,
        filename,
      }),
    ),
    parts: db.delete(uploadPart).where(eq(uploadPart.objectId, id)),
    // Complete already, or the user has no room.
    objects: giveUpReceived(db, sha256, isOpen),
    final: pointAtFinal(db, kind === "final" ? taskId : null),
  });
  if (objects.length) later(removeBytes(store, objects));
  if (made.length || again.length) return;
  throw (
    (await explainRoom(
      db,
      config,
      sql`(select user_id from training_task where id = ${taskId})`,
      more,
    )) ?? notFound("own-task", { id: taskId })
  );
}
