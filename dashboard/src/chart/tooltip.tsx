import { dateTime, measure, whole } from "../format.ts";
import { t } from "../i18n.ts";
import { indexAt } from "./align.ts";
import { placeText } from "./axes.ts";
import type { Line, Spot, XAxis } from "./curves.ts";
import type { Mark } from "./marks.ts";
import { Swatch } from "./swatch.tsx";

/** Lines that a tooltip names: those nearest to the pointer. */
const MOST = 16;

/** What a line has at a place: its value, and what its point covers. */
export type Under = { line: Line; value: number | null; spot: Spot | undefined };

/** What each line has at a place of the axis, where it has begun and not ended; of a smoothed one its raw points too. */
export function linesUnder(lines: Line[], x: number): Under[] {
  let raw: Line | undefined;
  return lines.flatMap((line): Under[] => {
    if (line.faint) {
      raw = line;
      return [];
    }
    const behind = raw?.colour === line.colour ? raw : line;
    raw = undefined;
    const at = indexAt(line.points, x);
    const last = line.points.at(-1);
    if (at < 0 || !last || last[0] < x) return [];
    return [{ line, value: line.points[at]?.[1] ?? null, spot: behind.spots?.[at] }];
  });
}

/** The step, epoch and time of a point, but for what its axis says. */
function momentText({ firstStep, step, epoch, time }: Spot, axis: XAxis): string {
  return [
    firstStep < step
      ? t("steps {first} to {last}", { first: whole(firstStep), last: whole(step) })
      : axis !== "step" && t("step {step}", { step: whole(step) }),
    axis !== "epoch" && typeof epoch === "number" && placeText("epoch", epoch),
    axis !== "clock" && typeof time === "number" && dateTime(new Date(time).toISOString()),
  ]
    .filter(Boolean)
    .join(" · ");
}

const covers = {
  std: "± standard deviation: {low} to {high}, {n} runs",
  range: "lowest to highest: {low} to {high}, {n} runs",
  points: "{low} to {high} of {n} points",
} as const;

/** The extent and number of a point's values, or of a group's runs. */
export const coverText = ({ low, high, count, band }: Spot) =>
  count > 1
    ? t(covers[band ?? "points"], {
        low: measure(low) || "–",
        high: measure(high) || "–",
        n: whole(count),
      })
    : "";

/** What lies under the crosshair in words. */
export const underText = (axis: XAxis, x: number, under: Under[]): string =>
  [
    placeText(axis, x),
    ...under.map(({ line, value }) => `${line.label} ${measure(value) || "–"}`),
  ].join(", ");

/** What lies under the crosshair: the place, all lines' values there with what they cover, and marks. */
export function Tooltip(props: {
  axis: XAxis;
  x: number;
  under: Under[];
  /** The value at the pointer's height; the nearest lines come first. */
  height: number | null;
  marks: Mark[];
  style: { left?: string; right?: string };
}) {
  const { axis, x, under, height, marks } = props;
  const far = ({ value }: Under) =>
    value === null || height === null ? Number.POSITIVE_INFINITY : Math.abs(value - height);
  const shown = under.length > 1 ? [...under].sort((a, b) => far(a) - far(b)) : under;
  const [first] = under;
  return (
    <div class="chart-tip" style={props.style} aria-hidden="true">
      <b>{placeText(axis, x)}</b>
      {first?.spot && <span class="faint">{momentText(first.spot, axis)}</span>}
      {shown.slice(0, MOST).map(({ line, value, spot }) => (
        <div key={`${line.label} ${line.colour} ${line.dash}`} class="chart-tip-line">
          <Swatch {...line} />
          <span class="clip">{line.label}</span>
          <b>{measure(value) || "–"}</b>
          {spot && <span class="faint">{coverText(spot)}</span>}
        </div>
      ))}
      {shown.length > MOST && (
        <span class="faint">{t("{n} more", { n: whole(shown.length - MOST) })}</span>
      )}
      {marks.slice(0, 4).map(({ kind, text }) => (
        <span key={kind + text}>{text}</span>
      ))}
    </div>
  );
}
