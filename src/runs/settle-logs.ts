import { eq, sql } from "drizzle-orm";
import {
  type AttemptLogs,
  type ChunkOutline,
  type ChunkPlace,
  isComplete,
  lossNames,
  metricOf,
  readLogs,
  readOutlines,
} from "../metrics/read.ts";
import { settle } from "../metrics/settle.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { byTelling } from "../shared/metrics.ts";
import { reopenMirrored } from "./mirrored.ts";
import { settleAgain, settleRun } from "./states.ts";
import { sumUpOld, sumUpRun } from "./sum-up-logs.ts";

/** Bounds of a minute. */
const TASKS_A_MINUTE = 20;
const PAGES_A_MINUTE = 25;
const CHUNKS_A_PAGE = 400;
/** Metrics that one page reads, and those of which a run gets the best that is not read point by point. */
const METRICS_A_PAGE = 8;
const METRICS_OF_LONG = 16;

/** A run's metrics besides the loss of which the best is looked for. */
function furtherMetrics(attempts: AttemptLogs[]): string[] {
  const loss = metricOf(attempts, lossNames);
  const names = new Set(attempts.flatMap(({ summaries }) => Object.keys(summaries)));
  names.delete(loss);
  return byTelling([...names]).slice(0, METRICS_OF_LONG);
}

const placeOf = ({ attempt, chunk }: ChunkOutline): ChunkPlace => ({ attempt, chunk });

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
  /** Every page of something; null where the minute has no more pages for it. */
  const readAll = async <T>(read: (after?: T) => Promise<T[]>): Promise<T[] | null> => {
    const all: T[] = [];
    while (pages < PAGES_A_MINUTE) {
      pages++;
      const next = await read(all.at(-1));
      all.push(...next);
      if (next.length < CHUNKS_A_PAGE) return all;
    }
    return null;
  };
  const settleOne = async (task: (typeof waiting)[number]) => {
    await sumUpRun(db, task.id);
    const isFirst = pages === 0;
    const outlines: ChunkOutline[] = [];
    let read: Awaited<ReturnType<typeof readLogs>> = null;
    const all = await readAll<ChunkOutline>(async (last) => {
      const next = await readLogs(db, eq(trainingTask.id, task.id), task.id, lossNames, {
        ...{ limit: CHUNKS_A_PAGE, after: last && placeOf(last) },
      });
      read ??= next;
      outlines.push(...(next?.outlines ?? []));
      return next?.outlines ?? [];
    });
    const logs = read as Awaited<ReturnType<typeof readLogs>>;
    if (!logs) return;
    const byMetric = new Map<string, ChunkOutline[]>();
    const further =
      all && !isComplete(logs.attempts, logs.raw) ? furtherMetrics(logs.attempts) : [];
    let isRead = all !== null;
    for (let n = 0; n < further.length && isRead; n += METRICS_A_PAGE) {
      const group = further.slice(n, n + METRICS_A_PAGE);
      const rows = await readAll<ChunkOutline[]>((last) =>
        readOutlines(db, task.id, group, {
          ...{ limit: CHUNKS_A_PAGE, after: last?.[0] && placeOf(last[0]) },
        }),
      );
      isRead = rows !== null;
      for (const [at, metric] of group.entries())
        if (rows)
          byMetric.set(
            metric,
            rows.flatMap((row) => row[at] ?? []),
          );
    }
    // The next minute begins with it. One that no minute is long enough for gets what could be read.
    if (!isRead && !isFirst) return;
    const figures = settle({ ...logs, outlines, whole: all !== null }, byMetric);
    await chain(db, {
      // Points that arrived while this was computed set a new time, and are taken next minute.
      settled: settleRun(db, task, { finalLoss: figures.finalLoss, figures }),
      summaries: ifChanged("settled", (changed) => figures.summaryStatement(db, task.id, changed)),
      mirrored: reopenMirrored(db, task.id),
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
