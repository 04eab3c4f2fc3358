import * as z from "zod";
import { metricName } from "../shared/metric-name.ts";

/** A metric's value on the wire; what JSON cannot say is a word. */
const wireValue = z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])], {
  error: 'must be a number, or one of the strings "NaN", "Infinity", "-Infinity"',
});
export type Value = z.infer<typeof wireValue>;

const step = z.int().min(0).max(9_999_999_999, "must be below 10,000,000,000");

/** One step as a client reports it. */
export const logEntry = z.strictObject({
  step,
  epoch: z.number().min(0).nullish(),
  time: z.iso.datetime({ offset: true }).nullish().describe("End of the step; ISO 8601."),
  metrics: z.record(metricName, wireValue),
});
export type LogEntry = z.infer<typeof logEntry>;

/** `[step, epoch, time in ms since 1970, v1, v2, …]`, a value for each metric of its segment. */
type Row = [number, number | null, number | null, ...(Value | null)[]];
export type Point = [step: number, epoch: number | null, ms: number | null, value: Value];

/** A heartbeat's log points: rows under a header of metric names, ascending steps, each once. */
export type Segment = { metrics: string[]; rows: Row[] };

/** A stored segment; `a` counts accepted heartbeats of the attempt, `q` is the seq. */
export type StoredSegment = { a: number; q: number; m: string[]; p: Row[] };

const ms = (time: string | null | undefined) => (time ? Date.parse(time) : null);

/** Brings entries into one segment: by step, entries of one step merged, the later word wins. */
export function toSegment(entries: LogEntry[]): Segment {
  const metrics = new Map<string, number>();
  const steps = new Map<number, Row>();
  for (const entry of entries) {
    let row = steps.get(entry.step);
    if (!row) {
      row = [entry.step, null, null];
      steps.set(entry.step, row);
    }
    row[1] = entry.epoch ?? row[1];
    row[2] = ms(entry.time) ?? row[2];
    for (const [metric, value] of Object.entries(entry.metrics)) {
      const column = metrics.get(metric) ?? metrics.size;
      metrics.set(metric, column);
      row[column + 3] = value;
    }
  }
  const rows = [...steps.values()].sort((a, b) => a[0] - b[0]);
  // Holes in a sparse array are null in JSON, which is what a missing value is.
  return {
    metrics: [...metrics.keys()],
    rows: rows.map((row) => Array.from(row, (v) => v ?? null) as Row),
  };
}

/**
 * Summary of a metric; sums and extremes are of the finite values. Points carry step, epoch, ms. `sum`
 * is null where no double holds it: neither a column nor JSON keeps an infinity.
 */
export type Summary = {
  count: number;
  nonfinite_count: number;
  sum: number | null;
  min: Point | null;
  max: Point | null;
  last: Point;
};

/** The points of one metric of a segment. */
export function pointsOf(segment: Segment, metric: string): Point[] {
  const column = segment.metrics.indexOf(metric) + 3;
  if (column === 2) return [];
  return segment.rows.flatMap((row): Point[] => {
    const value = row[column];
    return value === null || value === undefined ? [] : [[row[0], row[1], row[2], value]];
  });
}

/** The number, or null where it is beyond what a double holds. */
const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** The mean of some finite numbers, also where no double holds their sum. */
export function meanOf(values: number[]): number {
  const sum = values.reduce((all, value) => all + value, 0);
  return Number.isFinite(sum)
    ? sum / values.length
    : values.reduce((mean, value) => mean + value / values.length, 0);
}

/** Sums up one metric's points (at least one), which ascend by step. */
export function summarise(points: Point[]): Summary {
  let sum = 0;
  let nonfinite = 0;
  let min: Point | null = null;
  let max: Point | null = null;
  for (const point of points) {
    const value = point[3];
    if (typeof value !== "number") {
      nonfinite++;
      continue;
    }
    sum += value;
    if (min === null || value < Number(min[3])) min = point;
    if (max === null || value > Number(max[3])) max = point;
  }
  const last = points.at(-1);
  if (!last) throw new Error("nothing to sum up");
  return {
    ...{ count: points.length, nonfinite_count: nonfinite },
    ...{ sum: finiteOrNull(sum), min, max, last },
  };
}

/** Whether a point is the later one: by step, then by its time, then by its value. */
function isLater([step, , ms, value]: Point, [otherStep, , otherMs, other]: Point): boolean {
  if (step !== otherStep) return step > otherStep;
  if (ms !== null && otherMs !== null && ms !== otherMs) return ms > otherMs;
  return !(Number(value) < Number(other));
}

/**
 * Two summaries of one metric as one; of equals the older one's points stay. The last point is that of the
 * highest step; of two of one step the newer one's, or, `byTime`, the one that was logged later.
 */
export function mergeSummaries(older: Summary, newer: Summary, byTime = false): Summary {
  const isNewer = byTime ? isLater(newer.last, older.last) : newer.last[0] >= older.last[0];
  const better = (a: Point | null, b: Point | null, wins: (b: number, a: number) => boolean) =>
    !a || (b && wins(Number(b[3]), Number(a[3]))) ? b : a;
  return {
    count: older.count + newer.count,
    nonfinite_count: older.nonfinite_count + newer.nonfinite_count,
    sum: older.sum === null || newer.sum === null ? null : finiteOrNull(older.sum + newer.sum),
    min: better(older.min, newer.min, (b, a) => b < a),
    max: better(older.max, newer.max, (b, a) => b > a),
    last: isNewer ? newer.last : older.last,
  };
}

/** A segment with some of its metrics alone. Rows stay, so that their steps still count. */
export function withMetrics(segment: Segment, keep: (metric: string) => boolean): Segment {
  const columns = segment.metrics.flatMap((metric, n) => (keep(metric) ? [n] : []));
  if (columns.length === segment.metrics.length) return segment;
  return {
    metrics: columns.map((n) => segment.metrics[n] ?? ""),
    rows: segment.rows.map(
      ([step, epoch, ms, ...values]): Row => [
        step,
        epoch,
        ms,
        ...columns.map((n) => values[n] ?? null),
      ],
    ),
  };
}
