import type { Line } from "./curves.ts";

/** The part of an axis that is in view; null is all of it. */
export type Range = [low: number, high: number];

/** Values beyond these cannot be told apart on a scale: their differences would be infinite, or 0. */
const MOST = 4e307;
const LEAST = 1e-290;

/**
 * Values that a chart draws within a stretch of its x axis: those of its points, and the ends of their bands.
 * A smoothed line lies among them, and a spike goes on in it for long.
 */
export function valuesOf(lines: Line[], range: Range | null): number[] {
  const values: number[] = [];
  const add = (x: number, y: number | null) => {
    if (y !== null && (!range || (x >= range[0] && x <= range[1]))) values.push(y);
  };
  for (const { x, y, low, high, count } of lines.flatMap(({ spots = [] }) => spots)) {
    add(x, y);
    if (count > 1) {
      add(x, low);
      add(x, high);
    }
  }
  return values;
}

/**
 * The part of the y axis that shows some values. By default it goes from their 1st to their 99th percentile
 * (of 20 values or more at least one is left out at each end) and a quarter of that further where values
 * are, so that a spike does not flatten the curve; `all` shows each of them. A constant is in its middle.
 * On a logarithmic scale the values of 0 and below have no place.
 */
export function frameOf(values: number[], { log, all }: { log: boolean; all: boolean }): Range {
  const sorted = Float64Array.from(log ? values.filter((value) => value > 0) : values).sort();
  if (sorted.length === 0) return log ? [0.1, 1] : [0, 1];
  const to = (value: number) => {
    const bounded = Math.min(Math.max(value, log ? LEAST : -MOST), MOST);
    return log ? Math.log10(bounded) : bounded;
  };
  const left = all || sorted.length < 20 ? 0 : Math.ceil(sorted.length / 100);
  const at = (n: number) => to(sorted[n] ?? 0);
  const [low, high] = [at(left), at(sorted.length - 1 - left)];
  const span = high - low;
  const bottom = Math.max(at(0), low - span / 4);
  const top = Math.min(at(sorted.length - 1), high + span / 4);
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

/** A place where lines leave the frame within a stretch of the x axis, above or below it. */
export type Exit = { x: number; above: boolean; colour: number };

/** Finds where lines leave a frame; what a logarithmic scale has no place for leaves nothing. */
export function exitsOf(lines: Line[], range: Range | null, frame: Range, log: boolean): Exit[] {
  const exits: Exit[] = [];
  for (const { points, spots, colour } of lines) {
    const add = (x: number, y: number | null) => {
      if (y === null || (log && y <= 0) || (range && (x < range[0] || x > range[1]))) return;
      if (y > frame[1]) exits.push({ x, above: true, colour });
      if (y < frame[0]) exits.push({ x, above: false, colour });
    };
    for (const [x, y] of points) add(x, y);
    for (const { x, low, high, count } of spots ?? [])
      if (count > 1) {
        add(x, low);
        add(x, high);
      }
  }
  return exits;
}

/** How many points of the lines lie outside a frame, in part or wholly. */
export const countBeyond = (...[lines, ...view]: Parameters<typeof exitsOf>): number =>
  new Set(
    exitsOf(
      lines.filter(({ spots }) => spots),
      ...view,
    ).map(({ x, colour }) => `${colour} ${x}`),
  ).size;

/** Points of the lines that a logarithmic scale leaves out: those whose value is 0 or below. */
export const countLeftOut = (lines: Line[], range: Range | null): number =>
  lines
    .filter(({ spots }) => spots)
    .flatMap(({ points }) => points)
    .filter(([x, y]) => y !== null && y <= 0 && (!range || (x >= range[0] && x <= range[1])))
    .length;
