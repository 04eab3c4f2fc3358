import type { StoredSegment, Value } from "../../metrics/points.ts";
import { cleanKey } from "./names.ts";

/** Values in one request: as many as MLflow takes. */
const VALUES_A_BATCH = 1000;

/**
 * How far a run's points are written: to the attempt's heartbeat `arrival`, and `skip` values of the next one.
 */
export type Written = { attempt: number; arrival: number; skip: number };

/** MLflow's form of a value; what is not finite is a word, which ours are too. */
type Metric = { key: string; value: Value; timestamp: number; step: number };

/** Values for one request, the place behind them, and how many log points they complete. */
export type Batch = { metrics: Metric[]; place: Written; points: number };

/**
 * Cuts segments behind a place into requests' worth, in the order of their arrival. The same points make the
 * same values each time, so that a batch sent twice counts once: a point without a time gets `timeless`.
 */
export function* batchesOf(
  chunks: readonly { attempt: number; segments: StoredSegment[] }[],
  start: Written,
  timeless: number,
): Generator<Batch> {
  let metrics: Metric[] = [];
  let points = 0;
  let last: Written | null = null;
  for (const { attempt, segments } of chunks)
    for (const { a, m, p } of segments.toSorted((one, other) => one.a - other.a)) {
      const keys = m.map(cleanKey);
      const skip = attempt === start.attempt && a === start.arrival + 1 ? start.skip : 0;
      let seen = 0;
      for (const row of p) {
        for (const [column, key] of keys.entries()) {
          const value = row[column + 3];
          if (value === null || value === undefined) continue;
          seen++;
          if (seen <= skip) continue;
          if (metrics.length === VALUES_A_BATCH) {
            yield { metrics, points, place: { attempt, arrival: a - 1, skip: seen - 1 } };
            metrics = [];
            points = 0;
          }
          metrics.push({ key, value, timestamp: row[2] ?? timeless, step: row[0] });
        }
        // A log point counts with its last value; those that are skipped have been counted.
        if (seen > skip || skip === 0) points++;
      }
      last = { attempt, arrival: a, skip: 0 };
    }
  if (last) yield { metrics, points, place: last };
}
