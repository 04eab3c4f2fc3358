import { type Query, type QueryClient, useQuery, useQueryClient } from "@tanstack/preact-query";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, Problem, readChanged } from "./api.ts";
import { leadsNotices } from "./notices.ts";

/** Between two looks for changes, while something runs and else. */
const BUSY_MS = 8_000;
const QUIET_MS = 10_000;
/** Between two looks of a hidden tab, where notices of the browser are on. */
const HIDDEN_MS = 60_000;
/** How long reports of boxes wait until a query about the whole ledger is asked again. */
const WHOLE_MS = 20_000;

/**
 * What a query shows that changes while it is looked at, as its `meta.live`: some runs by their ids, or else
 * the whole ledger; and how often a box's reports may make it ask again. A run that begins or ends, and what
 * people change, is shown at once.
 */
type Live = { runs?: readonly number[]; everyMs?: number };

/** Whether the page is visible; a hidden tab asks nothing. */
const visible = () => document.visibilityState === "visible";

type Answer = Awaited<ReturnType<Awaited<ReturnType<typeof api.table.changes.$get>>["json"]>>;
export type Changes = Extract<Answer, { running: unknown }>;

const changesKey = ["changes"];

/** Runs that parts of the page look at, whether they run or not. */
const watched = new Map<symbol, readonly number[]>();
/** Queries that have news to show and may not yet ask. */
const late = new WeakSet<Query>();

type State = { id: number; status: string; attempt: number };
/** What is known of each run of an answer, and in which stage it is; of runs that are watched where asked. */
function statesOf({ running, tasks }: Changes, withWatched: boolean) {
  const states = new Map<number, string>();
  const stages = new Map<number, string>();
  for (const state of [...running, ...(withWatched ? tasks : [])] as State[]) {
    states.set(state.id, (states.get(state.id) ?? "") + JSON.stringify(state));
    stages.set(state.id, `${state.status} ${state.attempt}`);
  }
  return { states, stages };
}

const differing = (a: Map<number, string>, b: Map<number, string>) =>
  new Set([...a.keys(), ...b.keys()].filter((id) => a.get(id) !== b.get(id)));

/** An answer, and the runs that it was asked about. */
type Seen = { ids: string; etag: string; body: Changes | null };
let last: Seen = { ids: "", etag: "", body: null };

/** Makes queries ask again that show what differs between two answers, or have waited long enough. */
async function refresh(client: QueryClient, before: Seen, now: Seen) {
  // Where other runs are watched than before, what is said of them is no change.
  const isSame = before.ids === now.ids;
  const [old, fresh] = [before, now].map(({ body }) => body && statesOf(body, isSame));
  const moved = old && fresh ? differing(old.states, fresh.states) : new Set<number>();
  const turned = old && fresh ? differing(old.stages, fresh.stages) : new Set<number>();
  const isChanged =
    moved.size > 0 || (before.body !== null && before.body.latest !== now.body?.latest);
  const isOther = isChanged && (turned.size > 0 || before.body?.latest !== now.body?.latest);
  await client.invalidateQueries({
    predicate: (query) => {
      const live = query.meta?.live as Live | undefined;
      if (!live) return false;
      const { runs, everyMs = runs ? 0 : WHOLE_MS } = live;
      const concerns = runs ? runs.some((id) => moved.has(id)) : isChanged;
      if (!concerns && !late.has(query)) return false;
      const isUrgent = runs ? runs.some((id) => turned.has(id)) : isOther;
      if (!isUrgent && Date.now() - query.state.dataUpdatedAt < everyMs) {
        late.add(query);
        return false;
      }
      late.delete(query);
      return true;
    },
  });
}

/** One conditional request for what has changed of the ledger and of the watched runs. */
async function look(client: QueryClient): Promise<Changes | null> {
  const ids = [...new Set([...watched.values()].flat())].sort((a, b) => a - b).join(",");
  const changed = await readChanged(
    (headers) => api.table.changes.$get({ query: ids ? { ids } : {} }, { headers }),
    last.ids === ids ? last.etag : "",
  );
  // What a hidden tab finds is for notices alone: the page asks for the rest when it is seen again.
  if (!visible()) return changed ? changed.body : last.body;
  const before = last;
  if (changed) last = { ids, etag: changed.etag, body: changed.body };
  await refresh(client, before, last);
  return last.body;
}

const changesQuery = (client: QueryClient) => ({
  queryKey: changesKey,
  staleTime: Number.POSITIVE_INFINITY,
  queryFn: () => look(client),
  retry: false,
  // A browser that is offline says so at once, as the server does where it is not reached.
  networkMode: "always" as const,
});

/** Whether an error says that the ledger is out of reach, and not that it refuses. */
const isOutOfReach = (error: unknown) =>
  error instanceof Problem && (error.status === 0 || error.status >= 500);

/**
 * Looks for changes as long as the page is open: one conditional request an interval, for all of its parts.
 * `lostSince` is when the ledger was last reached, in ms, while it is out of reach; else null.
 */
export function usePoll() {
  const client = useQueryClient();
  const query = useQuery({
    ...changesQuery(client),
    refetchInterval: ({ state }) =>
      state.error instanceof Problem && state.error.status === 401
        ? false
        : !visible()
          ? leadsNotices() && HIDDEN_MS
          : state.data?.running.length
            ? BUSY_MS
            : QUIET_MS,
    refetchIntervalInBackground: true,
  });
  const { refetch } = query;
  useEffect(() => {
    const again = () => {
      if (visible()) void refetch();
    };
    const events = [
      [document, "visibilitychange"],
      [window, "online"],
      [window, "offline"],
    ] as const;
    for (const [target, name] of events) target.addEventListener(name, again);
    return () => {
      for (const [target, name] of events) target.removeEventListener(name, again);
    };
  }, [refetch]);
  const isLost = isOutOfReach(query.error);
  const wasLost = useRef(false);
  useEffect(() => {
    // What the page missed meanwhile no comparison of two answers tells.
    if (wasLost.current && !isLost)
      void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey !== changesKey });
    wasLost.current = isLost;
  }, [isLost, client]);
  const [opened] = useState(Date.now);
  return { ...query, lostSince: isLost ? query.dataUpdatedAt || opened : null };
}

/** What usePoll() has found, that of these runs included. */
export function useChanges(ids: readonly number[] = []) {
  const client = useQueryClient();
  const wanted = ids.join(",");
  useEffect(() => {
    if (!wanted) return;
    const own = Symbol(wanted);
    watched.set(own, wanted.split(",").map(Number));
    void client.invalidateQueries({ queryKey: changesKey });
    return () => void watched.delete(own);
  }, [client, wanted]);
  return useQuery(changesQuery(client));
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
