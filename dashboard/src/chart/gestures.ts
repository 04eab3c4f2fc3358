import type { Range } from "./frame.ts";

/** The smallest part of the whole that a chart zooms to. */
const LEAST_SHARE = 1e-5;

/** A stretch within the whole: of the same length where it fits, else the whole, which is null. */
function within([low, high]: Range, [first, last]: Range): Range | null {
  const length = high - low;
  if (length >= (last - first) * (1 - 1e-9)) return null;
  if (low < first) return [first, first + length];
  if (high > last) return [last - length, last];
  return [low, high];
}

/** Zooms a stretch by a factor (below 1: closer) around a place, which stays where it is; null is the whole. */
export function zoomAround(range: Range, at: number, factor: number, whole: Range): Range | null {
  const [low, high] = range;
  const least = (whole[1] - whole[0]) * LEAST_SHARE;
  const by = Math.max(factor, least / (high - low));
  return within([at - (at - low) * by, at + (high - at) * by], whole);
}

/** Moves a stretch by a distance of its axis, no further than the ends of the whole. */
export const panBy = ([low, high]: Range, distance: number, whole: Range): Range | null =>
  within([low + distance, high + distance], whole);
