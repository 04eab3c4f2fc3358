import type { Line, XY } from "./curves.ts";

export type Column = (number | null | undefined)[];
export type Aligned = [number[], ...Column[]];

/**
 * x of all lines in one ascending list, and each line's values at them: undefined where it has no point,
 * null where its value has no place on the scale.
 */
export function align(lines: Line[], log: boolean): Aligned {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort(
    (a, b) => a - b,
  );
  const index = new Map(xs.map((x, n) => [x, n]));
  const values = lines.map(({ points }) => {
    const column: Column = new Array(xs.length).fill(undefined);
    for (const [x, y] of points) column[index.get(x) ?? 0] = log && y !== null && y <= 0 ? null : y;
    return column;
  });
  return [xs, ...values];
}

/** A line's value at a place, or at the last one before it where it has a point: null is a gap. */
export function nearest(values: Column | undefined, at: number) {
  for (let n = at; n >= 0; n--) {
    const value = values?.[n];
    if (value !== undefined) return { value, n };
  }
  return { value: null, n: at };
}

/** The place of the last point at or before `x`; -1 where the line begins behind it. */
export function indexAt(points: XY[], x: number): number {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle]?.[0] ?? 0) <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
