import { type Bucket, bucketsOf, mergeAll, packBucket, type StoredBucket } from "./buckets.ts";
import type { StoredSegment } from "./points.ts";
import { pointsOfSegments } from "./read.ts";

/** Heartbeats after which it is looked for chunks to sum up; few points a heartbeat make none. */
const EVERY = 16;
/** Points and bytes of a heartbeat that leaves a chunk behind often. */
const MANY_POINTS = 500;
const MANY_BYTES = 64 * 1024;
/** Whether a heartbeat looks for chunks to sum up. Nothing is read to decide it. */
export const isDue = (seq: number, append: { count: number; size: number }): boolean =>
  seq % EVERY === 0 || append.count >= MANY_POINTS || append.size >= MANY_BYTES;

/** What curves read of some segments: of each metric its blocks, and all of them as one. */
export function sumUp(segments: StoredSegment[]) {
  const metrics = [...new Set(segments.flatMap(({ m }) => m))];
  const blocks: [string, Bucket[]][] = [];
  for (const metric of metrics) {
    const found = bucketsOf(pointsOfSegments(segments, metric));
    if (found.length > 0) blocks.push([metric, found]);
  }
  const text = (entries: [string, StoredBucket | StoredBucket[]][]) =>
    JSON.stringify(Object.fromEntries(entries));
  return {
    summary: text(blocks.map(([metric, found]) => [metric, packBucket(mergeAll(found))])),
    blocks: text(blocks.map(([metric, found]) => [metric, found.map(packBucket)])),
  };
}
