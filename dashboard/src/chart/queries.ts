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
