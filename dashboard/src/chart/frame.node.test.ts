import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Line } from "./curves.ts";
import { countBeyond, countLeftOut, exitsOf, frameOf, valuesOf } from "./frame.ts";

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
  it("has the values of its points, and those of the band where a point stands for several", () => {
    expect(valuesOf(lines, null)).toEqual([5, 4, 8, -1]);
    expect(valuesOf(lines, [2, 3])).toEqual([-1]);
  });
  it("leaves a frame where it or its band does, within what is in view", () => {
    const above = { x: 1, above: true, colour: 2 };
    const below = { x: 3, above: false, colour: 2 };
    expect(exitsOf(lines, null, [0, 6], false)).toEqual([below, above]);
    expect(exitsOf(lines, [0, 2], [0, 6], false)).toEqual([above]);
    expect(exitsOf(lines, null, [0.1, 6], true)).toEqual([above]);
    expect(exitsOf(lines, null, [-1, 8], false)).toEqual([]);
    // A point that leaves it by itself and by its band is one, and a smoothed line's is none.
    const smoothed: Line = { label: "smoothed", colour: 2, points: [[2, 99]] };
    expect(exitsOf([...lines, smoothed], null, [0, 4], false)).toHaveLength(4);
    expect(countBeyond([...lines, smoothed], null, [0, 4], false)).toBe(2);
  });
  it("tells how many of its points a logarithmic scale leaves out", () => {
    const smoothed: Line = { label: "smoothed", colour: 2, points: [[3, -1]] };
    expect(countLeftOut([...lines, smoothed], null)).toBe(1);
    expect(countLeftOut(lines, [0, 2])).toBe(0);
  });
});
