import { USUAL_SMOOTHING, type XAxis, xAxes } from "./curves.ts";
import type { Range } from "./frame.ts";

/** What curves are shown with. */
export type View = {
  metric: string;
  axis: XAxis;
  log: boolean;
  /** From 0, not smoothed, to below 1. */
  smoothing: number;
  /** Show each value, also those that flatten the rest. */
  all: boolean;
  /** Show where attempts begin, and where checkpoints and samples were made. */
  marks: boolean;
  /** The stretch of the x axis in view, in its unit; null is the whole. */
  zoom: Range | null;
};

/** How curves are shown where an address does not say: as their person last chose, or as is usual. */
export type Usual = Pick<View, "axis" | "log" | "smoothing">;
export const usual: Usual = { axis: "step", log: false, smoothing: USUAL_SMOOTHING };
const USUAL_METRIC = "loss";

function readZoom(text: string | null): Range | null {
  const ends = (text ?? "").split(":");
  const [low = Number.NaN, high = Number.NaN] = ends.map((end) =>
    end === "" ? Number.NaN : Number(end),
  );
  return ends.length === 2 && Number.isFinite(low) && Number.isFinite(high) && low < high
    ? [low, high]
    : null;
}

/** Reads the view from an address; `axes` are those that the curves have. */
export function readView(
  params: URLSearchParams,
  first: Usual,
  axes: readonly XAxis[] = xAxes,
): View {
  const smoothing = Number(params.get("smooth") || first.smoothing);
  const log = params.get("log");
  return {
    metric: params.get("curve") || USUAL_METRIC,
    axis: axes.find((name) => name === params.get("x")) ?? first.axis,
    log: log === "1" || (log !== "0" && first.log),
    smoothing: smoothing >= 0 && smoothing < 1 ? smoothing : first.smoothing,
    all: params.get("y") === "all",
    marks: params.get("marks") !== "0",
    zoom: readZoom(params.get("zoom")),
  };
}

/** Parameters of the address for a change of the view: null is the usual value, which no address holds. */
export function viewParams(change: Partial<View>, first: Usual): Record<string, string | null> {
  const { metric, axis, log, smoothing, all, marks, zoom } = change;
  return {
    ...(metric !== undefined && { curve: metric === USUAL_METRIC ? null : metric }),
    // A stretch of one axis is none of another.
    ...(axis !== undefined && { x: axis === first.axis ? null : axis, zoom: null }),
    ...(log !== undefined && { log: log === first.log ? null : String(Number(log)) }),
    ...(smoothing !== undefined && {
      smooth: smoothing === first.smoothing ? null : String(smoothing),
    }),
    ...(all !== undefined && { y: all ? "all" : null }),
    ...(marks !== undefined && { marks: marks ? null : "0" }),
    ...(zoom !== undefined && {
      zoom: zoom === null ? null : zoom.map((end) => Number(end.toPrecision(9))).join(":"),
    }),
  };
}
