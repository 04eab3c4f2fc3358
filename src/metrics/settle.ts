import { type SQL, sql } from "drizzle-orm";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { meanOf, mergeSummaries, type Point, type Summary, summarise } from "./points.ts";
import {
  type AttemptLogs,
  type ChunkOutline,
  cutoffOf,
  effectivePoints,
  isComplete,
  lossNames,
  metricOf,
  readLogs,
} from "./read.ts";

/** Chunks that finishing reads; a longer run is settled by the scheduled job. */
const CHUNKS_AT_FINISH = 150;
/** Metrics that finishing indexes, two rows each; the scheduled job adds the rest. */
const METRICS_AT_FINISH = 20;

type Read = NonNullable<Awaited<ReturnType<typeof readLogs>>> & { whole: boolean };

/** One round trip for all that finishing needs; null when `where` matches no task. */
export async function readForSettling(
  db: Db,
  where: SQL | undefined,
  taskId: number,
): Promise<Read | null> {
  const read = await readLogs(db, where, taskId, lossNames, {
    limit: CHUNKS_AT_FINISH + 1,
    newestFirst: true,
  });
  if (!read) return null;
  const whole = read.outlines.length <= CHUNKS_AT_FINISH;
  return { ...read, outlines: read.outlines.slice(0, CHUNKS_AT_FINISH).reverse(), whole };
}

const finite = (points: Point[]) =>
  points.flatMap(([step, , , value]) =>
    typeof value === "number" ? [{ step, value, weight: 1 }] : [],
  );

/** The mean of the last tenth of the points, at least one and at most 100 of them. */
export function finalLossOf(points: Point[], total: number): number | null {
  const last = Math.min(100, Math.max(1, Math.floor(total / 10)));
  const values = finite(points.slice(-last)).map((p) => p.value);
  return values.length ? meanOf(values) : null;
}

/**
 * The first step from which on training gained little: where the smoothed loss first is within 5 %
 * of its last value. Smoothed means the mean over a window of a twentieth of the series, its end
 * at the step in question.
 */
export function convergenceStepOf(
  series: { step: number; value: number; weight: number }[],
): number | null {
  const window = Math.max(1, Math.round(series.length / 20));
  let sum = 0;
  let weight = 0;
  const smoothed: { step: number; value: number }[] = [];
  for (const [i, point] of series.entries()) {
    sum += point.value * point.weight;
    weight += point.weight;
    const gone = series[i - window];
    if (gone) {
      sum -= gone.value * gone.weight;
      weight -= gone.weight;
    }
    if (i >= window - 1) smoothed.push({ step: point.step, value: sum / weight });
  }
  const last = smoothed.at(-1);
  if (!last) return null;
  const near = Math.abs(last.value) * 0.05;
  return smoothed.find((p) => Math.abs(p.value - last.value) <= near)?.step ?? null;
}

const metricsOf = (attempts: AttemptLogs[]) => [
  ...new Set(attempts.flatMap((a) => Object.keys(a.summaries))),
];

/** A long run's series: the mean of each chunk, at its last step. */
const seriesOfChunks = (attempts: AttemptLogs[], outlines: ChunkOutline[]) =>
  outlines.flatMap(({ attempt, lastStep, summary }) => {
    const weight = summary ? summary.count - summary.nonfinite_count : 0;
    // A chunk whose sum no double holds has no mean to draw.
    return summary && summary.sum !== null && weight > 0 && lastStep < cutoffOf(attempts, attempt)
      ? [{ step: lastStep, value: summary.sum / weight, weight }]
      : [];
  });

/** The figures drawn from a run's points. `complete` is false when some are left for the job. */
export function settle(read: Pick<Read, "attempts" | "outlines" | "raw" | "whole">) {
  const { attempts, outlines, raw, whole } = read;
  const lossName = metricOf(attempts, lossNames);
  const points = effectivePoints(attempts, raw, lossName);
  const exact = isComplete(attempts, raw);
  const total = exact
    ? points.length
    : attempts.reduce((sum, a) => sum + (a.summaries[lossName]?.count ?? 0), 0);
  // One attempt without repeated steps has its summaries at hand; else they come from the points.
  const clean =
    attempts.filter((a) => a.points > 0).length <= 1 && !attempts.some((a) => a.overlap);
  const summaries = metricsOf(attempts).flatMap((metric): [string, Summary][] => {
    const all = exact && !clean ? effectivePoints(attempts, raw, metric) : [];
    const summary = all.length
      ? summarise(all)
      : attempts
          .flatMap((a) => a.summaries[metric] ?? [])
          .reduce<Summary | null>((all, s) => (all ? mergeSummaries(all, s) : s), null);
    return summary ? [[metric, summary]] : [];
  });
  const summaryStatement = (
    db: Db,
    taskId: number,
    condition: SQL,
    most = METRICS_AT_FINISH,
  ): Statement => {
    const rows = summaries.slice(0, most).map(([metric, s]) => {
      const last = typeof s.last[3] === "number" ? s.last[3] : null;
      return sql`(${metric}, ${s.count}, ${s.nonfinite_count}, ${s.min?.[3] ?? null}, ${s.max?.[3] ?? null}, ${last}, ${s.sum})`;
    });
    return rows.length
      ? db.run(sql`
          insert into metric_summary (task_id, metric, count, nonfinite_count, min, max, last, sum)
          select ${taskId}, column1, column2, column3, column4, column5, column6, column7
          from (values ${sql.join(rows, sql`, `)}) where ${condition}
          on conflict (task_id, metric) do update set count = excluded.count,
            nonfinite_count = excluded.nonfinite_count, min = excluded.min, max = excluded.max,
            last = excluded.last, sum = excluded.sum`)
      : db.run(sql`select 1`);
  };
  return {
    finalLoss: finalLossOf(points, total),
    convergenceStep: whole
      ? convergenceStepOf(exact ? finite(points) : seriesOfChunks(attempts, outlines))
      : null,
    complete: whole && summaries.length <= METRICS_AT_FINISH,
    summaryStatement,
  };
}
