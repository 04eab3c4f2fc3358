import { useEffect, useRef, useState } from "preact/hooks";
import type { default as Plot } from "uplot";
import { duration, measure, short, whole } from "../format.ts";
import { colour, onTheme } from "../theme.ts";
import type { XAxis, XY } from "./curves.ts";

export type Line = {
  label: string;
  /** A number from 1 to 8: the colour of the style sheet. */
  colour: number;
  points: XY[];
  /** Behind the others: the raw values of a smoothed line. */
  faint?: boolean;
};

const text = {
  step: whole,
  epoch: (n: number) => String(Math.round(n * 100) / 100),
  time: duration,
};

/** x of all lines in one ascending list, and each line's values at them. */
function align(lines: Line[]) {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort(
    (a, b) => a - b,
  );
  const index = new Map(xs.map((x, n) => [x, n]));
  const values = lines.map(({ points }) => {
    const column = new Array<number | null | undefined>(xs.length).fill(undefined);
    for (const [x, y] of points) column[index.get(x) ?? 0] = y;
    return column;
  });
  return [xs, ...values] as [number[], ...(number | null | undefined)[][]];
}

/**
 * Curves over one axis. Dragging zooms in, a double click zooms out; `zoomed` gets the range, so that
 * detail can be fetched for it. The legend and, as words, `summary` have the same figures.
 */
export function Chart(props: {
  lines: Line[];
  axis: XAxis;
  log: boolean;
  height: number;
  summary: string;
  zoomed?: (range: [number, number] | null) => void;
  range?: [number, number] | null;
}) {
  const { lines, axis, log, height } = props;
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const [library, setLibrary] = useState<typeof import("./plot.ts") | null>(null);
  const [theme, setTheme] = useState(0);
  const [under, setUnder] = useState<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => onTheme(() => setTheme((n) => n + 1)), []);
  useEffect(() => {
    void import("./plot.ts").then(setLibrary);
  }, []);

  const shape = lines.map(({ label, colour: c, faint }) => `${label}|${c}|${faint}`).join("\n");
  const data = align(lines);
  const logNow = log && lines.some(({ points }) => points.some(([, y]) => y !== null && y > 0));

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
      alpha: behind ? 0.2 : 1,
      spanGaps: true,
      points: { show: false },
    }));
    const axes = { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const options: Plot.Options = {
      width: holder.clientWidth,
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { size: 6 },
        y: false,
      },
      scales: {
        x: { time: false },
        y: logNow ? { distr: 3, log: 10 } : {},
      },
      axes: [
        { ...axes, size: 28, gap: 4, values: (_, at) => at.map((x) => text[axis](x)) },
        {
          ...axes,
          size: 56,
          gap: 4,
          values: (_, at) => at.map((y) => (y === null ? "" : short(y))),
        },
      ],
      series: [{}, ...series],
      hooks: {
        setCursor: [(self) => setUnder(self.cursor.idx ?? null)],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width < 6) return;
            const range: [number, number] = [
              self.posToVal(left, "x"),
              self.posToVal(left + width, "x"),
            ];
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            self.setScale("x", { min: range[0], max: range[1] });
            latest.current.zoomed?.(range);
          },
        ],
      },
    };
    const made = new uPlot(options, align(latest.current.lines), holder);
    plot.current = made;
    const range = latest.current.range;
    if (range) made.setScale("x", { min: range[0], max: range[1] });
    const out = () => latest.current.zoomed?.(null);
    made.over.addEventListener("dblclick", out);
    const observer = new ResizeObserver(() => made.setSize({ width: holder.clientWidth, height }));
    observer.observe(holder);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [library, shape, axis, logNow, height, theme]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    const range = props.range;
    made.setData(data, !range);
    if (range) made.setScale("x", { min: range[0], max: range[1] });
  });

  const at = under ?? data[0].length - 1;
  const x = data[0][at];
  return (
    <figure class="chart">
      <div ref={element} style={{ height: `${height}px` }} role="img" aria-label={props.summary} />
      <figcaption class="legend">
        <span class="faint legend-x">{x !== undefined && text[axis](x)}</span>
        {lines.map((line, n) =>
          line.faint ? null : (
            <span key={line.label + String(line.colour)} class="legend-line">
              <i class={`swatch colour-${line.colour}`} />
              <span class="clip">{line.label}</span>
              <b>{measure(nearest(data[n + 1], at))}</b>
            </span>
          ),
        )}
      </figcaption>
    </figure>
  );
}

/** A line's value at a place, or the last one before it: lines have their points at places of their own. */
function nearest(values: (number | null | undefined)[] | undefined, at: number): number | null {
  for (let n = at; n >= 0; n--) {
    const value = values?.[n];
    if (value !== undefined && value !== null) return value;
  }
  return null;
}
