import { extremesByBlock, type Point } from "./points.ts";
import {
  type AttemptLogs,
  type ChunkOutline,
  cutoffOf,
  effectivePoints,
  isComplete,
  type RawChunk,
} from "./read.ts";

/**
 * At most `max` points that show the same curve: first and last, and of each stretch between the
 * lowest and the highest, so that no peak is lost. A value that is not a number is kept at its first place.
 */
export function thin(points: Point[], max: number): Point[] {
  const first = points[0];
  const last = points.at(-1);
  if (points.length <= max || !first || !last) return points;
  if (max < 5) return max === 1 ? [last] : [first, last];
  const perBlock = points.some((p) => typeof p[3] !== "number") ? 3 : 2;
  const blocks = Math.floor((max - 2) / perBlock);
  const inner = points.slice(1, -1);
  return [first, ...extremesByBlock(inner, Math.ceil(inner.length / blocks)), last];
}

/** One metric's curve between two steps, out of what readRange() brought. */
export function curveWithin(
  attempts: AttemptLogs[],
  outlines: ChunkOutline[],
  raw: RawChunk[],
  metric: string,
  [from, to]: readonly [number, number],
  max: number,
): { total: number; points: Point[] } {
  const points = (
    raw.length > 0
      ? effectivePoints(attempts, raw, metric)
      : outlines
          .flatMap(({ attempt, blocks }) =>
            (blocks ?? []).filter((point) => point[0] < cutoffOf(attempts, attempt)),
          )
          .sort((a, b) => a[0] - b[0])
  ).filter(([step]) => step >= from && step <= to);
  return { total: points.length, points: thin(points, max) };
}

/** One metric's curve out of what readLogs() brought: exact for runs that were read whole. */
export function curveOf(
  attempts: AttemptLogs[],
  outlines: ChunkOutline[],
  raw: RawChunk[],
  metric: string,
  max: number,
): { total: number; points: Point[] } {
  if (isComplete(attempts, raw)) {
    const points = effectivePoints(attempts, raw, metric);
    return { total: points.length, points: thin(points, max) };
  }
  let total = 0;
  const points = outlines.flatMap(({ attempt, firstStep, lastStep, summary, blocks }): Point[] => {
    const cutoff = cutoffOf(attempts, attempt);
    if (!summary || firstStep >= cutoff) return [];
    // Of a chunk that a later attempt cuts through, the share below the cut is counted.
    const share = lastStep < cutoff ? 1 : (cutoff - firstStep) / (lastStep - firstStep + 1);
    total += Math.round(summary.count * share);
    const own = blocks ?? [...new Set([summary.min, summary.max])].filter((p) => p !== null);
    return own.filter((point) => point[0] < cutoff);
  });
  points.sort((a, b) => a[0] - b[0]);
  const end = attempts.at(-1)?.summaries[metric]?.last;
  if (end && points.at(-1)?.[0] !== end[0]) points.push(end);
  return { total, points: thin(points, max) };
}
