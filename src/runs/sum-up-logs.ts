import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { sumUp } from "../metrics/sum-up.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { FORM } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { closeChunk } from "./attempts.ts";

/*
 * A chunk that takes points in keeps of each heartbeat what it came to, at a cost that depends on what is
 * new alone. Once the next chunk has begun, or the run has ended, it is summed up for good, out of its
 * points and behind an answer.
 */

/** Chunks that one call sums up, of at most 128 kB of points each but for a single heartbeat's. */
const AT_ONCE = 20;
const MOST_BYTES = 4_000_000;
const MOST_CALLS = 10;

type Row = { taskId: number; attempt: number; chunk: number; arrival: number; points: string };

/**
 * Sums chunks up, but those that have taken more in meanwhile. An attempt whose open chunk is one of them
 * begins the next with what comes after.
 */
async function sumUpRows(db: Db, rows: Row[]): Promise<void> {
  if (rows.length === 0) return;
  const parts: Record<string, Part> = {};
  for (const [n, { taskId, attempt, chunk, arrival, points }] of rows.entries()) {
    const { summary, blocks } = sumUp(JSON.parse(points));
    const ofAttempt = sql`task_id = ${taskId} and attempt = ${attempt}`;
    parts[`chunk${n}`] = db.run(sql`
      update log_chunk set form = ${FORM.whole}, summary = ${summary}, blocks = ${blocks}
      where ${ofAttempt} and chunk = ${chunk} and arrival = ${arrival}`);
    parts[`attempt${n}`] = ifChanged(`chunk${n}`, (changed) =>
      closeChunk(db, { taskId, attempt, chunk }, changed),
    );
  }
  await chain(db, parts);
}

/** The first of some chunks, at most about 4 MB of points, at least one. */
const bounded = (chunks: SQL) => sql`
  select task_id as "taskId", attempt, chunk, arrival, points from (
    select *, sum(size) over (order by task_id, attempt, chunk) as upto,
      row_number() over (order by task_id, attempt, chunk) as nth
    from (${chunks}))
  where upto <= ${MOST_BYTES} or nth = 1`;

/** The next chunks of an attempt to sum up: those that take in nothing more, or all once it is `over`. */
const waiting = (taskId: number, attempt: number, over: boolean) =>
  bounded(sql`
    select c.* from task_attempt a
    join log_chunk c on c.task_id = a.task_id and c.attempt = a.attempt and c.chunk > coalesce((
      select b.chunk from log_chunk b
      where b.task_id = a.task_id and b.attempt = a.attempt and b.form <> ${FORM.open}
      order by b.chunk desc limit 1), 0)
    where a.task_id = ${taskId} and a.attempt = ${attempt} and (${over ? 1 : 0} or c.chunk < a.open_chunk)
    order by c.chunk limit ${AT_ONCE}`);

/** Sums up the chunks of an attempt that take in nothing more; all of them once it is `over`. */
export async function sumUpAttempt(
  db: Db,
  taskId: number,
  attempt: number,
  over = false,
): Promise<void> {
  for (let calls = 0; calls < MOST_CALLS; calls++) {
    const rows = await db.all<Row>(waiting(taskId, attempt, over));
    await sumUpRows(db, rows);
    if (rows.length < AT_ONCE) return;
  }
}

/** Lets this happen behind the answer; where it fails, the next heartbeat or the run's end does it. */
export const sumUpLater = (c: Context<App>, done: Promise<void>) =>
  c.var.later(
    done.catch((error: unknown) => {
      console.error("a chunk is not summed up yet", error instanceof Error ? error.name : "");
    }),
  );

/** Chunks of an older release that a minute sums up. */
const OLD_A_MINUTE = 40;

/**
 * Gives chunks of an older release what curves read of them now; until then their means are coarser. Answers
 * the tasks that they are of: none, once all are done.
 */
export async function sumUpOld(db: Db): Promise<number[]> {
  const rows = await db.all<Row>(
    bounded(sql`
      select * from log_chunk where form = ${sql.raw(String(FORM.old))}
      order by task_id, attempt, chunk limit ${OLD_A_MINUTE}`),
  );
  await sumUpRows(db, rows);
  return [...new Set(rows.map(({ taskId }) => taskId))];
}
