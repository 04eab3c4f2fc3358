import type { Line } from "./curves.ts";

/** The part of an axis that is in view; null is all of it. */
export type Range = [low: number, high: number];

/** Values beyond these cannot be told apart on a scale: their differences would be infinite, or 0. */
const MOST = 4e307;
const LEAST = 1e-290;

/** A value, and how many of a curve's values it covers. */
export type Weighed = [value: number, weight: number];

/**
 * The values of lines within a stretch of the x axis: a point that covers several has their lowest, their
 * highest and, for all others, their mean. So the same values have the same frame in few points and in many.
 * A smoothed line lies among them, and keeps a spike for long.
 */
export function valuesOf(lines: Line[], range: Range | null): Weighed[] {
  const values: Weighed[] = [];
  for (const { x, y, low, high, count, nonfinite } of lines.flatMap(({ spots = [] }) => spots)) {
    if (y === null || (range && (x < range[0] || x > range[1]))) continue;
    values.push([y, Math.max(1, count - nonfinite - 2)]);
    if (count > 1 && low !== null && high !== null) values.push([low, 1], [high, 1]);
  }
  return values;
}

/** How many values from the start on make up a hundredth of all; of 20 or more at least one. */
function hundredthOf(values: Weighed[]): number {
  if (values.length < 20) return 0;
  let total = 0;
  let heaviest = 0;
  for (const [, weight] of values) {
    total += weight;
    heaviest = Math.max(heaviest, weight);
  }
  // Each mean brings its lowest and its highest value.
  let left = Math.max(Math.ceil(total / 100), heaviest > 1 ? heaviest + 2 : 1);
  const end = values.findIndex(([, weight]) => {
    left -= weight;
    return left < 0;
  });
  return Math.min(end, Math.floor(values.length / 4));
}

/**
 * The part of the y axis that shows some values. By default it reaches from their 1st to their 99th percentile
 * (of 20 values or more at least one is left out at each end) and a quarter of that further where values
 * are, so that a spike does not flatten the curve; `all` shows each of them. A constant is in its middle.
 * On a logarithmic scale the values of 0 and below have no place.
 */
export function frameOf(values: Weighed[], { log, all }: { log: boolean; all: boolean }): Range {
  const sorted = (log ? values.filter(([value]) => value > 0) : [...values]).sort(
    ([a], [b]) => a - b,
  );
  if (sorted.length === 0) return log ? [0.1, 1] : [0, 1];
  const to = (value: number) => {
    const bounded = Math.min(Math.max(value, log ? LEAST : -MOST), MOST);
    return log ? Math.log10(bounded) : bounded;
  };
  const at = (n: number) => to(sorted[n]?.[0] ?? 0);
  const last = sorted.length - 1;
  const low = at(all ? 0 : hundredthOf(sorted));
  const high = at(last - (all ? 0 : hundredthOf(sorted.toReversed())));
  const span = high - low;
  const bottom = Math.max(at(0), low - span / 4);
  const top = Math.min(at(last), high + span / 4);
  if (log) return roundedLog(bottom, top);
  if (top - bottom <= 1e-9 * Math.max(Math.abs(bottom), Math.abs(top))) {
    const around = Math.abs(top) * 0.1 || 1;
    return [bottom - around, top + around];
  }
  const margin = (top - bottom) * 0.05;
  return [bottom - margin, top + margin];
}

/** The multiples of a power of ten around two logarithms: marks of the axis begin there. */
function roundedLog(low: number, high: number): Range {
  const part = (at: number, round: (n: number) => number) => {
    const power = 10 ** Math.floor(at);
    // A logarithm of 3 may come back as 2.9999999999999996.
    return Number((round(Number((10 ** at / power).toPrecision(12))) * power).toPrecision(12));
  };
  const [bottom, top] = [part(low, Math.floor), part(high, Math.ceil)];
  if (bottom < top) return [bottom, top];
  return [part(low - 0.1, Math.floor), part(high + 0.1, Math.ceil)];
}

/** A place where a line leaves the frame, above or below it. */
export type Exit = { x: number; above: boolean; colour: number };

/**
 * Finds where lines leave a frame within a stretch of the x axis; what a logarithmic scale has no place for
 * leaves nothing.
 */
export const exitsOf = (lines: Line[], range: Range | null, frame: Range, log: boolean): Exit[] =>
  lines.flatMap(({ points, colour }) =>
    points.flatMap(([x, y]): Exit[] =>
      y === null ||
      (log && y <= 0) ||
      (range && (x < range[0] || x > range[1])) ||
      (y >= frame[0] && y <= frame[1])
        ? []
        : [{ x, above: y > frame[1], colour }],
    ),
  );

/** Points of the lines that a logarithmic scale leaves out: those whose value is 0 or below. */
export const countLeftOut = (lines: Line[], range: Range | null): number =>
  lines
    .filter(({ spots }) => spots)
    .flatMap(({ points }) => points)
    .filter(([x, y]) => y !== null && y <= 0 && (!range || (x >= range[0] && x <= range[1])))
    .length;
