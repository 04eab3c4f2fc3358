import { eq, sql } from "drizzle-orm";
import { type ChunkOutline, lossNames, readLogs } from "../metrics/read.ts";
import { settle } from "../metrics/settle.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { settleAgain, settleRun } from "./states.ts";
import { sumUpOld, sumUpRun } from "./sum-up-logs.ts";

/** Bounds of a minute. */
const TASKS_A_MINUTE = 20;
const PAGES_A_MINUTE = 25;
const CHUNKS_A_PAGE = 400;

/**
 * Finishes what finishing left: very long runs, runs with many metrics, and runs whose missing log
 * points came after their end. Bounded; the rest waits for the next minute.
 */
export async function settleLogs(
  db: Db,
  faults: JobFaults = faultsOf(db, "settleLogs"),
): Promise<number> {
  const waiting = await db
    .select({ id: trainingTask.id, settleAt: trainingTask.settleAt })
    .from(trainingTask)
    .where(
      sql`settle_at is not null and status not in ('pending', 'running') and deleted_at is null and ${faults.sound(sql`id`)}`,
    )
    .orderBy(trainingTask.settleAt)
    .limit(TASKS_A_MINUTE);
  let pages = 0;
  let settled = 0;
  const settleOne = async (task: (typeof waiting)[number]) => {
    await sumUpRun(db, task.id);
    const outlines: ChunkOutline[] = [];
    let read: Awaited<ReturnType<typeof readLogs>> = null;
    let whole = false;
    while (!whole && pages < PAGES_A_MINUTE) {
      const last = outlines.at(-1);
      const next = await readLogs(db, eq(trainingTask.id, task.id), task.id, lossNames, {
        limit: CHUNKS_A_PAGE,
        after: last && { attempt: last.attempt, chunk: last.chunk },
      });
      pages++;
      if (!next) break;
      read ??= next;
      outlines.push(...next.outlines);
      whole = next.outlines.length < CHUNKS_A_PAGE;
    }
    // A run that no minute is long enough for still gets its loss and summaries.
    if (!read) return;
    const figures = settle({ ...read, outlines, whole });
    await chain(db, {
      // Points that arrived while this was computed set a new time, and are taken next minute.
      settled: settleRun(db, task, { finalLoss: figures.finalLoss, figures }),
      summaries: ifChanged("settled", (changed) =>
        figures.summaryStatement(db, task.id, changed, Number.POSITIVE_INFINITY),
      ),
    });
    settled++;
  };
  for (const task of waiting) {
    if (pages >= PAGES_A_MINUTE) break;
    await faults.each([task.id], () => settleOne(task));
  }
  return settled;
}

/** Brings points that an older release stored into today's form, and has the figures of their runs drawn anew. */
export async function renewOldLogs(
  db: Db,
  faults: JobFaults = faultsOf(db, "renewOldLogs"),
): Promise<void> {
  const ids = await sumUpOld(db, faults);
  if (ids.length > 0) await settleAgain(db, ids);
}
