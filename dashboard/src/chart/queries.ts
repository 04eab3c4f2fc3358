import { keepPreviousData } from "@tanstack/preact-query";
import { api, read } from "../api.ts";
import type { Curve } from "../types.ts";

/** Points of a curve drawn large. */
export const CURVE_POINTS = 1200;

/** How often reports of its box make a curve ask again: the larger it is drawn, the oftener. */
const everyOf = (points: number) => (points >= CURVE_POINTS ? 0 : points >= 600 ? 60_000 : 300_000);

/** The route also answers CSV, so its types say nothing of which it is. */
const isCurve = (answer: unknown): answer is Omit<Curve, "metrics"> & Partial<Curve> =>
  typeof answer === "object" && answer !== null && "points" in answer;

/** A metric's curve, whole or between two steps; the whole one stays fresh during the run. */
export const curveQuery = (
  id: number,
  metric: string,
  max: number,
  range: readonly [number, number] | null = null,
) => ({
  queryKey: ["curve", id, metric, max, range],
  meta: range === null ? { live: { runs: [id], everyMs: everyOf(max) } } : {},
  placeholderData: keepPreviousData,
  queryFn: async (): Promise<Curve> => {
    const answer: unknown = await read(
      api.tasks[":id"].logs.$get({
        param: { id: String(id) },
        query: {
          metric,
          max_points: String(max),
          ...(range && {
            from_step: String(Math.max(0, Math.floor(range[0]))),
            to_step: String(Math.ceil(range[1])),
          }),
        },
      }),
    );
    if (!isCurve(answer)) throw new Error("the answer is not a curve");
    return { ...answer, metrics: answer.metrics ?? [] };
  },
});

/** Points of a curve of the grid, and how many curves one request asks for. */
const GRID_POINTS = 300;
const MOST_METRICS = 24;
/** Requests for curves of the grid that are on their way at once. */
const MOST_REQUESTS = 2;

type Wanted = {
  metric: string;
  signal: AbortSignal;
  done: (curve: Curve) => void;
  failed: (error: unknown) => void;
};
/** Curves that are asked for with the next requests, by run. */
const wanted = new Map<number, Wanted[]>();
let asking = 0;

/** Asks for the curves that are wanted, as many with each request as it takes. */
async function askNext() {
  const [id, list] = wanted.entries().next().value ?? [];
  if (id === undefined || !list || asking >= MOST_REQUESTS) return;
  // Whoever has scrolled on needs none.
  const live = list.filter(({ signal }) => !signal.aborted);
  const [now, later] = [live.slice(0, MOST_METRICS), live.slice(MOST_METRICS)];
  wanted.delete(id);
  if (later.length) wanted.set(id, later);
  if (now.length === 0) return askNext();
  asking++;
  void askNext();
  try {
    const { curves } = await read(
      api.tasks[":id"].curves.$get({
        param: { id: String(id) },
        query: { metric: now.map(({ metric }) => metric), max_points: String(GRID_POINTS) },
      }),
    );
    for (const [n, { done, failed }] of now.entries()) {
      const curve = curves[n];
      if (curve) done({ ...curve, metrics: [] });
      else failed(new Error("the answer lacks a curve"));
    }
  } catch (error) {
    for (const { failed } of now) failed(error);
  } finally {
    asking--;
    void askNext();
  }
}

/** A metric's curve for the grid: all that come into view at once are asked for together. */
export const gridCurveQuery = (id: number, metric: string) => ({
  queryKey: ["curve", id, metric, "grid"],
  meta: { live: { runs: [id], everyMs: 120_000 } },
  placeholderData: keepPreviousData,
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    new Promise<Curve>((done, failed) => {
      wanted.set(id, [...(wanted.get(id) ?? []), { metric, signal, done, failed }]);
      signal.addEventListener("abort", () => failed(signal.reason));
      setTimeout(askNext);
    }),
});
