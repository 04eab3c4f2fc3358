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
  /** The stretch of the x axis in view, in its unit; null is the whole. */
  zoom: Range | null;
};

const usual = { metric: "loss", smoothing: USUAL_SMOOTHING };

function readZoom(text: string | null): Range | null {
  const ends = (text ?? "").split(":");
  const [low = Number.NaN, high = Number.NaN] = ends.map((end) =>
    end === "" ? Number.NaN : Number(end),
  );
  return ends.length === 2 && Number.isFinite(low) && Number.isFinite(high) && low < high
    ? [low, high]
    : null;
}

/** Reads the view from an address; `first` is the axis that is usual. */
export function readView(params: URLSearchParams, first: XAxis): View {
  const smoothing = Number(params.get("smooth") || usual.smoothing);
  return {
    metric: params.get("curve") || usual.metric,
    axis: xAxes.find((name) => name === params.get("x")) ?? first,
    log: params.get("log") === "1",
    smoothing: smoothing >= 0 && smoothing < 1 ? smoothing : usual.smoothing,
    all: params.get("y") === "all",
    zoom: readZoom(params.get("zoom")),
  };
}

/** Parameters of the address for a change of the view: null is the usual, which stands in no address. */
export function viewParams(change: Partial<View>, first: XAxis): Record<string, string | null> {
  const { metric, axis, log, smoothing, all, zoom } = change;
  return {
    ...(metric !== undefined && { curve: metric === usual.metric ? null : metric }),
    // A stretch of one axis is none of another.
    ...(axis !== undefined && { x: axis === first ? null : axis, zoom: null }),
    ...(log !== undefined && { log: log ? "1" : null }),
    ...(smoothing !== undefined && {
      smooth: smoothing === usual.smoothing ? null : String(smoothing),
    }),
    ...(all !== undefined && { y: all ? "all" : null }),
    ...(zoom !== undefined && {
      zoom: zoom === null ? null : zoom.map((end) => Number(end.toPrecision(9))).join(":"),
    }),
  };
}
