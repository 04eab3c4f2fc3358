import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Line } from "./curves.ts";
import {
  countLeftOut,
  exitsOf,
  frameOf as frameOfWeighed,
  valuesOf,
  type Weighed,
} from "./frame.ts";

const frameOf = (values: number[], how: { log: boolean; all: boolean }) =>
  frameOfWeighed(
    values.map((value): Weighed => [value, 1]),
    how,
  );
const robust = { log: false, all: false };
const linear = { log: false, all: true };

describe("the frame of some values", () => {
  it("leaves a spike outside, and the rest as high as it can be", () => {
    const values = Array.from({ length: 400 }, (_, n) => 0.1 + 0.01 * Math.sin(n));
    const [low, high] = frameOf([...values, 1500], robust);
    expect(low).toBeGreaterThan(0.08);
    expect(high).toBeLessThan(0.13);
    expect(frameOf([...values, 1500], linear)[1]).toBeGreaterThan(1500);
  });
  it("leaves a spike of a short run outside too, and each of a handful of values in it", () => {
    const short = [...Array(39).fill(1), 2, 900];
    expect(frameOf(short, robust)[1]).toBeLessThan(10);
    expect(frameOf([1, 2, 900], robust)[1]).toBeGreaterThan(900);
  });
  it("holds all of a curve that has no spike", () => {
    const falling = Array.from({ length: 1000 }, (_, n) => 1000 - n);
    const [low, high] = frameOf(falling, robust);
    expect(low).toBeLessThan(1);
    expect(high).toBeGreaterThan(1000);
    expect(high).toBeLessThan(1100);
  });
  it.each([20_000, 7e-5, -3, 1e308, 5e-324])("has a constant of %s near its middle", (value) => {
    const [low, high] = frameOf([value, value, value * (1 + 1e-15)], robust);
    expect(low).toBeLessThan(value);
    expect(high).toBeGreaterThan(Math.min(value, 4e307));
    expect(high - low).toBeLessThanOrEqual(Math.max(0.2000001 * Math.abs(value), 2));
  });
  it("has a constant of 0 in its middle, and a size where there is nothing", () => {
    expect(frameOf([0, 0], robust)).toEqual([-1, 1]);
    expect(frameOf([], robust)).toEqual([0, 1]);
    expect(frameOf([0, -1], { log: true, all: true })).toEqual([0.1, 1]);
  });
  it("begins and ends at a mark of a logarithmic scale, and leaves out what has no place on it", () => {
    const frame = (values: number[]) => frameOf(values, { log: true, all: true });
    expect(frame([0.0837, 0.52, 0, -4])).toEqual([0.08, 0.6]);
    expect(frame([1e-4, 1])).toEqual([1e-4, 1]);
    expect(frame([1000])).toEqual([700, 2000]);
    expect(frame([0.11, 0.11])).toEqual([0.1, 0.2]);
  });
  it("is of finite numbers, the lower one first, whatever the values are", () => {
    const values = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 60 });
    fc.assert(
      fc.property(values, fc.boolean(), fc.boolean(), (numbers, log, all) => {
        const [low, high] = frameOf(numbers, { log, all });
        expect(low).toBeLessThan(high);
        expect(Number.isFinite(high - low)).toBe(true);
        if (log) expect(low).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a line with a band", () => {
  const spot = { count: 9, nonfinite: 0, firstStep: 0, step: 0 };
  const lines: Line[] = [
    {
      ...{ label: "loss", colour: 2 },
      points: [
        [1, 5],
        [2, null],
        [3, -1],
      ],
      spots: [
        { ...spot, x: 1, y: 5, low: 4, high: 8 },
        { ...spot, x: 2, y: null, low: null, high: null },
        { ...spot, x: 3, y: -1, low: -1, high: -1, count: 1 },
      ],
    },
  ];
  it("has the values of its points, and those of the band where a point covers several", () => {
    const band: Weighed[] = [
      [5, 7],
      [4, 1],
      [8, 1],
    ];
    expect(valuesOf(lines, null)).toEqual([...band, [-1, 1]]);
    expect(valuesOf(lines, [2, 3])).toEqual([[-1, 1]]);
  });
  it("has much the same frame in few points as in many", () => {
    const values = Array.from({ length: 30_000 }, (_, n) => -Math.log1p(-((n * 0.618034) % 1)));
    const frame = (each: number) => {
      const spots = Array.from({ length: values.length / each }, (_, n) => {
        const part = values.slice(n * each, (n + 1) * each);
        return {
          ...{ ...spot, x: n, count: each, low: Math.min(...part), high: Math.max(...part) },
          y: part.reduce((sum, y) => sum + y, 0) / each,
        };
      });
      return frameOfWeighed(valuesOf([{ label: "", colour: 1, points: [], spots }], null), robust);
    };
    const exact = frame(1);
    for (const each of [25, 100]) {
      expect(Math.abs(frame(each)[1] / exact[1] - 1)).toBeLessThan(0.25);
      expect(frame(each)[0]).toBeCloseTo(0, 0);
    }
  });
  it("leaves a spike outside of few points, whatever they cover", () => {
    const spots = Array.from({ length: 30 }, (_, n) => ({ ...spot, x: n, y: 1, low: 0, high: 2 }));
    spots[7] = { ...spot, x: 7, y: 100, low: 0, high: 892 };
    const [low, high] = frameOfWeighed(
      valuesOf([{ label: "", colour: 1, points: [], spots }], null),
      robust,
    );
    expect(low).toBeGreaterThanOrEqual(-1);
    expect(high).toBeLessThan(4);
  });
  it("leaves a frame within what is in view", () => {
    const above = { x: 1, above: true, colour: 2 };
    const below = { x: 3, above: false, colour: 2 };
    expect(exitsOf(lines, null, [0, 4], false)).toEqual([above, below]);
    expect(exitsOf(lines, [0, 2], [0, 4], false)).toEqual([above]);
    expect(exitsOf(lines, null, [0.1, 4], true)).toEqual([above]);
    expect(exitsOf(lines, null, [-1, 5], false)).toEqual([]);
  });
  it("tells how many of its points a logarithmic scale leaves out", () => {
    const smoothed: Line = { label: "smoothed", colour: 2, points: [[3, -1]] };
    expect(countLeftOut([...lines, smoothed], null)).toBe(1);
    expect(countLeftOut(lines, [0, 2])).toBe(0);
  });
});
