import { describe, expect, it } from "vitest";
import type { Curve, CurvePoint } from "../types.ts";
import {
  firstNonfinite,
  linesOf,
  onAxis,
  type Spot,
  stepsWithin,
  withDetail,
  type XAxis,
  type XY,
} from "./curves.ts";

const start = Date.parse("2026-05-31T12:00:00Z");
/** A point each 100 steps and ten seconds, ten to an epoch. */
const point = (n: number, value: number | string = n): CurvePoint => [
  n * 100,
  n / 10,
  new Date(start + n * 10_000).toISOString(),
  value,
];
const points = Array.from({ length: 10 }, (_, n) => point(n));
const curveOf = (of: CurvePoint[], lists: Partial<Curve> = {}): Curve => ({
  ...{ metric: "loss", total: of.length, points: of, metrics: ["loss"] },
  ...lists,
});
/** Ten points of ten steps each, the third without a finite value and the fourth with some. */
const bucketed = curveOf(
  points.map(([step, epoch, time, value]) => [
    step + 100,
    epoch,
    time,
    step === 200 ? "NaN" : value,
  ]),
  {
    first_step: points.map(([step]) => step + 91),
    low: points.map((_, n) => (n === 2 ? null : n - 1)),
    high: points.map((_, n) => (n === 2 ? null : n + 2)),
    count: points.map(() => 10),
    nonfinite: points.map((_, n) => (n === 2 ? 10 : n === 3 ? 4 : 0)),
  },
);

describe("an axis", () => {
  const places = (of: CurvePoint[], axis: XAxis, entire?: CurvePoint[]) =>
    onAxis(curveOf(of), axis, entire && curveOf(entire)).map(({ x, y }): XY => [x, y]);

  it("counts steps, epochs, or seconds from the first point", () => {
    expect(places(points, "step")[3]).toEqual([300, 3]);
    expect(places(points, "epoch")[3]).toEqual([0.3, 3]);
    expect(places(points, "time")[3]).toEqual([30, 3]);
    expect(places(points, "clock")[3]).toEqual([start / 1000 + 30, 3]);
  });
  it("counts images where those of a step are known", () => {
    expect(onAxis(curveOf(points), "images", undefined, 8)[3]).toMatchObject({
      x: 2400,
      step: 300,
    });
    expect(onAxis(curveOf(points), "images")).toEqual([]);
    expect(stepsWithin(points, "images", [800, 2400], 8)).toEqual([100, 300]);
    expect(stepsWithin(points, "images", [800, 2400])).toBeNull();
    // The same curve smoothed over images is that over steps.
    const names = { label: "", smoothed: "", colour: 1 };
    const [, overSteps] = linesOf(onAxis(bucketed, "step"), "step", 0.9, names);
    const images = onAxis(bucketed, "images", undefined, 8);
    const [, overImages] = linesOf(images, "images", 0.9, names);
    for (const [n, [, y]] of (overSteps?.points ?? []).entries())
      if (y !== null) expect(overImages?.points[n]?.[1]).toBeCloseTo(y, 10);
  });
  it("counts the seconds of a part from the start of the entire curve", () => {
    expect(places(points.slice(5), "time", points)[0]).toEqual([50, 5]);
    expect(places(points.slice(5), "time")[0]).toEqual([0, 5]);
  });
  it("leaves out points that have no place on it, and makes a gap of what is no number", () => {
    const odd: CurvePoint[] = [[1, null, null, 0.5], point(1, "NaN")];
    expect(places(odd, "epoch")).toEqual([[0.1, null]]);
    expect(places(odd, "time")).toEqual([[0, null]]);
    expect(places(odd, "step")).toEqual([
      [1, 0.5],
      [100, null],
    ]);
    expect(places([], "time")).toEqual([]);
  });
  it("keeps what each point covers, also of those that follow one without a place", () => {
    expect(onAxis(bucketed, "step")[3]).toEqual({
      ...{ x: 400, y: 3, low: 2, high: 5, count: 10, nonfinite: 4, firstStep: 391, step: 400 },
      ...{ epoch: 0.3, time: start + 30_000 },
    });
    const [first, ...others] = bucketed.points;
    const placeless = [[first?.[0] ?? 0, null, null, 0] satisfies CurvePoint, ...others];
    expect(onAxis({ ...bucketed, points: placeless }, "epoch")[0]).toMatchObject({
      ...{ x: 0.1, firstStep: 191, high: 3 },
    });
  });
  it("takes points of an answer without these lists for single values", () => {
    expect(onAxis(curveOf([point(1, 7), point(2, "NaN")]), "step")).toMatchObject([
      { x: 100, y: 7, low: 7, high: 7, count: 1, nonfinite: 0, firstStep: 100, step: 100 },
      { x: 200, y: null, low: null, high: null, count: 1, nonfinite: 1, firstStep: 200, step: 200 },
    ]);
  });
});

