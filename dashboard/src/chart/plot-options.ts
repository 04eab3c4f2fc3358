import type Plot from "uplot";
import { short } from "../format.ts";
import { colour } from "../theme.ts";
import { axisTitle, markText } from "./axes.ts";
import type { Line, XAxis } from "./curves.ts";
import type { Exit, Range } from "./frame.ts";
import { dashes } from "./line-styles.ts";
import { drawBands, drawExits, drawMarks, drawNonfinite, type Mark } from "./marks.ts";

/** What a chart draws now; new points go into the plot there is. */
export type Drawn = { lines: Line[]; frame: Range; exits: Exit[]; marks: Mark[] };

/** Whether a line has one value, which is a dot then. */
function isDot(self: Plot, series: number): boolean {
  let count = 0;
  for (const y of self.data[series] ?? []) if (typeof y === "number") count++;
  return count === 1;
}

/** The options of a chart's plot. Dragging chooses a stretch, with Shift it moves the one in view. */
export function plotOptions(chart: {
  width: number;
  height: number;
  lines: Line[];
  axis: XAxis;
  log: boolean;
  /** The title of the values; without it the axes have none. */
  title: string | undefined;
  drawn: () => Drawn;
  pointed: (self: Plot) => void;
  chosen: (range: Range) => void;
  panned: (distance: number) => void;
}): Plot.Options {
  const { axis, title } = chart;
  const [grid, faint] = [colour("grid"), colour("faint")];
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const series: Plot.Series[] = chart.lines.map(({ label, colour: n, faint: behind, ...line }) => ({
    label,
    show: !line.unseen,
    stroke: colour(`line-${n}`),
    // A broken line behind another one would be noise.
    dash: behind ? [] : [...(dashes[line.dash ?? 0] ?? [])],
    width: behind ? 1 : line.strong ? 3.5 : 1.75,
    alpha: behind ? 0.3 : 1,
    points: { show: isDot },
  }));
  const axes = { stroke: faint, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  const titled = (label: string) =>
    title === undefined ? {} : { label, labelFont: font, labelSize: 16, labelGap: 0 };
  return {
    ...{ width: chart.width, height: chart.height, padding: [8, 32, 0, 0] },
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      y: false,
      bind: {
        mousedown: (self, _, select) => (event) => {
          if (event.shiftKey) pan(self, event, chart.panned);
          else select(event);
          return null;
        },
        // The chart zooms out by its own listener.
        dblclick: () => null,
      },
    },
    scales: {
      x: { time: axis === "clock" },
      y: { ...(chart.log && { distr: 3, log: 10 }), range: () => chart.drawn().frame },
    },
    axes: [
      {
        ...axes,
        ...titled(title === undefined ? "" : axisTitle(axis)),
        size: 28,
        gap: 4,
        values: (self, at) => {
          const { min, max } = self.scales.x ?? {};
          return at.map((x) => markText(axis, x, (max ?? 0) - (min ?? 0)));
        },
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
      drawAxes: [(self) => drawBands(self, chart.drawn().lines, chart.drawn().frame)],
      draw: [
        (self) => {
          drawMarks(self, chart.drawn().marks);
          drawNonfinite(self, chart.drawn().lines);
          drawExits(self, chart.drawn().exits);
        },
      ],
      setCursor: [chart.pointed],
      setSelect: [
        (self) => {
          const { left, width } = self.select;
          if (width < 6) return;
          const range: Range = [self.posToVal(left, "x"), self.posToVal(left + width, "x")];
          self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          chart.chosen(range);
        },
      ],
    },
  };
}

/** Follows the pointer until it lets go, and tells each distance on the axis that the stretch is to move. */
function pan(self: Plot, { clientX }: MouseEvent, panned: (distance: number) => void) {
  let before = clientX;
  const move = (event: MouseEvent) => {
    const distance = self.posToVal(0, "x") - self.posToVal(event.clientX - before, "x");
    before = event.clientX;
    panned(distance);
  };
  const end = () => {
    document.removeEventListener("mousemove", move);
    document.removeEventListener("mouseup", end);
  };
  document.addEventListener("mousemove", move);
  document.addEventListener("mouseup", end);
}
