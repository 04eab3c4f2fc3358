import { describe, expect, it } from "vitest";
import type { Curve, GroupCurves } from "../types.ts";
import { csvOf } from "./csv.ts";
import type { Line } from "./curves.ts";
import { type Drawn, differenceLines, groupLines, groupName, runLines } from "./several.ts";

const run = (id: number, values: [step: number, value: number | string][]): Drawn => ({
  ...{ id, name: `run ${id}`, style: { colour: id, dash: 0 } },
  curve: {
    ...{ metric: "loss", total: values.length, metrics: ["loss"] },
    points: values.map(([step, value]): Curve["points"][number] => [step, null, null, value]),
  },
});
const every = (step: number, count: number, value: (step: number) => number) =>
  Array.from({ length: count }, (_, n): [number, number] => [
    (n + 1) * step,
    value((n + 1) * step),
  ]);

describe("lines of several runs", () => {
  it("are differences to the baseline where both have a value", () => {
    const base = run(
      1,
      every(1, 6, (step) => step),
    );
    const sparse = run(2, [
      [2, 5],
      [4, 9],
      [8, 9],
    ]);
    const broken = run(3, [
      [1, 3],
      [2, "NaN"],
      [3, 3],
    ]);
    const lines = differenceLines([base, sparse, broken], base, 0);
    expect(lines.map(({ label, strong }) => [label, strong])).toEqual([
      ["run 1", true],
      ["run 2", false],
      ["run 3", false],
    ]);
    const points = lines.map((line) => line.points);
    expect(points[0]).toEqual([1, 2, 3, 4, 5, 6].map((step) => [step, 0]));
    // Its values are 5, 7, 9, 9 and 9 at the steps 2 to 6; the baseline ended at 6.
    expect(points[1]).toEqual([
      ...[
        [2, 3],
        [3, 4],
        [4, 5],
        [5, 4],
        [6, 3],
      ],
    ]);
    expect(points[2]).toEqual([
      [1, 2],
      [2, null],
      [3, 0],
    ]);
    // A gap is no NaN of the run.
    expect(lines[2]?.spots?.every(({ nonfinite }) => nonfinite === 0)).toBe(true);
  });

  it("of many runs leave the raw values out, and highlight the baseline", () => {
    const runs = (count: number) =>
      Array.from({ length: count }, (_, n) =>
        run(
          n + 1,
          every(1, 5, (step) => step),
        ),
      );
    expect(runLines(runs(12), "step", 0.9, 3).some(({ unseen }) => unseen)).toBe(false);
    const many = runLines(runs(13), "step", 0.9, 3);
    expect(many.filter(({ faint }) => faint).every(({ unseen }) => unseen)).toBe(true);
    expect(many.filter(({ faint, unseen }) => !faint && !unseen)).toHaveLength(13);
    expect(many.flatMap(({ label, strong }) => (strong ? label : []))).toEqual(["run 3", "run 3"]);
  });

  it("are saved once each, as they were logged, by their ids", () => {
    const twins = [1, 2, 3].map((id) => ({
      ...run(id, [
        [1, id],
        [2, 5],
      ]),
      name: id === 3 ? "#3" : "twin",
    }));
    const rows = (lines: Line[]) => csvOf(lines, "step", null).trimEnd().split("\r\n").slice(1);
    const [first] = twins;
    expect(rows(runLines(twins, "step", 0.9, null))).toEqual([
      ...["#1 twin,1,1,1,1,1", "#1 twin,2,5,5,5,1", "#2 twin,1,2,2,2,1", "#2 twin,2,5,5,5,1"],
      ...["#3,1,3,3,3,1", "#3,2,5,5,5,1"],
    ]);
    expect(first && rows(differenceLines(twins.slice(1, 2), first, 0.9))).toEqual([
      ...["#2 twin,1,1,1,1,1", "#2 twin,2,0,0,0,1"],
    ]);
  });

  it("of groups are means with a band, and none where no run is", () => {
    const groups: GroupCurves = {
      steps: [1, 2, 3],
      groups: [
        {
          ...{ group: 7.000000000000001e-5, ids: [1, 2], n: [2, 1, 0], mean: [2, 3, null] },
          ...{ std: [0.5, null, null], min: [1, 3, null], max: [3, 3, null] },
        },
      ],
      ...{ left_out: [], tasks: [], missing: [] },
    };
    const nameOf = ({ group }: GroupCurves["groups"][number]) => groupName(group, "none");
    const of = (band: "std" | "range", baseline?: Drawn) => {
      const [line] = groupLines(groups, band, 0, baseline ? { nameOf, baseline } : { nameOf });
      return { ...line, band: line?.spots?.map(({ y, low, high }) => [low, y, high]) };
    };
    expect(of("std").label).toBe("7e-5");
    expect([of("std"), of("range")].map(({ spots }) => spots?.[0]?.band)).toEqual(["std", "range"]);
    expect(of("std").band).toEqual([
      [1.5, 2, 2.5],
      [3, 3, 3],
    ]);
    expect(of("range").band).toEqual([
      [1, 2, 3],
      [3, 3, 3],
    ]);
    const base = run(9, [
      [1, 1],
      [2, 1],
    ]);
    expect(of("range", base).band).toEqual([
      [0, 1, 2],
      [2, 2, 2],
    ]);
    expect([groupName(null, "none"), groupName("", "none"), groupName("a", "none")]).toEqual([
      ...["none", "none", "a"],
    ]);
  });
});
