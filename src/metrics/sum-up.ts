import { type Bucket, bucketsOf, mergeAll, packBucket, type StoredBucket } from "./buckets.ts";
import type { StoredSegment } from "./points.ts";
import { pointsOfSegments } from "./read.ts";

/** Points of a summed-up chunk, and bytes of them, but for a single heartbeat's. */
const CHUNK_POINTS = 1000;
const CHUNK_BYTES = 128 * 1024;
/** Chunks that come together at most. */
const MOST_TOGETHER = 64;

/** Heartbeats after which it is looked for chunks to sum up; few points a heartbeat make none. */
const EVERY = 16;
/** Points and bytes of a heartbeat that leaves a chunk behind often. */
const MANY_POINTS = 500;
const MANY_BYTES = 64 * 1024;
/** Whether a heartbeat, or a report without a number, looks for chunks to sum up. Nothing is read to decide it. */
export const isDue = (seq: number | null, append: { count: number; size: number }): boolean =>
  (seq === null ? Math.random() < 1 / EVERY : seq % EVERY === 0) ||
  append.count >= MANY_POINTS ||
  append.size >= MANY_BYTES;

/**
 * Neighbours that come together, each group one chunk: as many as fit. The last group, which the next chunk may
 * still fit, is only among them where it is the end of its attempt.
 */
export function together<Chunk extends { attempt: number; count: number; size: number }>(
  chunks: Chunk[],
  isEnd: boolean,
): Chunk[][] {
  const groups: Chunk[][] = [];
  let [count, size] = [0, 0];
  for (const chunk of chunks) {
    const group = groups.at(-1);
    const fits =
      group?.[0]?.attempt === chunk.attempt &&
      group.length < MOST_TOGETHER &&
      count + chunk.count <= CHUNK_POINTS &&
      size + chunk.size <= CHUNK_BYTES;
    if (group && fits) group.push(chunk);
    else {
      groups.push([chunk]);
      [count, size] = [0, 0];
    }
    count += chunk.count;
    size += chunk.size;
  }
  const last = groups.at(-1);
  const isFull = count >= CHUNK_POINTS || size >= CHUNK_BYTES || last?.length === MOST_TOGETHER;
  return isEnd || isFull ? groups : groups.slice(0, -1);
}

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
