import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alignedSteps, type Piece, spreadOf, valuesAt } from "./aligned.ts";

const at = (step: number, value: number | null, first = step, weight = value === null ? 0 : 1) => ({
  ...{ first, step, value, weight },
});

describe("aligned steps", () => {
  it("are the runs' own where these are few, and else ends of equal stretches", () => {
    const runs = [
      [at(10, 1), at(20, 1)],
      [at(20, 1), at(35, 1)],
    ];
    expect(alignedSteps(runs, 3)).toEqual([10, 20, 35]);
    expect(alignedSteps(runs, 2)).toEqual([22, 35]);
    expect(alignedSteps([[at(100, 1, 1)], [at(50, 1, 11)]], 1)).toEqual([100]);
    expect(alignedSteps([], 5)).toEqual([]);
    expect(alignedSteps([[], []], 5)).toEqual([]);
  });

  it("have a run's values, between its points in proportion, and none where it is not", () => {
    const run = [at(10, 1), at(20, 3), at(30, 5)];
    expect(valuesAt(run, [5, 10, 15, 20, 28, 30, 31])).toEqual([null, 1, 2, 3, 4.6, 5, null]);
    // Both points that end in the stretch to 20 count, by the values that they cover.
    expect(valuesAt([at(10, 1, 1, 10), at(20, 4, 11, 5)], [20])).toEqual([2]);
    // A run has its first value from the first step on that the value covers.
    expect(valuesAt([at(10, 7, 6, 5)], [5, 6, 10, 11])).toEqual([null, 7, 7, null]);
  });

  it("have no value where a run has none that is finite, nor next to it", () => {
    const run = [at(1, 1), at(3, null), at(5, 5), at(7, 7)];
    expect(valuesAt(run, [1, 2, 3, 4, 5, 6, 7])).toEqual([1, null, null, null, 5, 6, 7]);
    // In a stretch with others, a NaN is not counted.
    expect(valuesAt(run, [3, 7])).toEqual([1, 6]);
  });
});

describe("the spread of runs", () => {
  it("is a mean, a sample standard deviation and extremes", () => {
    // Deviations −3, −1, 1, 3: their squares add up to 20, and 20 / 3 is 6.666….
    expect(spreadOf([2, 4, 6, 8])).toEqual({
      ...{ n: 4, mean: 5, min: 2, max: 8 },
      std: expect.closeTo(Math.sqrt(20 / 3), 12),
    });
    expect(spreadOf([1, null, 3])).toMatchObject({ n: 2, mean: 2 });
    expect(spreadOf([1, null, 3]).std).toBeCloseTo(Math.SQRT2, 12);
    expect(spreadOf([4, null])).toEqual({ n: 1, mean: 4, std: null, min: 4, max: 4 });
    expect(spreadOf([null])).toEqual({ n: 0, mean: null, std: null, min: null, max: null });
  });

  it("survives the largest and the smallest numbers", () => {
    const most = Number.MAX_VALUE;
    expect(spreadOf([most, -most])).toMatchObject({ mean: 0, std: null, min: -most, max: most });
    expect(spreadOf([most, most])).toMatchObject({ mean: most, std: 0 });
    for (const unit of [1e200, 1e-200])
      expect((spreadOf([unit, 3 * unit]).std ?? 0) / unit).toBeCloseTo(Math.SQRT2, 12);
  });

  const number = fc.double({ noNaN: true, noDefaultInfinity: true });
  it("has its mean among the values, and none where all are the same", () => {
    fc.assert(
      fc.property(fc.array(fc.option(number), { minLength: 1, maxLength: 50 }), (values) => {
        const { n, mean, std, min, max } = spreadOf(values);
        expect(n).toBe(values.filter((value) => value !== null).length);
        if (mean === null || min === null || max === null) {
          expect(n).toBe(0);
          return;
        }
        expect(mean).toBeGreaterThanOrEqual(min);
        expect(mean).toBeLessThanOrEqual(max);
        // No sample deviates by more than √2 of half its range in each direction.
        if (std !== null) expect(std / 2).toBeLessThanOrEqual((max / 2 - min / 2) * 1.0000001);
      }),
    );
    fc.assert(
      fc.property(number, fc.integer({ min: 2, max: 50 }), (value, n) => {
        expect(spreadOf(Array(n).fill(value))).toEqual({
          ...{ n, mean: value, std: 0, min: value, max: value },
        });
      }),
    );
  });

  const run = fc
    .uniqueArray(
      fc.record({ step: fc.nat(400), value: fc.option(fc.double({ min: -9, max: 9 })) }),
      {
        ...{ selector: ({ step }: { step: number }) => step, maxLength: 80 },
      },
    )
    .map((points): Piece[] =>
      points
        .sort((a, b) => a.step - b.step)
        .map(({ step, value }) => at(step, Number.isNaN(value) ? null : value)),
    );

  it("of one run is that run at its own steps, and stays within its values at any others", () => {
    fc.assert(
      fc.property(run, fc.integer({ min: 1, max: 60 }), (pieces, most) => {
        expect(valuesAt(pieces, alignedSteps([pieces], 80))).toEqual(
          pieces.map(({ value }) => value),
        );
        const steps = alignedSteps([pieces], most);
        expect(steps.length).toBeLessThanOrEqual(most);
        expect(new Set(steps).size).toBe(steps.length);
        expect(steps.at(-1)).toBe(pieces.at(-1)?.step);
        const known = pieces.flatMap(({ value }) => value ?? []);
        for (const value of valuesAt(pieces, steps))
          if (value !== null) {
            expect(value).toBeGreaterThanOrEqual(Math.min(...known));
            expect(value).toBeLessThanOrEqual(Math.max(...known));
          }
      }),
    );
  });

  it("keeps the mean of a run in equal stretches, whatever their number", () => {
    const pieces = Array.from({ length: 1000 }, (_, n) => at(n + 1, (n * 37) % 11));
    const mean = pieces.reduce((sum, { value }) => sum + (value ?? 0), 0) / 1000;
    for (const most of [1, 10, 100, 500]) {
      const values = valuesAt(pieces, alignedSteps([pieces], most));
      const own = values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / most;
      expect(own).toBeCloseTo(mean, 9);
    }
  });
});
