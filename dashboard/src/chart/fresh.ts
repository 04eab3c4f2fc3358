import type { Curve, CurvePoint } from "../types.ts";

/** The answer to `since`: the points that came behind those of a curve, each as it was logged. */
export type News = Curve & { replaces_from?: number | null };

/** Share of its points by which a curve may grow before it is asked for whole, and so thinned, again. */
const MOST_NEWS = 0.25;

const list = <T>(
  values: T[] | undefined,
  points: CurvePoint[],
  of: (point: CurvePoint) => T,
): T[] => values ?? points.map(of);
const finite = ([, , , value]: CurvePoint) => (typeof value === "number" ? value : null);

/**
 * A curve with what came behind it. Null where it has to be asked for whole: points replace some of its own, or are
 * so many that it is no longer thinned evenly.
 */
export function withNews(curve: Curve, news: News, most: number): Curve | null {
  const last = curve.points.at(-1);
  const first = news.points[0];
  if (!last || news.metric !== curve.metric || typeof news.replaces_from === "number") return null;
  if (first && first[0] <= last[0]) return null;
  if (curve.points.length + news.points.length > most * (1 + MOST_NEWS)) return null;
  const both = <T>(of: (curve: Curve) => T[]): T[] => [...of(curve), ...of(news)];
  return {
    ...curve,
    total: curve.total + news.total,
    points: both(({ points }) => points),
    metrics: news.metrics.length > 0 ? news.metrics : curve.metrics,
    next_since: news.next_since,
    first_step: both((one) => list(one.first_step, one.points, ([step]) => step)),
    low: both((one) => list(one.low, one.points, finite)),
    high: both((one) => list(one.high, one.points, finite)),
    count: both((one) => list(one.count, one.points, () => 1)),
    nonfinite: both((one) => list(one.nonfinite, one.points, (p) => (finite(p) === null ? 1 : 0))),
  };
}
