import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { indexAt } from "./align.ts";
import { imagesPerStep, placeOfStep, valueTitle } from "./axes.ts";
import { shareCrosshair } from "./crosshair.ts";
import { csvOf } from "./csv.ts";
import { type Line, linesOf, type Spot } from "./curves.ts";
import { frameOf, type Range, valuesOf } from "./frame.ts";
import { panBy, zoomAround } from "./gestures.ts";
import { marksOf } from "./happened.ts";
import { coverText, linesUnder } from "./tooltip.tsx";

const spot = (n: number, more: Partial<Spot> = {}): Spot => ({
  ...{ x: n, y: n / 7, low: 0, high: n, count: 10, nonfinite: 0, firstStep: n - 9, step: n },
  ...{ epoch: n / 100, time: 1_780_000_000_000 + n * 1000 },
  ...more,
});
const spots = [10, 20, 30, 40].map((n) => spot(n));
const names = { label: "loss", smoothed: "loss, smoothed", colour: 1 };

describe("gestures", () => {
  const whole: Range = [0, 1000];
  it("zoom around a place, and never beyond the whole", () => {
    expect(zoomAround([0, 1000], 250, 0.5, whole)).toEqual([125, 625]);
    expect(zoomAround([125, 625], 250, 2, whole)).toBeNull();
    expect(zoomAround([0, 100], 50, 2, whole)).toEqual([0, 200]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 998 }),
        fc.integer({ min: 1, max: 999 }),
        fc.double({ min: 1e-9, max: 1e9, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (low, length, factor, at) => {
          const high = Math.min(1000, low + length);
          const range = zoomAround([low, high], low + at * (high - low), factor, whole);
          if (!range) return;
          expect(range[0]).toBeGreaterThanOrEqual(-1e-6);
          expect(range[1]).toBeLessThanOrEqual(1000 + 1e-6);
          expect(range[1] - range[0]).toBeGreaterThan(1e-3);
        },
      ),
    );
  });
  it("move the stretch to the ends of the whole and no further", () => {
    expect(panBy([100, 200], 50, whole)).toEqual([150, 250]);
    expect(panBy([100, 200], -500, whole)).toEqual([0, 100]);
    expect(panBy([100, 200], 5000, whole)).toEqual([900, 1000]);
    expect(panBy([0, 1000], 5, whole)).toBeNull();
  });
});

describe("what lies under the crosshair", () => {
  const points = spots.map(({ x, y }): [number, number | null] => [x, y]);
  it("is the last point at or before it", () => {
    expect([9, 10, 15, 40, 99].map((x) => indexAt(points, x))).toEqual([-1, 0, 0, 3, 3]);
    expect(indexAt([], 1)).toBe(-1);
  });
  it("is a line's value with what its raw point covers, while the line lasts", () => {
    const lines = linesOf(spots, "step", 0.9, names);
    const [found, ...others] = linesUnder(lines, 30);
    expect(others).toEqual([]);
    expect(found?.line.label).toBe("loss, smoothed");
    expect(found?.value).toBe(lines[1]?.points[2]?.[1]);
    expect(found?.spot).toBe(spots[2]);
    for (const x of [9, 41]) expect(linesUnder(lines, x)).toEqual([]);
    const two = [...linesOf(spots, "step", 0, names), ...linesOf(spots, "step", 0, names)];
    expect(linesUnder(two, 20)).toHaveLength(2);
  });
  it("names the extent of a group's runs by its band, and that of a point's values", () => {
    const one = spot(2, { low: 0.9, high: 1.1, count: 2 });
    expect([coverText({ ...one, band: "std" }), coverText({ ...one, band: "range" })]).toEqual([
      "± standard deviation: 0.9000 to 1.100, 2 runs",
      "lowest to highest: 0.9000 to 1.100, 2 runs",
    ]);
    expect(coverText(one)).toBe("0.9000 to 1.100 of 2 points");
    expect(coverText({ ...one, count: 1, band: "std" })).toBe("");
  });
  it("moves over all charts of the axis, and no other", () => {
    const seen: [string, number | null][] = [];
    const follow = (name: string) => (x: number | null) => void seen.push([name, x]);
    const first = shareCrosshair("step", follow("first"));
    const second = shareCrosshair("step", follow("second"));
    const other = shareCrosshair("time", follow("other"));
    first.move(7);
    second.leave();
    first.move(null);
    second.move(9);
    expect(seen).toEqual([
      ["second", 7],
      ["first", 9],
    ]);
    for (const { leave } of [first, other]) leave();
  });
});

