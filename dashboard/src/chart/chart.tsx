import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { default as Plot } from "uplot";
import { duration, measure, short, whole } from "../format.ts";
import { type Text, t } from "../i18n.ts";
import { colour, onTheme } from "../theme.ts";
import type { Line, XAxis } from "./curves.ts";
import { countLeftOut, exitsOf, frameOf, type Range, valuesOf } from "./frame.ts";
import { drawBands, drawExits, drawNonfinite } from "./marks.ts";

const text = {
  step: whole,
  epoch: (n: number) => String(Math.round(n * 100) / 100),
  time: duration,
};
/** A place of the axis in a sentence. */
const place = (axis: XAxis, x: number) =>
  axis === "step"
    ? t("step {step}", { step: whole(x) })
    : axis === "epoch"
      ? t("epoch {n}", { n: text.epoch(x) })
      : t("after {time}", { time: duration(x) });
const titles: Record<XAxis, Text> = {
  step: "Step",
  epoch: "Epoch",
  time: "Time since the first point",
};

type Column = (number | null | undefined)[];
type Aligned = [number[], ...Column[]];

/**
 * x of all lines in one ascending list, and each line's values at them: undefined where it has no point,
 * null where its value has no place on the scale.
 */
function align(lines: Line[], log: boolean): Aligned {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort(
    (a, b) => a - b,
  );
  const index = new Map(xs.map((x, n) => [x, n]));
  const values = lines.map(({ points }) => {
    const column: Column = new Array(xs.length).fill(undefined);
    for (const [x, y] of points) column[index.get(x) ?? 0] = log && y !== null && y <= 0 ? null : y;
    return column;
  });
  return [xs, ...values];
}

/** Whether a line has one value, which is a dot then. */
function isDot(self: Plot, series: number): boolean {
  let count = 0;
  for (const y of self.data[series] ?? []) if (typeof y === "number") count++;
  return count === 1;
}

/**
 * Curves over one axis. Dragging zooms in, a double click zooms out; `zoomed` gets the range, so that
 * detail can be fetched for it; without it the chart keeps its own. `title` names the values, and gives
 * both axes their titles. The legend and, as words, `summary` have the same figures.
 */
