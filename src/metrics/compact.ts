import { sql } from "drizzle-orm";
import type { Context } from "hono";
import { chain, ifChanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { FORM } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { type Bucket, bucketsOf, mergeAll, packBucket, type StoredBucket } from "./buckets.ts";
import type { StoredSegment } from "./points.ts";
import { type AttemptLogs, pointsOfSegments } from "./read.ts";

/*
 * Heartbeats store their points as rows of their own, at a cost that depends on what is new alone. Once an
 * attempt has enough of these open rows, they become one chunk with what curves read of it, behind the
 * answer to the heartbeat that was one too many.
 */

/** Points of a chunk, and bytes of them, before the next one is begun. */
const CHUNK_POINTS = 1000;
const CHUNK_BYTES = 128 * 1024;
/** Heartbeats that stay rows of their own: each is read by whoever looks at the run meanwhile. */
const OPEN_ROWS = 64;
/** What one call takes up: the rest waits for the next one. */
const MOST_ROWS = 400;
const MOST_BYTES = 3_000_000;

/** The open part of an attempt, as its row tells it. */
export type Open = { openChunk: number; openCount: number; openSize: number; received: number };

/** Whether an attempt has enough open rows to make a chunk of them. */
export const isDue = ({ openChunk, openCount, openSize, received }: Open): boolean =>
  openCount >= CHUNK_POINTS || openSize >= CHUNK_BYTES || received - openChunk >= OPEN_ROWS;

type Row = {
  chunk: number;
  arrival: number;
  firstStep: number;
  lastStep: number;
  count: number;
  size: number;
  form: number;
  isOpen: number;
  points: string;
};

/** What curves read of some segments: of each metric its blocks, and all of them as one. */
export function sumUp(segments: StoredSegment[]) {
  const metrics = [...new Set(segments.flatMap(({ m }) => m))];
  const blocks: [string, Bucket[]][] = [];
  for (const metric of metrics) {
    const found = bucketsOf(pointsOfSegments(segments, metric));
    if (found.length > 0) blocks.push([metric, found]);
  }
  const text = (entries: [string, StoredBucket | StoredBucket[]][]) =>
    JSON.stringify(Object.fromEntries(entries));
  return {
    summary: text(blocks.map(([metric, found]) => [metric, packBucket(mergeAll(found))])),
    blocks: text(blocks.map(([metric, found]) => [metric, found.map(packBucket)])),
  };
}

/** Rows that become one chunk each, in their order. */
function groupsOf(rows: Row[]): Row[][] {
  const groups: Row[][] = [];
  let count = 0;
  let size = 0;
  for (const row of rows) {
    const fits = count + row.count <= CHUNK_POINTS && size + row.size <= CHUNK_BYTES;
    if (!fits || groups.length === 0) {
      groups.push([]);
      count = 0;
      size = 0;
    }
    groups.at(-1)?.push(row);
    count += row.count;
    size += row.size;
  }
  return groups;
}

/** One chunk in the place of a group of rows, unless somebody else was first. */
async function compactGroup(db: Db, taskId: number, attempt: number, group: Row[]) {
  const [first] = group;
  const last = group.at(-1);
  if (!first || !last) return;
  const segments = group.flatMap(({ points }): StoredSegment[] => JSON.parse(points));
  const { summary, blocks } = sumUp(segments);
  const sum = (column: "count" | "size", rows: Row[]) =>
    rows.reduce((total, row) => total + row[column], 0);
  const open = group.filter((row) => row.isOpen);
  const isOurs = sql`task_id = ${taskId} and attempt = ${attempt}`;
  await chain(db, {
    merged: db.run(sql`
      update log_chunk set arrival = ${last.arrival}, form = ${FORM.whole},
        first_step = ${Math.min(...group.map((row) => row.firstStep))},
        last_step = ${Math.max(...group.map((row) => row.lastStep))},
        count = ${sum("count", group)}, size = ${sum("size", group)}, summary = ${summary}, blocks = ${blocks},
        points = ${`[${group.map(({ points }) => points.slice(1, -1)).join(",")}]`}
      where ${isOurs} and chunk = ${first.chunk} and arrival = ${first.arrival} and form = ${first.form}
        and (select count(*) from log_chunk where ${isOurs} and chunk between ${first.chunk} and ${last.chunk}) = ${group.length}`),
    // What is open begins behind these rows, and has shrunk by those of them that were.
    noted: ifChanged("merged", (changed) =>
      db.run(sql`
        update task_attempt set open_chunk = max(open_chunk, ${last.arrival + 1}),
          open_count = max(0, open_count - ${sum("count", open)}), open_size = max(0, open_size - ${sum("size", open)})
        where ${isOurs} and ${changed}`),
    ),
    gone: ifChanged("noted", (changed) =>
      db.run(sql`
        delete from log_chunk where ${isOurs} and chunk > ${first.chunk} and chunk <= ${last.chunk} and ${changed}`),
    ),
  });
}

/**
 * Makes chunks of an attempt's open rows; the last chunk takes more in while it is short. Whoever comes
 * second finds the rows gone and changes nothing.
 */
export async function compact(db: Db, taskId: number, attempt: number): Promise<void> {
  const rows = await db.all<Row>(sql`
    select chunk, arrival, first_step as "firstStep", last_step as "lastStep", count, size, form, points, "isOpen" from (
      select c.*, c.chunk >= a.open_chunk as "isOpen", sum(c.size) over (order by c.chunk) as upto, row_number() over (order by c.chunk) as nth
      from task_attempt a
      join log_chunk c on c.task_id = a.task_id and c.attempt = a.attempt and c.chunk >= coalesce((
        select max(b.chunk) from log_chunk b
        where b.task_id = a.task_id and b.attempt = a.attempt and b.chunk < a.open_chunk), 0)
      where a.task_id = ${taskId} and a.attempt = ${attempt}
      order by c.chunk limit ${MOST_ROWS})
    where upto <= ${MOST_BYTES} or nth <= 2 order by chunk`);
  for (const group of groupsOf(rows)) {
    // A chunk that takes nothing more in stays as it is.
    if (group.every(({ form }) => form === FORM.whole)) continue;
    await compactGroup(db, taskId, attempt, group);
  }
}

/** Makes chunks of all that is open of a run that has ended. */
export async function compactRun(
  db: Db,
  taskId: number,
  attempts: Pick<AttemptLogs, "attempt" | "openCount">[],
): Promise<void> {
  for (const { attempt, openCount } of attempts)
    if (openCount > 0) await compact(db, taskId, attempt);
}

/** Lets this happen behind the answer; where it fails, the next heartbeat or the run's end does it. */
export const compactLater = (c: Context<App>, done: Promise<void>) =>
  c.var.later(
    done.catch((error: unknown) => {
      console.error("points stay apart for now", error instanceof Error ? error.name : "");
    }),
  );

/** Chunks of an older release that a minute sums up: 128 kB of points each, at most. */
const OLD_A_MINUTE = 40;

/**
 * Gives chunks of an older release what curves read of them now; until then their means are coarser. Answers
 * the tasks that they are of: none, once all are done.
 */
export async function sumUpOld(db: Db): Promise<number[]> {
  const rows = await db.all<Row & { taskId: number; attempt: number }>(sql`
    select c.task_id as "taskId", c.attempt, c.chunk, c.arrival, c.first_step as "firstStep", c.last_step as "lastStep",
      c.count, c.size, c.form, c.points, coalesce(c.chunk >= a.open_chunk, 0) as "isOpen"
    from (select * from log_chunk where form = ${sql.raw(String(FORM.old))} order by task_id, attempt, chunk limit ${OLD_A_MINUTE}) c
    left join task_attempt a on a.task_id = c.task_id and a.attempt = c.attempt`);
  for (const { taskId, attempt, ...row } of rows) await compactGroup(db, taskId, attempt, [row]);
  return [...new Set(rows.map(({ taskId }) => taskId))];
}
