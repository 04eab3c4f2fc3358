import { type SQL, sql } from "drizzle-orm";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { byTelling, isHigherBetter } from "../shared/metrics.ts";
import { isSystemMetric } from "../shared/system-metrics.ts";
import { type Bucket, finiteOf, meanOfBucket, nonfiniteOf } from "./buckets.ts";
import { curveOf } from "./curve.ts";
import { mergeSummaries, type Summary, summarise } from "./points.ts";
import {
  type AttemptLogs,
  type ChunkOutline,
  effectivePoints,
  isComplete,
  lossNames,
  metricNames,
  metricOf,
  readLogs,
} from "./read.ts";

/** Chunks that finishing reads; a longer run is settled by the scheduled job. */
const CHUNKS_AT_FINISH = 150;
/**
 * What finishing does at most; the scheduled job adds the rest: metrics that it indexes, four rows each at most, and
 * values in which it looks for the best of metrics other than the loss.
 */
const AT_FINISH = { metrics: 10, values: 20_000 };
const WITHOUT_BOUND = { metrics: Number.POSITIVE_INFINITY, values: Number.POSITIVE_INFINITY };

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

/** A stretch of a curve that is smoothed: its last step, its mean, and how many finite values it has. */
export type Mean = { step: number; value: number; weight: number };

const meansOf = (buckets: Bucket[]): Mean[] =>
  buckets.flatMap((bucket): Mean[] => {
    const value = meanOfBucket(bucket);
    return value === null ? [] : [{ step: bucket.last[0], value, weight: finiteOf(bucket) }];
  });

/** Groups of which the final loss takes the median. */
const GROUPS = 20;

const weighted = (means: Mean[]): Mean => {
  const weight = means.reduce((sum, mean) => sum + mean.weight, 0);
  const value = means.reduce((sum, mean) => sum + mean.value * (mean.weight / weight), 0);
  return { step: means.at(-1)?.step ?? 0, value, weight };
};

/**
 * The final loss: of the last tenth of the points (at least one), in up to GROUPS groups of about as many finite
 * points each, the median of the groups' means. A spike spoils one group and moves the median little. Null where
 * none of them is finite. `total` counts the points of the run where `buckets` are only its newest.
 */
export function finalLossOf(
  buckets: Bucket[],
  total = buckets.reduce((sum, { count }) => sum + count, 0),
): number | null {
  const wanted = Math.max(1, Math.floor(total / 10));
  let start = buckets.length;
  for (let taken = 0; start > 0 && taken < wanted; ) taken += buckets[--start]?.count ?? 0;
  const last = meansOf(buckets.slice(start));
  const weight = last.reduce((sum, mean) => sum + mean.weight, 0);
  const groups: Mean[][] = Array.from({ length: Math.min(GROUPS, last.length) }, () => []);
  let before = 0;
  for (const mean of last) {
    // By the middle of its points, so that a long stretch falls where most of it lies.
    groups[Math.floor(((before + mean.weight / 2) * groups.length) / weight)]?.push(mean);
    before += mean.weight;
  }
  const found = groups.filter((group) => group.length > 0).map((group) => weighted(group).value);
  found.sort((a, b) => a - b);
  const middle = found.length >> 1;
  const upper = found[middle] ?? null;
  const lower = found[middle - 1];
  return found.length % 2 || lower === undefined || upper === null ? upper : lower / 2 + upper / 2;
}

/** Means together as one, which the later one's step names. */
const together = (a: Mean | null, b: Mean | null): Mean | null => {
  if (!a || !b) return a ?? b;
  const weight = a.weight + b.weight;
  const apart = b.value - a.value;
  // Of equal values exactly that value; numbers whose difference no double holds have a mean all the same.
  const value = Number.isFinite(apart)
    ? a.value + apart * (b.weight / weight)
    : a.value * (a.weight / weight) + b.value * (b.weight / weight);
  return { step: b.step, value, weight };
};

/**
 * The smoothed curve: at each step the mean of the trailing window that is a twentieth of the run's steps long.
 * The beginning, where no whole window lies behind, has none.
 */
