import type { Point, Value } from "./points.ts";

/**
 * What a stretch of one metric's points comes to. Sum and extremes are of the finite values; points carry
 * step, epoch, ms. `sum` is null where no double holds it: neither a column nor JSON keeps an infinity.
 */
export type Bucket = {
  /** The lowest step; that of `last` is the highest. */
  first: number;
  last: Point;
  /** Points it covers, those without a finite value too. */
  count: number;
  sum: number | null;
  min: Point | null;
  max: Point | null;
  nan: number;
  inf: number;
  ninf: number;
  /** The first step without a finite value. */
  nonfiniteFrom: number | null;
};

/** Points that one bucket of a chunk covers at most. */
const BLOCK = 64;

/** The number, or null where it is beyond what a double holds. */
const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

export const nonfiniteOf = (bucket: Bucket): number => bucket.nan + bucket.inf + bucket.ninf;
export const finiteOf = (bucket: Bucket): number => bucket.count - nonfiniteOf(bucket);

/** A single point as a bucket. */
export function bucketOf(point: Point): Bucket {
  const [step, , , value] = point;
  const isNumber = typeof value === "number";
  return {
    first: step,
    last: point,
    count: 1,
    sum: isNumber ? value : 0,
    min: isNumber ? point : null,
    max: isNumber ? point : null,
    nan: value === "NaN" ? 1 : 0,
    inf: value === "Infinity" ? 1 : 0,
    ninf: value === "-Infinity" ? 1 : 0,
    nonfiniteFrom: isNumber ? null : step,
  };
}

const lowest = (a: number | null, b: number | null) =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

/** Two buckets of one metric as one; of equals the older one's points stay. */
function mergeBuckets(older: Bucket, newer: Bucket): Bucket {
  const better = (a: Point | null, b: Point | null, wins: (b: number, a: number) => boolean) =>
    !a || (b && wins(Number(b[3]), Number(a[3]))) ? b : a;
  return {
    first: Math.min(older.first, newer.first),
    last: newer.last[0] >= older.last[0] ? newer.last : older.last,
    count: older.count + newer.count,
    sum: older.sum === null || newer.sum === null ? null : finiteOrNull(older.sum + newer.sum),
    min: better(older.min, newer.min, (b, a) => b < a),
    max: better(older.max, newer.max, (b, a) => b > a),
    nan: older.nan + newer.nan,
    inf: older.inf + newer.inf,
    ninf: older.ninf + newer.ninf,
    nonfiniteFrom: lowest(older.nonfiniteFrom, newer.nonfiniteFrom),
  };
}

/** One bucket of at least one. */
export function mergeAll(buckets: Bucket[]): Bucket {
  const [first, ...others] = buckets;
  if (!first) throw new Error("no buckets to merge");
  return others.reduce(mergeBuckets, first);
}

/** The mean of the finite values; null where there is none, or no double holds their sum. */
export function meanOfBucket(bucket: Bucket): number | null {
  const finite = finiteOf(bucket);
  return finite > 0 && bucket.sum !== null ? bucket.sum / finite : null;
}

/** What a bucket shows: its mean, or the word for the values that it has instead. */
export function shownValue(bucket: Bucket): Value {
  const mean = meanOfBucket(bucket);
  if (mean !== null) return mean;
  // Values whose sum no double holds have a mean between their extremes.
  if (bucket.min && bucket.max) return Number(bucket.min[3]) / 2 + Number(bucket.max[3]) / 2;
  if (bucket.nan > 0) return "NaN";
  return bucket.inf > 0 ? "Infinity" : "-Infinity";
}

/** One metric's points, which ascend by step, as buckets of up to `size` points. */
export function bucketsOf(points: Point[], size = BLOCK): Bucket[] {
  const buckets: Bucket[] = [];
  for (let start = 0; start < points.length; start += size)
    buckets.push(mergeAll(points.slice(start, start + size).map(bucketOf)));
  return buckets;
}

/**
 * At most `max` buckets that show the same curve: neighbours come together until each covers about
 * as many points as the others.
 */
export function coarsen(buckets: Bucket[], max: number): Bucket[] {
  if (buckets.length <= max) return buckets;
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  const groups: Bucket[][] = [];
  let before = 0;
  let group = -1;
  for (const bucket of buckets) {
    const place = Math.floor((before * max) / total);
    if (place !== group) groups.push([]);
    group = place;
    groups.at(-1)?.push(bucket);
    before += bucket.count;
  }
  return groups.map(mergeAll);
}

/**
 * At most `max` points among which no peak is lost: of each stretch the lowest and the highest, and the
 * first without a finite value; the last one at the end.
 */
export function extremesOf(buckets: Bucket[], max: number): Point[] {
  const last = buckets.at(-1)?.last;
  if (!last) return [];
  const each = buckets.some((bucket) => nonfiniteOf(bucket) > 0) ? 3 : 2;
  const points = new Map<number, Point>();
  for (const bucket of coarsen(buckets, Math.max(1, Math.floor((max - 1) / each)))) {
    const word = bucket.nan > 0 ? "NaN" : bucket.inf > 0 ? "Infinity" : "-Infinity";
    if (bucket.nonfiniteFrom !== null)
      points.set(bucket.nonfiniteFrom, [bucket.nonfiniteFrom, null, null, word]);
    for (const point of [bucket.min, bucket.max]) if (point) points.set(point[0], point);
  }
  points.set(last[0], last);
  return [...points.values()].sort((a, b) => a[0] - b[0]).slice(-max);
}

/**
 * How a bucket is stored: a single point as itself, else [first step, last step, epoch, ms, last value,
 * points, sum, step and value of the lowest, of the highest, NaN, +Infinity, -Infinity, first step
 * without a finite value].
 */
export type StoredBucket = Point | Packed;
type Packed = [
  ...[first: number, step: number, epoch: number | null, ms: number | null, value: Value],
  ...[count: number, sum: number | null],
  ...[minStep: number | null, min: number | null, maxStep: number | null, max: number | null],
  ...odd: number[],
];

const isPoint = (stored: StoredBucket): stored is Point => stored.length === 4;

const pairOf = (point: Point | null): [number | null, number | null] =>
  point ? [point[0], Number(point[3])] : [null, null];

export function packBucket(bucket: Bucket): StoredBucket {
  const { first, last, count, sum, min, max, nan, inf, ninf, nonfiniteFrom } = bucket;
  if (count === 1) return last;
  const odd = nonfiniteFrom === null ? [] : [nan, inf, ninf, nonfiniteFrom];
  return [first, ...last, count, sum, ...pairOf(min), ...pairOf(max), ...odd];
}

export function unpackBucket(stored: StoredBucket): Bucket {
  if (isPoint(stored)) return bucketOf(stored);
  const [first, step, epoch, ms, value, count, sum, minStep, min, maxStep, max, ...odd] = stored;
  const [nan = 0, inf = 0, ninf = 0, nonfiniteFrom = null] = odd;
  const pointOf = (at: number | null, found: number | null): Point | null =>
    at === null || found === null ? null : [at, null, null, found];
  return {
    ...{ first, last: [step, epoch, ms, value], count, sum },
    ...{ min: pointOf(minStep, min), max: pointOf(maxStep, max) },
    ...{ nan, inf, ninf, nonfiniteFrom },
  };
}
