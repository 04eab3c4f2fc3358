import { keepPreviousData, type QueryClient, type QueryKey } from "@tanstack/preact-query";
import { api, read } from "../api.ts";
import type { Curve } from "../types.ts";
import { withNews } from "./fresh.ts";

/** Points of a curve drawn large. */
export const CURVE_POINTS = 1200;

/** How often reports of its box make a curve ask again: the larger it is drawn, the oftener. */
const everyOf = (points: number) => (points >= CURVE_POINTS ? 0 : points >= 600 ? 60_000 : 300_000);

/** The route also answers CSV, so its types say nothing of which it is. */
const isCurve = (answer: unknown): answer is Omit<Curve, "metrics"> & Partial<Curve> =>
  typeof answer === "object" && answer !== null && "points" in answer;

/** Asks for a curve, or what is new of it. */
async function askCurve(id: number, query: Record<string, string> & { metric: string }) {
  const answer: unknown = await read(
    api.tasks[":id"].logs.$get({ param: { id: String(id) }, query }),
  );
  if (!isCurve(answer)) throw new Error("the answer is not a curve");
  return { ...answer, metrics: answer.metrics ?? [] };
}

/**
 * A metric's curve, whole or between two steps; the whole one stays fresh during the run, and is asked only for
 * what came behind the points that the page has.
 */
export const curveQuery = (
  id: number,
  metric: string,
  max: number,
  range: readonly [number, number] | null = null,
) => ({
  queryKey: ["curve", id, metric, max, range],
  meta: range === null ? { live: { runs: [id], everyMs: everyOf(max) } } : {},
  placeholderData: keepPreviousData,
  queryFn: async ({ client, queryKey }: { client: QueryClient; queryKey: QueryKey }) => {
    const old = range === null ? client.getQueryData<Curve>(queryKey) : undefined;
    const since = old?.points.length ? old.next_since : undefined;
    const fresh = old && since ? withNews(old, await askCurve(id, { metric, since }), max) : null;
    if (fresh) return fresh;
    return askCurve(id, {
      ...{ metric, max_points: String(max) },
      ...(range && {
        from_step: String(Math.max(0, Math.floor(range[0]))),
        to_step: String(Math.ceil(range[1])),
      }),
    });
  },
});

/** Curves of one run that one request asks for. */
const MOST_METRICS = 24;

/** Several curves of a run in one request for each 24 of them, by their names. */
export async function readCurves(id: number, names: string[], max: number) {
  const found: [string, Curve][] = [];
  for (let start = 0; start < names.length; start += MOST_METRICS) {
    const metric = names.slice(start, start + MOST_METRICS);
    const { curves } = await read(
      api.tasks[":id"].curves.$get({
        param: { id: String(id) },
        query: { metric, max_points: String(max) },
      }),
    );
    for (const [n, curve] of curves.entries())
      found.push([metric[n] ?? curve.metric, { ...curve, metrics: [] }]);
  }
  return new Map(found);
}

/** Points of a curve of the grid. */
const GRID_POINTS = 300;
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
    const curves = await readCurves(
      id,
      now.map(({ metric }) => metric),
      GRID_POINTS,
    );
    for (const { metric, done, failed } of now) {
      const curve = curves.get(metric);
      if (curve) done(curve);
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