export function smoothed(means: Mean[]): Mean[] {
  const [first, last] = [means[0], means.at(-1)];
  if (!first || !last) return [];
  const length = (last.step - first.step) / 20;
  const found: Mean[] = [];
  // Two stacks instead of a running sum: what a spike leaves in that is more than other values are. `ends` has
  // what each mean of the window's older part comes to with all behind it in that part, the oldest on top;
  // `newer` is the rest.
  const ends: Mean[] = [];
  let newer: Mean | null = null;
  let start = 0;
  for (const [end, mean] of means.entries()) {
    newer = together(newer, mean);
    while ((means[start]?.step ?? mean.step) < mean.step - length) {
      if (ends.length === 0) {
        for (let n = end; n >= start; n--) {
          const one = together(means[n] ?? null, ends.at(-1) ?? null);
          if (one) ends.push(one);
        }
        newer = null;
      }
      ends.pop();
      start++;
    }
    const whole = together(ends.at(-1) ?? null, newer);
    if (whole && mean.step - length >= first.step) found.push({ ...whole, step: mean.step });
  }
  return found;
}

/** The lowest, or the highest, smoothed value and the step at which it is first reached. */
export function bestOf(curve: Mean[], highest = false): { value: number; step: number } | null {
  const sign = highest ? -1 : 1;
  let best: Mean | null = null;
  for (const mean of curve) if (best === null || sign * mean.value < sign * best.value) best = mean;
  return best;
}

/** Finite points of a series in which a twentieth holds less than two: nothing is smoothed there. */
const SPARSE = 40;

/**
 * The best of a metric: the lowest smoothed value and its step, or the highest where its name says so; of a series
 * of fewer than SPARSE finite points, as validation writes, that value itself. Null where no value is finite.
 */
export function bestOfMetric(
  metric: string,
  buckets: Bucket[],
): { value: number; step: number } | null {
  const highest = isHigherBetter(metric);
  const points = buckets.reduce((sum, bucket) => sum + finiteOf(bucket), 0);
  if (points >= SPARSE) return bestOf(smoothed(meansOf(buckets)), highest);
  // Also where a stretch of a long run covers several of them.
  const ends = buckets.flatMap(({ min, max }): Mean[] => {
    const end = highest ? max : min;
    return end ? [{ step: end[0], value: Number(end[3]), weight: 1 }] : [];
  });
  return bestOf(ends, highest);
}

/** Whether a run ended far above its best: by more than half of the best, and a tenth of its range. */
function isDiverged(curve: Mean[]): boolean {
  const best = bestOf(curve)?.value;
  const last = curve.at(-1)?.value;
  if (best === undefined || last === undefined) return false;
  const highest = curve.reduce((most, { value }) => Math.max(most, value), best);
  return last - best > Math.abs(best) / 2 && last - best > (highest - best) / 10;
}

/**
 * The step from which on training gained little: the first whose smoothed value is within 5 % of the last
 * smoothed one. Null where the curve diverged.
 */
export function convergenceStepOf(curve: Mean[]): number | null {
  const last = curve.at(-1);
  if (!last || isDiverged(curve)) return null;
  const near = Math.abs(last.value) * 0.05;
  return curve.find(({ value }) => Math.abs(value - last.value) <= near)?.step ?? null;
}

/** A run's metrics, those first that tell most, and the machine's figures last. */
function metricsOf(attempts: AttemptLogs[]): string[] {
  const names = metricNames(attempts);
  const own = names.filter((name) => !isSystemMetric(name));
  return [...new Set([...byTelling(own), ...own, ...names])];
}

/**
 * The figures drawn from a run's points. `complete` is false when some are left for the job. That gives the
 * outlines of metrics besides the loss, of a run too long to be read point by point; those of which it gives none
 * have no best.
 */
