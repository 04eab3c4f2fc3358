import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Bucket,
  bucketOf,
  bucketsOf,
  coarsen,
  extremesOf,
  finiteOf,
  meanOfBucket,
  nonfiniteOf,
  packBucket,
  shownValue,
  unpackBucket,
} from "./buckets.ts";
import type { Point, Value } from "./points.ts";

const value = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }),
  },
  { weight: 2, arbitrary: fc.constantFrom<Value>("NaN", "Infinity", "-Infinity") },
);
const curve = fc
  .array(value, { minLength: 1, maxLength: 2000 })
  // JSON has no negative zero.
  .map((values) => values.map((v, i): Point => [i * 3, i / 100, 1000 + i, v === 0 ? 0 : v]));

/** What a bucket has to say of these points. */
function expectTrue(bucket: Bucket, points: Point[]) {
  const inside = points.filter(([step]) => step >= bucket.first && step <= bucket.last[0]);
  const finite = inside.flatMap(([, , , v]) => (typeof v === "number" ? [v] : []));
  const words = (word: string) => inside.filter(([, , , v]) => v === word).length;
  expect(bucket.count).toBe(inside.length);
  expect([bucket.first, bucket.last]).toEqual([inside[0]?.[0], inside.at(-1)]);
  expect([bucket.nan, bucket.inf, bucket.ninf]).toEqual([
    words("NaN"),
    words("Infinity"),
    words("-Infinity"),
  ]);
  expect(bucket.nonfiniteFrom).toBe(inside.find(([, , , v]) => typeof v !== "number")?.[0] ?? null);
  if (finite.length === 0) {
    expect([meanOfBucket(bucket), bucket.min, bucket.max]).toEqual([null, null, null]);
    expect(["NaN", "Infinity", "-Infinity"]).toContain(shownValue(bucket));
    return;
  }
  expect(Number(bucket.min?.[3])).toBe(Math.min(...finite));
  expect(Number(bucket.max?.[3])).toBe(Math.max(...finite));
  const mean = finite.reduce((sum, v) => sum + v / finite.length, 0);
  const size = finite.reduce((sum, v) => sum + Math.abs(v) / finite.length, 0);
  expect(Math.abs((meanOfBucket(bucket) ?? 0) - mean)).toBeLessThanOrEqual(
    // Among the smallest numbers there are, a division rounds by one of them.
    1e-9 * size + 2000 * Number.MIN_VALUE,
  );
}

describe("buckets", () => {
  it("say of their points what is true, however often they come together, stored or not", () => {
    fc.assert(
      fc.property(
        curve,
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 500 }),
        (points, size, max) => {
          const stored: Bucket[] = bucketsOf(points, size)
            .map((bucket) => JSON.parse(JSON.stringify(packBucket(bucket))))
            .map(unpackBucket);
          const coarse = coarsen(stored, max);
          expect(coarse.length).toBeLessThanOrEqual(Math.max(max, 1));
          for (const bucket of coarse) expectTrue(bucket, points);
          const total = coarse.reduce((sum, { count }) => sum + count, 0);
          expect(total).toBe(points.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("cover about as many points each, whatever they covered before", () => {
    const long = bucketsOf(
      Array.from({ length: 10_000 }, (_, n): Point => [n, null, null, n]),
      64,
    );
    const fine = Array.from({ length: 5000 }, (_, n) => bucketOf([10_000 + n, null, null, 1]));
    const counts = coarsen([...long, ...fine], 100).map(({ count }) => count);
    expect(Math.max(...counts)).toBeLessThan(300);
  });

  it("hold sums beyond a double, and show a mean of them all the same", () => {
    const [huge] = bucketsOf([1.7e308, 1.6e308].map((v, n): Point => [n, null, null, v]));
    expect(huge && [huge.sum, finiteOf(huge), nonfiniteOf(huge)]).toEqual([null, 2, 0]);
    expect(huge && shownValue(huge)).toBeCloseTo(1.65e308, -306);
  });

  it("lose no peak and no first NaN as extremes, and stay within the bound", () => {
    fc.assert(
      fc.property(curve, fc.integer({ min: 4, max: 500 }), (points, max) => {
        const kept = extremesOf(bucketsOf(points, 16), max);
        expect(kept.length).toBeLessThanOrEqual(max);
        expect(kept.at(-1)?.[0]).toBe(points.at(-1)?.[0]);
        expect(kept.every((p, i) => i === 0 || p[0] > (kept[i - 1]?.[0] ?? -1))).toBe(true);
        const numbers = (list: Point[]) =>
          list.map((p) => p[3]).filter((v) => typeof v === "number");
        if (numbers(points).length > 0) {
          expect(Math.max(...numbers(kept))).toBe(Math.max(...numbers(points)));
          expect(Math.min(...numbers(kept))).toBe(Math.min(...numbers(points)));
        }
        const odd = points.find(([, , , v]) => typeof v !== "number");
        if (odd) expect(kept.some(([step]) => step === odd[0])).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