export function Chart(props: {
  lines: Line[];
  axis: XAxis;
  log: boolean;
  height: number;
  summary: string;
  title?: string;
  /** Show each value, also those that flatten the rest. */
  all?: boolean;
  zoomed?: (range: Range | null) => void;
  range?: Range | null;
}) {
  const { lines, axis, log, height, title, all = false } = props;
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const [library, setLibrary] = useState<typeof import("./plot.ts") | null>(null);
  const [theme, setTheme] = useState(0);
  const [under, setUnder] = useState<number | null>(null);
  const [own, setOwn] = useState<Range | null>(null);
  const range = props.zoomed ? (props.range ?? null) : own;
  const zoom = useRef<(range: Range | null) => void>(setOwn);
  zoom.current = props.zoomed ?? setOwn;
  useEffect(() => onTheme(() => setTheme((n) => n + 1)), []);
  useEffect(() => {
    void import("./plot.ts").then(setLibrary);
  }, []);

  const shape = lines.map(({ label, colour: c, faint }) => `${label}|${c}|${faint}`).join("\n");
  const [low, high] = range ?? [];
  // A scale of logarithms is for values above 0; where there are none, the chart stays as it was.
  const logNow = log && lines.some(({ points }) => points.some(([, y]) => y !== null && y > 0));
  const drawn = useMemo(() => {
    const view: Range | null = low === undefined || high === undefined ? null : [low, high];
    const frame = frameOf(valuesOf(lines, view), { log: logNow, all });
    return {
      ...{ lines, view, frame },
      data: align(lines, logNow),
      exits: exitsOf(lines, view, frame, logNow),
      beyond: exitsOf(
        lines.filter(({ spots }) => spots),
        ...([view, frame, logNow] as const),
      ).length,
      leftOut: log ? countLeftOut(lines, view) : 0,
    };
  }, [lines, low, high, log, logNow, all]);
  const latest = useRef(drawn);
  latest.current = drawn;

  // The chart is made anew for other lines, scales or colours; new points go into the one there is.
  useEffect(() => {
    const holder = element.current;
    if (!library || !holder) return;
    const { uPlot } = library;
    const [line, faint] = [colour("grid"), colour("faint")];
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const series: Plot.Series[] = lines.map(({ label, colour: n, faint: behind }) => ({
      label,
      stroke: colour(`line-${n}`),
      width: behind ? 1 : 1.75,
      alpha: behind ? 0.3 : 1,
      points: { show: isDot },
    }));
    const axes = { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const titled = (label: string) =>
      title === undefined ? {} : { label, labelFont: font, labelSize: 16, labelGap: 0 };
    const options: Plot.Options = {
      width: holder.clientWidth,
      height,
      padding: [8, 32, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { size: 6 },
        y: false,
      },
      scales: {
        x: { time: false },
        y: { ...(logNow && { distr: 3, log: 10 }), range: () => latest.current.frame },
      },
      axes: [
        {
          ...axes,
          ...titled(t(titles[axis])),
          size: 28,
          gap: 4,
          values: (_, at) => at.map((x) => text[axis](x)),
        },
        {
          ...axes,
          ...titled(title ?? ""),
          size: 56,
          gap: 4,
          values: (_, at) => at.map((y) => (y === null ? "" : short(y))),
        },
      ],
      series: [{}, ...series],
      hooks: {
        drawAxes: [(self) => drawBands(self, latest.current.lines, latest.current.frame)],
        draw: [
          (self) => {
            drawNonfinite(self, latest.current.lines);
            drawExits(self, latest.current.exits);
          },
        ],
        setCursor: [(self) => setUnder(self.cursor.idx ?? null)],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width < 6) return;
            const chosen: Range = [self.posToVal(left, "x"), self.posToVal(left + width, "x")];
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            zoom.current(chosen);
          },
        ],
      },
    };
    const made = new uPlot(options, latest.current.data, holder);
    plot.current = made;
    const out = () => zoom.current(null);
    made.over.addEventListener("dblclick", out);
    const observer = new ResizeObserver(() => made.setSize({ width: holder.clientWidth, height }));
    observer.observe(holder);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [library, shape, axis, logNow, height, theme, title]);

  // Behind the effect above, so that a chart made anew is given its stretch too.
  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    const { data, view } = drawn;
    made.batch(() => {
      made.setData(data, !view);
      if (view) made.setScale("x", { min: view[0], max: view[1] });
    });
  }, [drawn, library, shape, axis, logNow, height, theme, title]);

  const { data, view, beyond, leftOut } = drawn;
  const lastInView = view ? data[0].findLastIndex((one) => one <= view[1]) : data[0].length - 1;
  const at = Math.min(under ?? lastInView, data[0].length - 1);
  const x = data[0][at];
  return (
    <figure class="chart">
      <div ref={element} style={{ height: `${height}px` }} role="img" aria-label={props.summary} />
      <figcaption class="legend">
        <span class="faint legend-x">{x !== undefined && place(axis, x)}</span>
        {lines.map((line, n) => {
          if (line.faint) return null;
          const { value, n: found } = nearest(data[n + 1], at);
          const ended = !data[n + 1]?.some((y, after) => after >= at && y !== undefined);
          return (
            <span key={line.label + String(line.colour)} class="legend-line">
              <i class={`swatch colour-${line.colour}`} />
              <span class="clip">{line.label}</span>
              <b>{measure(value) || "–"}</b>
              {ended && <span class="faint">{place(axis, data[0][found] ?? 0)}</span>}
            </span>
          );
        })}
        {beyond > 0 && (
          <span class="faint">{t("{n} points lie beyond the frame", { n: whole(beyond) })}</span>
        )}
        {leftOut > 0 && (
          <span class="faint">
            {logNow
              ? t("{n} points at 0 or below are left out", { n: whole(leftOut) })
              : t("No value lies above 0, so the scale is not logarithmic")}
          </span>
        )}
      </figcaption>
    </figure>
  );
}

/** A line's value at a place, or at the last one before it where it has a point: null is a gap. */
function nearest(values: Column | undefined, at: number): { value: number | null; n: number } {
  for (let n = at; n >= 0; n--) {
    const value = values?.[n];
    if (value !== undefined) return { value, n };
  }
  return { value: null, n: at };
}
