import { keepPreviousData } from "@tanstack/preact-query";
import { api, read } from "../api.ts";
import type { Curves } from "../types.ts";

/** One metric of several runs, each in so many points that they are drawn at once. */
export const curvesQuery = (ids: number[], metric: string) => ({
  queryKey: ["curves", ids.join(","), metric],
  enabled: ids.length > 0,
  meta: { live: { runs: ids, everyMs: 60_000 } },
  placeholderData: keepPreviousData,
  queryFn: async (): Promise<Curves> => {
    const { items, ...rest } = await read(
      api.curves.$get({ query: { ids: ids.join(","), metric, max_points: "600" } }),
    );
    return { ...rest, items: items.map((curve) => ({ ...curve, metrics: rest.metrics })) };
  },
});

/** One metric of groups of runs by a field, at aligned steps. */
export const groupCurvesQuery = (ids: number[], metric: string, field: string) => ({
  queryKey: ["group-curves", ids.join(","), metric, field],
  enabled: ids.length > 0 && field !== "",
  meta: { live: { runs: ids, everyMs: 60_000 } },
  placeholderData: keepPreviousData,
  // A field that is none is refused, and stays so.
  retry: false,
  queryFn: () =>
    read(
      api.curves.groups.$get({
        query: { ids: ids.join(","), metric, group_by: field, max_points: "300" },
      }),
    ),
});
