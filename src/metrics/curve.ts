import { type Bucket, bucketOf, finiteOf, meanOfBucket, nonfiniteOf } from "./buckets.ts";
import {
  type AttemptLogs,
  type ChunkOutline,
  cutoffOf,
  effectivePoints,
  isComplete,
  type RawChunk,
} from "./read.ts";

/** One metric's buckets by step: single points where the run was read whole. `total` counts points. */
export type Curve = { total: number; buckets: Bucket[] };

const curveFrom = (buckets: Bucket[]): Curve => ({
  total: buckets.reduce((sum, { count }) => sum + count, 0),
  buckets: buckets.sort((a, b) => a.last[0] - b.last[0]),
});

/**
 * What is left of a bucket below a step; null where nothing is. Of one that goes over it, the mean stays and
 * the share of its points below is counted, for nobody read them one by one.
 */
function below(bucket: Bucket, step: number): Bucket | null {
  if (bucket.last[0] < step) return bucket;
  if (bucket.first >= step) return null;
  const share = (step - bucket.first) / (bucket.last[0] - bucket.first + 1);
  const mean = meanOfBucket(bucket);
  const finite = Math.round(finiteOf(bucket) * share);
  const isBelow = <T extends Bucket["min"]>(point: T) => (point && point[0] < step ? point : null);
  const [nan, inf, ninf] = [bucket.nan, bucket.inf, bucket.ninf].map((n) => Math.round(n * share));
  const left = {
    ...bucket,
    last: [step - 1, bucket.last[1], bucket.last[2], bucket.last[3]] as Bucket["last"],
    ...{ sum: mean === null ? null : mean * finite, min: isBelow(bucket.min) },
    ...{ max: isBelow(bucket.max), nan: nan ?? 0, inf: inf ?? 0, ninf: ninf ?? 0 },
    nonfiniteFrom:
      bucket.nonfiniteFrom !== null && bucket.nonfiniteFrom < step ? bucket.nonfiniteFrom : null,
  };
  const count = finite + nonfiniteOf(left);
  return count > 0 ? { ...left, count } : null;
}

/** The buckets of chunks of which only these were read. */
const ofOutlines = (attempts: AttemptLogs[], outlines: ChunkOutline[]): Bucket[] =>
  outlines.flatMap(({ attempt, whole, blocks }) => {
    const cutoff = cutoffOf(attempts, attempt);
    return (blocks ?? (whole ? [whole] : [])).flatMap((bucket) => below(bucket, cutoff) ?? []);
  });

/** One metric's curve between two steps, out of what readRange() brought. */
export function curveWithin(
  attempts: AttemptLogs[],
  outlines: ChunkOutline[],
  raw: RawChunk[],
  metric: string,
  [from, to]: readonly [number, number],
): Curve {
  const buckets =
    raw.length > 0
      ? effectivePoints(attempts, raw, metric).map(bucketOf)
      : ofOutlines(attempts, outlines);
  return curveFrom(
    buckets.flatMap((bucket) => (bucket.last[0] < from ? [] : (below(bucket, to + 1) ?? []))),
  );
}

/** One metric's curve out of what readLogs() brought: exact for runs that were read whole. */
export const curveOf = (
  attempts: AttemptLogs[],
  outlines: ChunkOutline[],
  raw: RawChunk[],
  metric: string,
): Curve =>
  curveFrom(
    isComplete(attempts, raw)
      ? effectivePoints(attempts, raw, metric).map(bucketOf)
      : ofOutlines(attempts, outlines),
  );
