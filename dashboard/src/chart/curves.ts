import { smooth } from "../../../src/shared/smoothing.ts";
import type { Curve, CurvePoint } from "../types.ts";

/** A point of a curve; null is a gap, also for a value that is no number. */
export type XY = [x: number, y: number | null];

/** The band of a group: a standard deviation to each side of the mean, or all of its runs. */
export const bands = ["std", "range"] as const;
export type Band = (typeof bands)[number];

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
  /** Epoch and time (milliseconds since 1970) of the last step, where they are known. */
  epoch?: number | null;
  time?: number | null;
  /** The meaning of `low` and `high` where the point is the mean of a group's runs, `count` of them. */
  band?: Band;
};

/** Where a point of a curve is, by its steps and on an axis. */
export type CurvePlace = Pick<Spot, "x" | "firstStep" | "step">;

export type Line = {
  label: string;
  /** Its name among saved points, where others may have the same label. */
  series?: string;
  /** The number of a colour of the style sheet, from 1. */
  colour: number;
  /** The number of its dashes; 0, or none, is an unbroken line. */
  dash?: number;
  /** Drawn thicker than the others. */
  strong?: boolean;
  points: XY[];
  /** Behind the others: the raw values of a smoothed line. */
  faint?: boolean;
  /** Not drawn: among many lines raw values are noise. Its band and marks are. */
  unseen?: boolean;
  /** What the line is drawn from, where its band and its marks are drawn too. */
  spots?: Spot[];
};

export const xAxes = ["step", "epoch", "images", "time", "clock"] as const;
export type XAxis = (typeof xAxes)[number];

/** The start of a curve's time axis, in milliseconds. */
const startOf = (points: CurvePoint[]) => {
  const first = points.find(([, , time]) => time !== null)?.[2];
  return first ? Date.parse(first) : 0;
};

/** How a curve lies on its axis: its start in milliseconds, and the images of a step where they are known. */
type Scale = { start: number; images: number | null };

function xOf([step, epoch, time]: CurvePoint, axis: XAxis, { start, images }: Scale) {
  if (axis === "step") return step;
  if (axis === "epoch") return epoch;
  if (axis === "images") return images === null ? null : step * images;
  if (time === null) return null;
  return (Date.parse(time) - (axis === "clock" ? 0 : start)) / 1000;
}

/**
 * A curve of the API over one of the axes, without the points that have no place on it; time counts seconds
 * from the first point of the `entire` curve that it is a part of, the clock those since 1970, and `images`
 * are those of a step.
 */
export function onAxis(
  curve: Curve,
  axis: XAxis,
  entire: Pick<Curve, "points"> = curve,
  images: number | null = null,
): Spot[] {
  const scale = { start: startOf(entire.points), images };
  return curve.points.flatMap((point, n): Spot[] => {
    const x = xOf(point, axis, scale);
    if (x === null) return [];
    const [step, epoch, time, value] = point;
    const y = typeof value === "number" ? value : null;
    return [
      {
        x,
        y,
        low: curve.low?.[n] ?? y,
        high: curve.high?.[n] ?? y,
        count: curve.count?.[n] ?? 1,
        nonfinite: curve.nonfinite?.[n] ?? (y === null ? 1 : 0),
        firstStep: curve.first_step?.[n] ?? step,
        step,
        epoch,
        time: time === null ? null : Date.parse(time),
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
  if (!first || !last) return 0;
  if (axis === "step") return last.x - first.firstStep;
  return last.x - (axis === "images" ? (first.x / first.step || 0) * first.firstStep : first.x);
};

/** A curve as it is drawn: its means and, where it is smoothed, those behind the smoothed line. */
export function linesOf(
  spots: Spot[],
  axis: XAxis,
  strength: number,
  {
    label,
    smoothed,
    ...style
  }: { label: string; smoothed: string } & Pick<Line, "colour" | "dash" | "strong" | "series">,
): Line[] {
  const raw: Line = { label, ...style, points: spots.map(({ x, y }): XY => [x, y]), spots };
  if (strength <= 0) return [raw];
  const values = smooth(
    spots.map(({ x, y, count, nonfinite }) => ({ x, y, weight: count - nonfinite })),
    strength,
    lengthOf(spots, axis),
  );
  const points = spots.map(({ x }, n): XY => [x, values[n] ?? null]);
  return [
    { ...raw, faint: true },
    { label: smoothed, ...style, points },
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
  images: number | null = null,
): [number, number] | null {
  if (axis === "step") return [low, high];
  if (axis === "images") return images ? [low / images, high / images] : null;
  const scale = { start: startOf(points), images };
  const steps: number[] = [];
  for (const [n, point] of points.entries()) {
    const x = xOf(point, axis, scale);
    if (x === null || x < low || x > high) continue;
    for (const near of [points[n - 1], point, points[n + 1]]) if (near) steps.push(near[0]);
  }
  return steps.length ? [Math.min(...steps), Math.max(...steps)] : null;
}
