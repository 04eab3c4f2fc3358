import { queryOptions, useQuery, useQueryClient } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { api, explainError, read } from "../api.ts";
import { toast } from "../ui/toast.tsx";

const route = api.me.preferences[":name"];
const param = { name: "charts" } as const;

/** How a person likes to see curves; what it leaves out is as usual. */
export type ChartPreferences = InferResponseType<typeof route.$get, 200>["value"];

/** What the service had when this page last read it. */
let known: ChartPreferences | undefined;

const preferencesQuery = queryOptions({
  queryKey: ["preferences", "charts"],
  staleTime: 5 * 60_000,
  queryFn: async (): Promise<ChartPreferences> => {
    known = (await read(route.$get({ param }))).value;
    return known;
  },
});

/** Milliseconds without a change before changes are saved. */
const STILL_MS = 800;

/** Changes that are not saved yet. */
let waiting: ChartPreferences = {};
let timer: ReturnType<typeof setTimeout> | undefined;

async function save() {
  clearTimeout(timer);
  const changes = waiting;
  if (Object.keys(changes).length === 0) return;
  waiting = {};
  try {
    // Another browser may have saved other choices since this one read them.
    const { value } = await read(route.$get({ param }));
    known = { ...value, ...changes };
    await read(route.$put({ param, json: { value: known } }));
  } catch (error) {
    // They are tried again with the next change.
    waiting = { ...changes, ...waiting };
    toast(explainError(error), true);
  }
}
// A page that is left has no time to read first, and its last request outlives it.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "hidden" || !known || Object.keys(waiting).length === 0) return;
  clearTimeout(timer);
  known = { ...known, ...waiting };
  const json = { value: known };
  const changes = waiting;
  waiting = {};
  route.$put({ param, json }, { init: { keepalive: true } }).catch(() => {
    // Whoever comes back has them saved with the next change.
    waiting = { ...changes, ...waiting };
  });
});

/** How the person who is signed in likes to see curves, and a function that changes some of it and saves it. */
export function useChartPreferences() {
  const client = useQueryClient();
  const { data, isPending } = useQuery(preferencesQuery);
  const change = (next: ChartPreferences) => {
    waiting = { ...waiting, ...next };
    clearTimeout(timer);
    timer = setTimeout(() => void save(), STILL_MS);
    client.setQueryData(preferencesQuery.queryKey, (known) => known && { ...known, ...next });
  };
  return { own: data ?? {}, isPending, change };
}
