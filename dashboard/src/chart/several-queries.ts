import { keepPreviousData } from "@tanstack/preact-query";
import { api, read } from "../api.ts";
import type { Curves } from "../types.ts";

/** Points of each curve where several are drawn large, and small. */
export const LARGE = 600;
export const SMALL = 150;

/** How often reports of their boxes make curves ask again. */
const everyOf = (points: number) => (points < LARGE ? 300_000 : 60_000);

/** One metric of several runs, each in so many points that they are drawn at once. */
export const curvesQuery = (ids: number[], metric: string, points = LARGE) => ({
  queryKey: ["curves", ids.join(","), metric, points],
  enabled: ids.length > 0,
  meta: { live: { runs: ids, everyMs: everyOf(points) } },
  placeholderData: keepPreviousData,
  queryFn: async (): Promise<Curves> => {
    const { items, ...rest } = await read(
      api.curves.$get({ query: { ids: ids.join(","), metric, max_points: String(points) } }),
    );
    return { ...rest, items: items.map((curve) => ({ ...curve, metrics: rest.metrics })) };
  },
});

/** One metric of groups of runs by a field, at aligned steps. */
export const groupCurvesQuery = (ids: number[], metric: string, field: string, points = LARGE) => ({
  queryKey: ["group-curves", ids.join(","), metric, field, points],
  enabled: ids.length > 0 && field !== "",
  meta: { live: { runs: ids, everyMs: everyOf(points) } },
  placeholderData: keepPreviousData,
  // A field that is none is refused, and stays so.
  retry: false,
  queryFn: () =>
    read(
      api.curves.groups.$get({
        query: { ids: ids.join(","), metric, group_by: field, max_points: String(points / 2) },
      }),
    ),
});
