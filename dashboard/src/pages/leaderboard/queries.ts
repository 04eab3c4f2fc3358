import { keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";

/** The best successful runs by a metric: one of each group, or of all where `group` is "". */
export const leaderboardQuery = (filter: string, group: string, metric: string) =>
  queryOptions({
    queryKey: ["leaderboard", filter, group, metric],
    meta: { live: {} },
    placeholderData: keepPreviousData,
    queryFn: () =>
      read(
        api.leaderboard.$get({
          query: {
            metric,
            limit: "100",
            filter: filter ? `(${filter}) and status = 'success'` : "status = 'success'",
            ...(group && { group_by: group }),
          },
        }),
      ),
  });
