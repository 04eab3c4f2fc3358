import type { CurvePoint } from "../types.ts";

/** A point of a curve: where, and how much; what is no number is a gap. */
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

export const xAxes = ["step", "epoch", "time"] as const;
export type XAxis = (typeof xAxes)[number];

/** Points of the API over one of the three axes; time counts seconds from the first point. */
export function onAxis(points: CurvePoint[], axis: XAxis): XY[] {
  const begun = points.find(([, , time]) => time !== null)?.[2];
  const from = begun ? Date.parse(begun) : 0;
  return points.flatMap(([step, epoch, time, value]): XY[] => {
    const x =
      axis === "step" ? step : axis === "epoch" ? epoch : time && (Date.parse(time) - from) / 1000;
    if (x === null || x === "") return [];
    return [[x, typeof value === "number" ? value : null]];
  });
}
