import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { sumUp } from "../metrics/sum-up.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { FORM } from "../platform/db/schema.ts";
import type { JobFaults } from "../platform/faults.ts";
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

/** The next chunks, of the attempts `a` under a condition, behind those of their attempt that are summed up. */
const waiting = (condition: SQL) =>
  bounded(sql`
    select c.* from task_attempt a
    join log_chunk c on c.task_id = a.task_id and c.attempt = a.attempt and c.chunk > coalesce((
      select b.chunk from log_chunk b
      where b.task_id = a.task_id and b.attempt = a.attempt and b.form <> ${FORM.open}
      order by b.chunk desc limit 1), 0)
    where ${condition} order by c.attempt, c.chunk limit ${AT_ONCE}`);

/** Sums up the chunks of an attempt that take in nothing more. */
export async function sumUpClosed(db: Db, taskId: number, attempt: number): Promise<void> {
  const closed = sql`a.task_id = ${taskId} and a.attempt = ${attempt} and c.chunk < a.open_chunk`;
  await sumUpRows(db, await db.all<Row>(waiting(closed)));
}

/** Sums up all chunks of a run that has ended. */
export async function sumUpRun(db: Db, taskId: number): Promise<void> {
  for (let calls = 0; calls < MOST_CALLS; calls++) {
    const rows = await db.all<Row>(waiting(sql`a.task_id = ${taskId}`));
    if (rows.length === 0) return;
    await sumUpRows(db, rows);
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
export async function sumUpOld(db: Db, faults: JobFaults): Promise<number[]> {
  const rows = await db.all<Row>(
    bounded(sql`
      select * from log_chunk where form = ${sql.raw(String(FORM.old))} and ${faults.sound(sql`task_id`)}
      order by task_id, attempt, chunk limit ${OLD_A_MINUTE}`),
  );
  const ids = [...new Set(rows.map(({ taskId }) => taskId))];
  await faults.each(ids, (some) =>
    sumUpRows(
      db,
      rows.filter(({ taskId }) => some.includes(taskId)),
    ),
  );
  return ids;
}