describe("the points of a chart as CSV", () => {
  it("are those in view, to 12 digits, with what each covers", () => {
    const csv = csvOf(linesOf(spots, "step", 0.5, names), "step", [15, 30]);
    const [head, ...rows] = csv.trimEnd().split("\r\n");
    expect(head).toBe("series,step,mean,low,high,count");
    expect(rows).toEqual(["loss,20,2.85714285714,0,20,10", "loss,30,4.28571428571,0,30,10"]);
  });
  it("have empty cells for gaps, and no formula in a name", () => {
    const line = (label: string): Line => ({ label, colour: 1, points: [[1, null]] });
    const csv = csvOf(['=HYPERLINK("x")', "+1", "@a", "-2"].map(line), "clock", null);
    expect(csv.split("\r\n")).toEqual([
      "series,unix_seconds,mean,low,high,count",
      `"'=HYPERLINK(""x"")",1,,,,`,
      ...["'+1,1,,,,", "'@a,1,,,,", "'-2,1,,,,", ""],
    ]);
  });
});

describe("marks", () => {
  const file = (filename: string, step: number | null, epoch: number | null = null) => ({
    ...{ filename, step, epoch },
  });
  const run = {
    attempts: [
      { attempt: 1, from_step: null, first_step: 1 },
      { attempt: 2, from_step: 25, first_step: 26 },
      { attempt: 3, from_step: null, first_step: null },
    ],
    checkpoints: [file("a", 20), file("late", 99)],
    samples: [file("b", null, 0.3), file("nowhere", null)],
  };
  it("are where attempts but the first begin, and files were made", () => {
    expect(marksOf(run, spots, "step").map(({ kind, x, number }) => [kind, x, number])).toEqual([
      ...[
        ["attempt", 25, 2],
        ["checkpoint", 20, undefined],
        ["checkpoint", 99, undefined],
      ],
      ["sample", 30, undefined],
    ]);
    expect(marksOf(run, spots, "step")[1]?.text).toBe("a, step 20");
  });
  it("lie on the line between points on other axes, and not beyond them", () => {
    const timed = spots.map((one) => ({ ...one, x: one.step * 60 }));
    expect(marksOf(run, timed, "time").map(({ x }) => x)).toEqual([1500, 1200, 1800]);
    expect(
      marksOf(
        run,
        spots.map((one) => spot(one.step, { x: one.step / 100 })),
        "epoch",
      )[2]?.x,
    ).toBe(0.3);
    expect(marksOf(run, [], "time")).toEqual([]);
  });
  it("are so many at most", () => {
    const checkpoints = Array.from({ length: 2000 }, (_, n) => file(`c${n}`, n));
    expect(marksOf({ ...run, checkpoints }, spots, "step").length).toBeLessThanOrEqual(203);
  });
  it("know the place of a step by the points around it", () => {
    expect([0, 1, 5, 10, 15, 40, 41].map((step) => placeOfStep(spots, step))).toEqual([
      ...[null, 10, 10, 10, 15, 40, null],
    ]);
  });
});

it("images of a step are known where the ledger counts those of the run", () => {
  const task = { batch_size: 4, gradient_accumulation_steps: 2, images_seen: 80, trainer: "kohya" };
  expect(imagesPerStep(task as never)).toBe(8);
  expect(imagesPerStep({ ...task, trainer: "onetrainer" } as never)).toBe(4);
  expect(imagesPerStep({ ...task, images_seen: null } as never)).toBeNull();
});

it("titles have the unit that a metric's name tells", () => {
  expect(
    ["gpu.0.util", "gpu.1.mem_mb", "gpu.0.temp_c", "gpu.0.power_w", "loss", "lr/unet", "items"].map(
      valueTitle,
    ),
  ).toEqual([
    ...["gpu.0.util (%)", "gpu.1.mem_mb (MB)", "gpu.0.temp_c (°C)", "gpu.0.power_w (W)"],
    ...["loss", "lr/unet", "items"],
  ]);
  const rates = ["MB/s", "it/s", "samples/s", "tokens_per_sec", "train/steps_per.s"];
  expect([...rates, "%", "GiB"].map(valueTitle)).toEqual([...rates, "%", "GiB"]);
  expect(["step_seconds", "time.sec", "train/super_s", "wait-s"].map(valueTitle)).toEqual([
    ...["step_seconds (s)", "time.sec (s)", "train/super_s (s)", "wait-s (s)"],
  ]);
});

it("a constant series is one line in the middle of its frame, also where arithmetic makes noise", () => {
  for (const value of [0, 5, 1e-4, -3e300]) {
    const flat = [1, 2, 3].map((n) =>
      spot(n, { y: value * (1 + n * 1e-16), low: value, high: value }),
    );
    const lines = linesOf(flat, "step", 0, names);
    const [low, high] = frameOf(valuesOf(lines, null), { log: false, all: false });
    expect((low + high) / 2).toBeCloseTo(value, value === 0 ? 10 : -300);
    expect(high - low).toBeGreaterThanOrEqual(Math.abs(value) * 0.19);
  }
});
