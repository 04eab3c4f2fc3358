import { keepPreviousData } from "@tanstack/preact-query";
import {
  type GpuFigure,
  gpuFigureOf,
  isSystemMetric,
  type MachineFigure,
} from "../../../../src/shared/system-metrics.ts";
import { type Line, onAxis, type Spot, type XAxis, type XY } from "../../chart/curves.ts";
import { COLOURS } from "../../chart/line-styles.ts";
import { curveQuery, readCurves } from "../../chart/queries.ts";
import type { Text } from "../../i18n.ts";
import { t } from "../../i18n.ts";
import type { Curve } from "../../types.ts";

/** Points of a chart of the machine. */
const POINTS = 400;

/** The curve of the processor, which names all other series of the run. */
export const systemNamesQuery = (id: number) => ({
  ...curveQuery(id, "sys.cpu", POINTS),
  meta: { live: { runs: [id], everyMs: 300_000 } },
});

/** All figures of the machine. */
export const systemQuery = (id: number, names: string[]) => ({
  queryKey: ["system", id, names],
  meta: { live: { runs: [id], everyMs: 60_000 } },
  placeholderData: keepPreviousData,
  queryFn: () => readCurves(id, names, POINTS),
});

export const systemNames = (metrics: string[]): string[] => metrics.filter(isSystemMetric).sort();

/** A chart: its series, what its values are divided by, and the unit that they have then. */
export type Group = {
  title: Text;
  unit: string;
  series: [label: string, name: string][];
  by?: number;
};

const machineGroups: {
  title: Text;
  unit: string;
  by?: number;
  of: readonly (readonly [MachineFigure, Text])[];
}[] = [
  { title: "Processor", unit: "%", of: [["sys.cpu", "Processor"]] },
  { title: "Memory", unit: "GiB", by: 1024, of: [["sys.mem_mb", "Memory"]] },
  {
    title: "Disk left",
    unit: "GiB",
    of: [
      ["sys.disk_free_gb", "Output folder"],
      ["sys.spool_free_gb", "Client's records"],
    ],
  },
  {
    title: "Network",
    unit: "MB/s",
    of: [
      ["sys.net_in_mb_s", "Received"],
      ["sys.net_out_mb_s", "Sent"],
    ],
  },
];
const gpuGroups: { title: Text; unit: string; by?: number; figure: GpuFigure }[] = [
  { title: "GPU utilisation", unit: "%", figure: "util" },
  { title: "GPU memory", unit: "GiB", by: 1024, figure: "mem_mb" },
  { title: "GPU temperature", unit: "°C", figure: "temp_c" },
  { title: "GPU power", unit: "W", figure: "power_w" },
];

/** The charts for the series that a run has: those of the GPUs first, with a line for each. */
export function groupsOf(names: string[]): Group[] {
  const gpus = names.flatMap((name) => {
    const found = gpuFigureOf(name);
    return found ? [{ name, ...found }] : [];
  });
  gpus.sort((a, b) => a.gpu - b.gpu);
  return [
    ...gpuGroups.map(({ figure, ...group }) => ({
      ...group,
      series: gpus
        .filter((one) => one.figure === figure)
        .map(({ gpu, name }): [string, string] => [t("GPU {n}", { n: gpu }), name]),
    })),
    ...machineGroups.map(({ of, ...group }) => ({
      ...group,
      series: of
        .filter(([name]) => names.includes(name))
        .map(([name, label]): [string, string] => [t(label), name]),
    })),
  ].filter(({ series }) => series.length > 0);
}

/** The curve whose first point is the earliest: the charts count their time from it. */
const earliest = (curves: Iterable<Curve>): Curve | undefined => {
  const begun = ({ points }: Curve) => points.find(([, , time]) => time !== null)?.[2] ?? "9";
  return [...curves].reduce<Curve | undefined>(
    (first, curve) => (first && begun(first) <= begun(curve) ? first : curve),
    undefined,
  );
};

/** The lines of a chart, over the time since the first figure of the machine. */
export function groupLines(
  { series, by = 1 }: Group,
  curves: Map<string, Curve>,
  axis: XAxis,
): Line[] {
  const start = earliest(curves.values());
  const divided = (value: number | null) => (value === null ? null : value / by);
  return series.map(([label, name], n) => {
    const curve = curves.get(name);
    const spots = curve ? onAxis(curve, axis, start) : [];
    const shown = spots.map(
      (spot): Spot => ({
        ...spot,
        y: divided(spot.y),
        low: divided(spot.low),
        high: divided(spot.high),
      }),
    );
    return {
      ...{ label, colour: (n % COLOURS) + 1, dash: Math.floor(n / COLOURS) },
      ...{ points: shown.map(({ x, y }): XY => [x, y]), spots: shown },
    };
  });
}

/** The last finite value of a series; null where there is none. */
export const lastOf = (curves: Map<string, Curve>, name: string): number | null => {
  const value = curves.get(name)?.points.findLast(([, , , y]) => typeof y === "number")?.[3];
  return typeof value === "number" ? value : null;
};
