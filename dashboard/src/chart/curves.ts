import { smooth } from "../../../src/shared/smoothing.ts";
import type { Curve, CurvePoint } from "../types.ts";

/** A point of a curve; null is a gap, also for a value that is no number. */
export type XY = [x: number, y: number | null];

/** A point over an axis, and the values of the steps from `firstStep` to `step` that it covers. */
export type Spot = {
  x: number;
  /** The mean of their finite values; null where none is finite. */
  y: number | null;
  low: number | null;
  high: number | null;
  count: number;
  nonfinite: number;
  firstStep: number;
  step: number;
};

export type Line = {
  label: string;
  /** A number from 1 to 8: the colour of the style sheet. */
  colour: number;
  points: XY[];
  /** Behind the others: the raw values of a smoothed line. */
  faint?: boolean;
  /** What the line is drawn from, where its band and its marks are drawn too. */
  spots?: Spot[];
};

export const xAxes = ["step", "epoch", "time"] as const;
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
 * A curve of the API over one of the three axes, without the points that have no place on it; time counts
 * seconds from the first point of the `entire` curve that it is a part of.
 */
export function onAxis(curve: Curve, axis: XAxis, entire: Pick<Curve, "points"> = curve): Spot[] {
  const start = startOf(entire.points);
  return curve.points.flatMap((point, n): Spot[] => {
    const x = xOf(point, axis, start);
    if (x === null) return [];
    const y = typeof point[3] === "number" ? point[3] : null;
    return [
      {
        x,
        y,
        low: curve.low?.[n] ?? y,
        high: curve.high?.[n] ?? y,
        count: curve.count?.[n] ?? 1,
        nonfinite: curve.nonfinite?.[n] ?? (y === null ? 1 : 0),
        firstStep: curve.first_step?.[n] ?? point[0],
        step: point[0],
      },
    ];
  });
}

/** The entire curve with the points of a part of it in place of its own. */
export function withDetail(entire: Spot[], detail: Spot[]): Spot[] {
  const [first, last] = [detail[0], detail.at(-1)];
  if (!first || !last) return entire;
  return [
    ...entire.filter(({ step }) => step < first.firstStep),
    ...detail,
    ...entire.filter(({ firstStep }) => firstStep > last.step),
  ];
}

/** The length of a curve on its axis, from the first step that it covers. */
const lengthOf = (spots: Spot[], axis: XAxis) => {
  const [first, last] = [spots[0], spots.at(-1)];
  return first && last ? last.x - (axis === "step" ? first.firstStep : first.x) : 0;
};

/** A curve as it is drawn: its means and, where it is smoothed, those behind the smoothed line. */
export function linesOf(
  spots: Spot[],
  axis: XAxis,
  strength: number,
  { label, smoothed, colour }: { label: string; smoothed: string; colour: number },
): Line[] {
  const raw: Line = { label, colour, points: spots.map(({ x, y }): XY => [x, y]), spots };
  if (strength <= 0) return [raw];
  const values = smooth(
    spots.map(({ x, y, count, nonfinite }) => ({ x, y, weight: count - nonfinite })),
    strength,
    lengthOf(spots, axis),
  );
  const points = spots.map(({ x }, n): XY => [x, values[n] ?? null]);
  return [
    { ...raw, faint: true },
    { label: smoothed, colour, points },
  ];
}

/** How far curves are smoothed where nobody asks for more or less. */
export const USUAL_SMOOTHING = 0.9;

/** The end of the smoothed curve over its steps; null where nothing is finite. */
export function endOf(curve: Curve): number | null {
  const names = { label: "", smoothed: "", colour: 1 };
  const smoothed = linesOf(onAxis(curve, "step"), "step", USUAL_SMOOTHING, names)[1];
  return smoothed?.points.findLast(([, y]) => y !== null)?.[1] ?? null;
}

/** The steps among which a curve was NaN or infinite for the first time; null where it never was. */
export function firstNonfinite(spots: Spot[]): [first: number, last: number] | null {
  const spot = spots.find(({ nonfinite }) => nonfinite > 0);
  if (!spot) return null;
  // Where none of its values is finite, the first of its steps is the one.
  return [spot.firstStep, spot.nonfinite >= spot.count ? spot.firstStep : spot.step];
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
