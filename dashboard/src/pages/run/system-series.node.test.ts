import { expect, it } from "vitest";
import type { Curve } from "../../types.ts";
import { groupLines, groupsOf, lastOf, systemNames } from "./system-series.ts";

const curve = (metric: string, from: number, values: (number | string | null)[]): Curve =>
  ({
    metric,
    metrics: [],
    total: values.length,
    points: values.map((value, n) => [
      ...[n + 1, null, new Date(Date.UTC(2026, 4, 1) + (from + n) * 1000).toISOString(), value],
    ]),
  }) as unknown as Curve;

it("draws a chart for each kind of figure, the GPUs in their order, and none without series", () => {
  const names = systemNames([
    ...["loss", "sys.cpu", "gpu.10.util", "gpu.2.util", "gpu.0.fan", "sys.mine"],
    ...["sys.mem_total_mb", "sys.net_out_mb_s"],
  ]);
  expect(names).toEqual([
    ...["gpu.10.util", "gpu.2.util", "sys.cpu", "sys.mem_total_mb", "sys.net_out_mb_s"],
  ]);
  expect(groupsOf(names).map(({ title, series }) => [title, series])).toEqual([
    [
      "GPU utilisation",
      [
        ["GPU 2", "gpu.2.util"],
        ["GPU 10", "gpu.10.util"],
      ],
    ],
    ["Processor", [["Processor", "sys.cpu"]]],
    ["Network", [["Sent", "sys.net_out_mb_s"]]],
  ]);
});

it("counts the time of all charts from the first figure, and divides by the unit", () => {
  const curves = new Map([
    ["gpu.0.mem_mb", curve("gpu.0.mem_mb", 30, [2048, "NaN", 1024])],
    ["sys.cpu", curve("sys.cpu", 0, [1, 2])],
  ]);
  const [memory] = groupsOf([...curves.keys()]);
  const lines = memory ? groupLines(memory, curves, "time") : [];
  expect(lines.map(({ label, points }) => [label, points])).toEqual([
    [
      "GPU 0",
      [
        [30, 2],
        [31, null],
        [32, 1],
      ],
    ],
  ]);
  expect(lastOf(curves, "gpu.0.mem_mb")).toBe(1024);
  expect(lastOf(curves, "sys.mem_mb")).toBeNull();
});

it("draws each of many GPUs in a colour or dashes of its own", () => {
  const names = Array.from({ length: 16 }, (_, n) => `gpu.${n}.util`);
  const [load] = groupsOf(names);
  const lines = load ? groupLines(load, new Map(), "time") : [];
  expect(new Set(lines.map(({ colour, dash }) => `${colour} ${dash}`)).size).toBe(16);
  expect([lines[11], lines[12]].map((line) => [line?.colour, line?.dash])).toEqual([
    [12, 0],
    [1, 1],
  ]);
});
