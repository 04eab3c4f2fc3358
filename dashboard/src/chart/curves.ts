import type { CurvePoint } from "../types.ts";

/** A point of a curve; null is a gap, also for a value that is no number. */
export type XY = [x: number, y: number | null];

/**
 * Exponential moving average without the bias of its start, as people know it from training
 * dashboards; `weight` from 0 (raw) to below 1.
 */
export function smooth(points: XY[], weight: number): XY[] {
  if (weight <= 0) return points;
  let sum = 0;
  let debias = 0;
  return points.map(([x, y]): XY => {
    if (y === null) return [x, null];
    sum = sum * weight + (1 - weight) * y;
    debias = debias * weight + (1 - weight);
    return [x, sum / debias];
  });
}

const xAxes = ["step", "epoch", "time"] as const;
export type XAxis = (typeof xAxes)[number];

/** The start of a curve's time axis, in milliseconds. */
const startOf = (points: CurvePoint[]) => {
  const first = points.find(([, , time]) => time !== null)?.[2];
  return first ? Date.parse(first) : 0;
};

const xOf = ([step, epoch, time]: CurvePoint, axis: XAxis, start: number) => {
  if (axis === "step") return step;
  if (axis === "epoch") return epoch;
  return time ? (Date.parse(time) - start) / 1000 : null;
};

/**
 * Points of the API over one of the three axes; time counts seconds from the first point of the
 * `entire` curve that they are a part of.
 */
export function onAxis(points: CurvePoint[], axis: XAxis, entire = points): XY[] {
  const start = startOf(entire);
  return points.flatMap((point): XY[] => {
    const x = xOf(point, axis, start);
    return x === null ? [] : [[x, typeof point[3] === "number" ? point[3] : null]];
  });
}

/** The range of steps within a stretch of an axis: those of its points, and of one more on each side. */
export function stepsWithin(
  points: CurvePoint[],
  axis: XAxis,
  [low, high]: [number, number],
): [number, number] | null {
  if (axis === "step") return [low, high];
  const start = startOf(points);
  const steps: number[] = [];
  for (const [n, point] of points.entries()) {
    const x = xOf(point, axis, start);
    if (x === null || x < low || x > high) continue;
    for (const near of [points[n - 1], point, points[n + 1]]) if (near) steps.push(near[0]);
  }
  return steps.length ? [Math.min(...steps), Math.max(...steps)] : null;
}
