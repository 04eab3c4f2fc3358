import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/preact-query";
import { useEffect, useRef } from "preact/hooks";
import { api, Problem, readChanged } from "./api.ts";

const BUSY_MS = 4_000;
const QUIET_MS = 10_000;

/** Whether the page is visible; a hidden tab asks nothing. */
const visible = () => document.visibilityState === "visible";

type Answer = Awaited<ReturnType<Awaited<ReturnType<typeof api.table.changes.$get>>["json"]>>;
export type Changes = Extract<Answer, { running: unknown }>;

/**
 * Keeps an open page fresh: one conditional request an interval, every few seconds while something
 * runs. A change makes the live queries on the page ask again; nothing else does.
 */
export function useChanges(ids: readonly number[] = []) {
  const client = useQueryClient();
  const last = useRef({ etag: "", body: null as Changes | null, ids: "" });
  const wanted = ids.join(",");
  const query = useQuery({
    queryKey: ["changes", wanted],
    staleTime: 0,
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const seen = last.current.ids === wanted ? last.current : { etag: "", body: null };
      const changed = await readChanged(
        (headers) => api.table.changes.$get({ query: wanted ? { ids: wanted } : {} }, { headers }),
        seen.etag,
      );
      if (!changed) return seen.body;
      const first = seen.body === null;
      last.current = { etag: changed.etag, body: changed.body, ids: wanted };
      if (!first) await client.invalidateQueries({ predicate: (q) => q.meta?.live === true });
      return changed.body;
    },
    refetchInterval: ({ state }) =>
      !visible() || (state.error instanceof Problem && state.error.status === 401)
        ? false
        : state.data?.running.length
          ? BUSY_MS
          : QUIET_MS,
    retry: false,
  });
  const { refetch } = query;
  useEffect(() => {
    const look = () => {
      if (visible()) void refetch();
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [refetch]);
  return query;
}

/**
 * A mark that differs after a change by a person or a start or end of a run, but not after each report
 * of a box: queries keyed by it are asked again no more often. Null while it is unknown.
 */
export function useBoardVersion(): string | null {
  const { data, error } = useChanges();
  if (!data) return error ? "" : null;
  return `${data.latest} ${data.running.map(({ id, attempt }) => `${id}.${attempt}`).join()}`;
}
