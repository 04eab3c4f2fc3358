import { csvText } from "../../../src/shared/csv.ts";
import { rounded } from "../format.ts";
import type { Line, XAxis } from "./curves.ts";
import type { Range } from "./frame.ts";

const places: Record<XAxis, string> = {
  step: "step",
  epoch: "epoch",
  images: "images",
  time: "seconds",
  clock: "unix_seconds",
};

const number = (value: number | null | undefined) =>
  value === null || value === undefined ? "" : String(rounded(value));

/**
 * The points of a chart within a stretch of its axis, as CSV: of each its place and mean, to 12 significant
 * digits, and where it covers logged values the lowest, the highest and their number. Smoothed lines, which have
 * no spots, are left out beside the lines that they come from.
 */
export function csvOf(lines: Line[], axis: XAxis, range: Range | null): string {
  const logged = lines.filter(({ spots }) => spots);
  const rows = (logged.length > 0 ? logged : lines).flatMap(({ label, series, points, spots }) =>
    points.flatMap(([x, y], n) => {
      if (range && (x < range[0] || x > range[1])) return [];
      const spot = spots?.[n];
      const values = [x, y, spot?.low, spot?.high, spot?.count].map(number);
      return [[csvText(series ?? label), ...values].join(",")];
    }),
  );
  return [`series,${places[axis]},mean,low,high,count`, ...rows, ""].join("\r\n");
}
