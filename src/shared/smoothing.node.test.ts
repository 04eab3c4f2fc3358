import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { smooth, type Weighted } from "./smoothing.ts";

const MEAN = 0.11;
/** The radical inverse to base 2: 1/2, 1/4, 3/4, 1/8, … fills 0 to 1 evenly, so that no chance is in it. */
function evenly(n: number): number {
  let inverse = 0;
  for (let rest = n, digit = 0.5; rest > 0; rest = Math.floor(rest / 2), digit /= 2)
    if (rest % 2) inverse += digit;
  return inverse;
}
/** A skewed loss of mean 0.110, the exponential distribution, at evenly spread quantiles. */
const skewed = (n: number): Weighted => ({
  x: n + 1,
  y: -MEAN * Math.log1p(-evenly(n + 1)),
  weight: 1,
});

/** The mean of each of `count` parts as equal as can be, as the service answers them. */
function inBuckets(points: Weighted[], count: number): Weighted[] {
  return Array.from({ length: count }, (_, n) => {
    const from = Math.floor((n * points.length) / count);
    const part = points.slice(from, Math.floor(((n + 1) * points.length) / count));
    const finite = part.filter((point): point is Weighted & { y: number } => point.y !== null);
    const weight = finite.length;
    const sum = finite.reduce((total, { y }) => total + y, 0);
    return { x: part.at(-1)?.x ?? 0, y: weight ? sum / weight : null, weight };
  }).filter((_, n) => Math.floor((n * points.length) / count) < points.length);
}

describe("the smoothed end of one and the same distribution", () => {
  it.each([1_000, 5_000, 20_000, 100_000, 1_000_000])("over %i steps", (steps) => {
    const points = Array.from({ length: steps }, (_, n) => skewed(n));
    const ends = [points, ...[50, 300, 1_200].map((count) => inBuckets(points, count))].map(
      (curve) => smooth(curve, 0.9).at(-1) ?? 0,
    );
    for (const end of ends) expect(Math.abs(end / MEAN - 1)).toBeLessThan(0.02);
  });
});

describe("smoothing", () => {
  const line = (values: (number | null)[], weight = 1): Weighted[] =>
    values.map((y, x) => ({ x, y, weight }));

  it("changes nothing without a strength", () => {
    expect(smooth(line([1, 5, null, 2]), 0)).toEqual([1, 5, null, 2]);
    expect(smooth([], 0.9)).toEqual([]);
  });
  it("follows its formula", () => {
    const points = [
      { x: 10, y: 1, weight: 2 },
      { x: 11, y: 3, weight: 1 },
      { x: 14, y: -2, weight: 4 },
    ];
    const [near, far] = [0.97 ** 25, 0.97 ** 75];
    const smoothed = smooth(points, 0.97);
    expect(smoothed[0]).toBe(1);
    expect(smoothed[1]).toBeCloseTo((2 * near + 3) / (2 * near + 1), 12);
    expect(smoothed[2]).toBeCloseTo(((2 * near + 3) * far - 8) / ((2 * near + 1) * far + 4), 12);
  });
  it("is that of the whole curve in a part of it that is given the whole's range", () => {
    const whole = Array.from({ length: 2_000 }, (_, n) => skewed(n));
    const part = whole.slice(1_000);
    const end = smooth(whole, 0.9).at(-1) ?? 0;
    expect(smooth(part, 0.9, 1_999).at(-1)).toBeCloseTo(end, 3);
  });
  it("leaves gaps, and forgets over them as over points", () => {
    const nan = Number.NaN;
    const smoothed = smooth(line([4, null, nan, Number.POSITIVE_INFINITY, 2]), 0.99);
    expect(smoothed.slice(0, 4)).toEqual([4, null, null, null]);
    const factor = 0.99 ** 100;
    expect(smoothed[4]).toBeCloseTo((4 * factor + 2) / (factor + 1), 12);
    expect(smooth(line([null, null, 3]), 0.9)).toEqual([null, null, 3]);
    expect(smooth([{ x: 0, y: 1, weight: 0 }], 0.9)).toEqual([null]);
  });
  it("takes points at one place, and a place that lies before, as equally near", () => {
    const points = [5, 5, 4].map((x, n) => ({ x, y: n, weight: 1 }));
    expect(smooth(points, 0.9)).toEqual([0, 0.5, 1]);
  });
  it("keeps the largest numbers finite, and a constant line exactly where it is", () => {
    const huge = Number.MAX_VALUE;
    for (const smoothed of [0.5, 0.9, 0.99, 1].map((strength) =>
      smooth(line([huge, huge, -huge, -huge, huge, huge], 1e6), strength),
    ))
      for (const y of smoothed) expect(Math.abs(y ?? Number.NaN)).toBeLessThanOrEqual(huge);
    for (const constant of [huge, 7.000000000000001e-5, -3])
      expect(new Set(smooth(line(Array(50).fill(constant)), 0.93))).toEqual(new Set([constant]));
  });

  it("ends nearly alike for the points of a curve and for their means", () => {
    const curve = fc
      .array(
        fc.record({
          gap: fc.integer({ min: 1, max: 9 }),
          y: fc.option(fc.double({ min: -1, max: 1, noNaN: true }), { freq: 9 }),
        }),
        { minLength: 300, maxLength: 900 },
      )
      .map((steps) => {
        let x = 0;
        return steps.map(({ gap, y }): Weighted => {
          x += gap;
          return { x, y, weight: y === null ? 0 : 1 };
        });
      });
    const strengths = fc.double({ min: 0.1, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(
        curve,
        fc.integer({ min: 50, max: 299 }),
        strengths,
        (points, count, strength) => {
          const range = (points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0);
          const last = (curve: Weighted[]) =>
            smooth(curve, strength, range).findLast((y) => y !== null) ?? 0;
          const widest = (9 * Math.ceil(points.length / count)) / range;
          // Within a bucket weights differ by this factor at most, and values by 2.
          const most = 2 * (1 - strength ** (100 * widest));
          expect(Math.abs(last(inBuckets(points, count)) - last(points))).toBeLessThanOrEqual(
            most + 1e-9,
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});