it("a curve with the detail of a part has no point twice", () => {
  const whole = onAxis(bucketed, "step");
  const detail = onAxis(curveOf([350, 360, 400, 410].map((step) => [step, null, null, 1])), "step");
  expect(withDetail(whole, detail).map(({ step }) => step)).toEqual([
    ...[100, 200, 300, 350, 360, 400, 410, 500, 600, 700, 800, 900, 1000],
  ]);
  expect(withDetail(whole, [])).toBe(whole);
  expect(withDetail([], detail)).toEqual(detail);
});

it("a curve was first NaN or infinite at a step, or at one among those of a point", () => {
  const spots = onAxis(bucketed, "step");
  expect(firstNonfinite(spots)).toEqual([291, 291]);
  expect(firstNonfinite(spots.slice(3))).toEqual([391, 400]);
  expect(firstNonfinite(spots.slice(4))).toBeNull();
});

describe("the lines of a curve", () => {
  const names = { label: "loss", smoothed: "loss, smoothed", colour: 3 };
  const spots = onAxis(bucketed, "step");

  it("are one without smoothing, with what its points cover", () => {
    expect(linesOf(spots, "step", 0, names)).toEqual([
      { label: "loss", colour: 3, points: spots.map(({ x, y }) => [x, y]), spots },
    ]);
  });
  it("are two with it, and gaps in both", () => {
    const [raw, smoothed] = linesOf(spots, "step", 0.9, names);
    expect(raw).toMatchObject({ label: "loss", faint: true, spots });
    expect(smoothed).toMatchObject({ label: "loss, smoothed" });
    expect(smoothed?.points.map(([, y]) => y === null)).toEqual(points.map((_, n) => n === 2));
    const values = smoothed?.points.flatMap(([, y]) => y ?? []) ?? [];
    expect(values).toEqual([...values].sort((a, b) => a - b));
  });
  it("weigh each point by its finite values, and the distance by the axis", () => {
    const two: Spot[] = [1, 3].map((y, n) => ({
      ...{ x: 100 * n + 100, y, low: y, high: y, firstStep: 100 * n + 1, step: 100 * n + 100 },
      ...{ count: 100, nonfinite: n === 0 ? 60 : 0 },
    }));
    const end = (axis: XAxis) => linesOf(two, axis, 0.99, names)[1]?.points.at(-1)?.[1];
    // From step 1 to 200 the distance is 100 of 199; over another axis it is all there is.
    const expected = (factor: number) => (40 * factor + 300) / (40 * factor + 100);
    expect(end("step")).toBeCloseTo(expected(0.99 ** (10_000 / 199)), 10);
    expect(end("time")).toBeCloseTo(expected(0.99 ** 100), 10);
  });
});

describe("the steps of a stretch", () => {
  it("are the stretch itself over steps", () => {
    expect(stepsWithin(points, "step", [120, 340])).toEqual([120, 340]);
  });
  it("reach one point over each end of it over epochs and time", () => {
    expect(stepsWithin(points, "epoch", [0.3, 0.5])).toEqual([200, 600]);
    expect(stepsWithin(points, "time", [30, 50])).toEqual([200, 600]);
    expect(stepsWithin(points, "epoch", [-1, 0.05])).toEqual([0, 100]);
  });
  it("are none where no point lies within", () => {
    expect(stepsWithin(points, "epoch", [0.31, 0.39])).toBeNull();
    expect(stepsWithin([], "time", [0, 9])).toBeNull();
    expect(stepsWithin([[5, null, null, 1]], "epoch", [0, 9])).toBeNull();
  });
});
