import { describe, expect, it } from "vitest";
import type { CurvePoint } from "../types.ts";
import { onAxis, smooth, stepsWithin, type XY } from "./curves.ts";

const start = Date.parse("2026-05-31T12:00:00Z");
/** A point each 100 steps and ten seconds, ten to an epoch. */
const point = (n: number, value: number | string = n): CurvePoint => [
  n * 100,
  n / 10,
  new Date(start + n * 10_000).toISOString(),
  value,
];
const points = Array.from({ length: 10 }, (_, n) => point(n));

describe("smoothing", () => {
  it("leaves points alone without a weight", () => {
    const raw: XY[] = [[1, 2]];
    expect(smooth(raw, 0)).toBe(raw);
    expect(smooth([], 0.9)).toEqual([]);
  });
  it("keeps a constant line where it is, from its first point on", () => {
    const flat = Array.from({ length: 5 }, (_, n): XY => [n, 3]);
    for (const [, y] of smooth(flat, 0.99)) expect(y).toBeCloseTo(3, 10);
  });
  it("weighs the points before by the weight, without the bias of the start", () => {
    expect(
      smooth(
        [
          [0, 1],
          [1, 0],
        ],
        0.5,
      )[1]?.[1],
    ).toBeCloseTo(1 / 3, 10);
  });
  it("leaves a gap a gap, and goes on behind it", () => {
    const [, gap, next] = smooth(
      [
        [0, 1],
        [1, null],
        [2, 1],
      ],
      0.9,
    );
    expect(gap).toEqual([1, null]);
    expect(next?.[1]).toBeCloseTo(1, 10);
  });
});

describe("an axis", () => {
  it("counts steps, epochs, or seconds from the first point", () => {
    expect(onAxis(points, "step")[3]).toEqual([300, 3]);
    expect(onAxis(points, "epoch")[3]).toEqual([0.3, 3]);
    expect(onAxis(points, "time")[3]).toEqual([30, 3]);
  });
  it("counts the seconds of a part from the start of the entire curve", () => {
    expect(onAxis(points.slice(5), "time", points)[0]).toEqual([50, 5]);
    expect(onAxis(points.slice(5), "time")[0]).toEqual([0, 5]);
  });
  it("leaves out points that have no place on it, and makes a gap of what is no number", () => {
    const odd: CurvePoint[] = [[1, null, null, 0.5], point(1, "NaN")];
    expect(onAxis(odd, "epoch")).toEqual([[0.1, null]]);
    expect(onAxis(odd, "time")).toEqual([[0, null]]);
    expect(onAxis(odd, "step")).toEqual([
      [1, 0.5],
      [100, null],
    ]);
    expect(onAxis([], "time")).toEqual([]);
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