export function settle(
  read: Pick<Read, "attempts" | "outlines" | "raw" | "whole">,
  byMetric?: ReadonlyMap<string, ChunkOutline[]>,
) {
  const { attempts, outlines, raw, whole } = read;
  const bounds = byMetric ? WITHOUT_BOUND : AT_FINISH;
  const lossName = metricOf(attempts, lossNames);
  const exact = isComplete(attempts, raw);
  const { buckets } = curveOf(attempts, outlines, raw, lossName);
  const curve = smoothed(meansOf(buckets));
  const best = whole ? bestOfMetric(lossName, buckets) : null;
  const isWhole = !buckets.some((bucket) => nonfiniteOf(bucket) > 0);
  const odd = buckets.flatMap(({ nonfiniteFrom }) => nonfiniteFrom ?? []);
  const total = attempts.reduce((sum, { summaries }) => sum + (summaries[lossName]?.count ?? 0), 0);
  // One attempt without repeated steps has its summaries at hand; else they come from the points.
  const clean =
    attempts.filter((a) => a.points > 0).length <= 1 && !attempts.some((a) => a.overlap);
  const summaries = metricsOf(attempts).flatMap((metric): [string, Summary][] => {
    const all = exact && !clean ? effectivePoints(attempts, raw, metric) : [];
    const summary = all.length
      ? summarise(all)
      : attempts
          .flatMap((a) => (Object.hasOwn(a.summaries, metric) ? a.summaries[metric] : []) ?? [])
          .reduce<Summary | null>((all, s) => (all ? mergeSummaries(all, s) : s), null);
    return summary ? [[metric, summary]] : [];
  });
  const values = summaries
    .slice(0, bounds.metrics)
    .reduce((sum, [metric, { count }]) => sum + (metric === lossName ? 0 : count), 0);
  const withBests = exact && values <= bounds.values;
  const bestOf = (metric: string) => {
    if (metric === lossName) return best;
    const own = byMetric?.get(metric);
    if (!withBests && !own) return null;
    return bestOfMetric(metric, curveOf(attempts, own ?? [], withBests ? raw : [], metric).buckets);
  };
  const summaryStatement = (db: Db, taskId: number, condition: SQL): Statement => {
    const rows = summaries.slice(0, bounds.metrics).map(([metric, s]) => {
      const last = typeof s.last[3] === "number" ? s.last[3] : null;
      const best = bestOf(metric);
      return sql`(${metric}, ${s.count}, ${s.nonfinite_count}, ${s.min?.[3] ?? null}, ${s.max?.[3] ?? null}, ${last}, ${s.sum}, ${best?.value ?? null}, ${best?.step ?? null})`;
    });
    return rows.length
      ? db.run(sql`
          insert into metric_summary (task_id, metric, count, nonfinite_count, min, max, last, sum, best, best_step)
          select ${taskId}, column1, column2, column3, column4, column5, column6, column7, column8,
            iif((select progress ->> 'unstepped' from training_task where id = ${taskId}), null, column9)
          from (values ${sql.join(rows, sql`, `)}) where ${condition}
          on conflict (task_id, metric) do update set count = excluded.count,
            nonfinite_count = excluded.nonfinite_count, min = excluded.min, max = excluded.max,
            last = excluded.last, sum = excluded.sum, best = excluded.best, best_step = excluded.best_step`)
      : db.run(sql`select 1`);
  };
  return {
    finalLoss: finalLossOf(buckets, whole ? undefined : total),
    /** Null of a run that holds values which are not finite; of a run that failed it is left out by states.ts. */
    convergenceStep: whole && isWhole ? convergenceStepOf(curve) : null,
    bestLoss: best?.value ?? null,
    bestStep: best?.step ?? null,
    /** Undefined where chunks that were not read, or an older release's, may hold an earlier one. */
    nonfiniteFromStep:
      whole && (isWhole || odd.length > 0)
        ? odd.reduce<number | null>((a, b) => (a === null ? b : Math.min(a, b)), null)
        : undefined,
    complete:
      whole &&
      summaries.length <= bounds.metrics &&
      (withBests || summaries.every(([metric]) => metric === lossName)),
    summaryStatement,
  };
}
