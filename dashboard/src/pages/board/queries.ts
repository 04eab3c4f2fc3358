import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";
import { inPages } from "../../queries.ts";

export const keys = {
  board: ["board"],
  boxes: ["boxes"],
  events: ["events"],
  groups: ["groups"],
  lanes: ["lanes"],
  queue: ["queue"],
  rules: ["rules"],
  storage: ["storage"],
  trash: ["trash"],
};

/** Boxes say nothing while they wait: how often their last report is read again. */
const LOOK_AGAIN_MS = 60_000;
/** How often an event is read again while one of its messages waits for its delivery. */
const WAITING_MS = 4_000;
/** Groups that the sums of costs are read for. */
const MOST_GROUPS = 200;

/** Running, waiting and failed runs. */
export const boardQuery = queryOptions({
  queryKey: keys.board,
  meta: { live: {} },
  placeholderData: keepPreviousData,
  queryFn: () => read(api.board.$get()),
});

/** Waiting runs in order. This and the next ones are keyed by useBoardVersion(), null while unknown. */
export const queueQuery = (mine: boolean, boardVersion: string | null) =>
  infiniteQueryOptions({
    queryKey: [...keys.queue, mine, boardVersion],
    enabled: boardVersion !== null,
    placeholderData: keepPreviousData,
    ...inPages(
      (page) => read(api.queue.$get({ query: { ...page, ...(mine && { user: "me" }) } })),
      100,
    ),
  });

export const lanesQuery = (boardVersion: string | null) =>
  queryOptions({
    queryKey: [...keys.lanes, boardVersion],
    enabled: boardVersion !== null,
    placeholderData: keepPreviousData,
    queryFn: () => read(api.queue.lanes.$get()),
  });

/** Progress of sweeps and other groups of queued runs. */
export const groupsQuery = (boardVersion: string | null) =>
  queryOptions({
    queryKey: [...keys.groups, boardVersion],
    enabled: boardVersion !== null,
    placeholderData: keepPreviousData,
    queryFn: () => read(api.queue.groups.$get()),
  });

export const boxesQuery = (revoked: boolean, boardVersion: string | null) =>
  queryOptions({
    queryKey: [...keys.boxes, revoked, boardVersion],
    enabled: boardVersion !== null,
    placeholderData: keepPreviousData,
    refetchInterval: LOOK_AGAIN_MS,
    queryFn: () => read(api.boxes.$get({ query: { limit: "100", revoked: String(revoked) } })),
  });

/** The newest runs of a box. */
export const boxRunsQuery = (id: number, boardVersion: string | null) =>
  queryOptions({
    queryKey: ["box-runs", id, boardVersion],
    placeholderData: keepPreviousData,
    queryFn: () =>
      read(api.boxes[":id"].runs.$get({ param: { id: String(id) }, query: { limit: "100" } })),
  });

/** Sums of runs by group; each reads every run it is about, so changes do not ask it again. */
export const costQuery = (filter: string, groupBy: string) =>
  queryOptions({
    queryKey: ["money", filter, groupBy],
    staleTime: 60_000,
    placeholderData: keepPreviousData,
    queryFn: () =>
      read(
        api.stats.tasks.$get({
          query: {
            group_by: groupBy,
            select: "count,count(cost),sum(cost),sum(total_duration_sec)",
            order_by: "-sum(cost)",
            limit: String(MOST_GROUPS),
            ...(filter && { filter }),
          },
        }),
      ),
  });

export const storageQuery = (by: "group" | "user" | "kind") =>
  queryOptions({
    queryKey: [...keys.storage, by],
    placeholderData: keepPreviousData,
    queryFn: () => read(api.storage.$get({ query: { by } })),
  });

/** The trash by the day on which it is purged. */
export const trashQuery = queryOptions({
  queryKey: keys.trash,
  staleTime: 5 * 60_000,
  queryFn: () => read(api.storage.trash.$get()),
});

export const rulesQuery = queryOptions({
  queryKey: keys.rules,
  queryFn: () => read(api.storage.rules.$get({ query: { limit: "100" } })),
});

export const eventsQuery = (undelivered: boolean) =>
  infiniteQueryOptions({
    queryKey: [...keys.events, undelivered],
    meta: { live: {} },
    placeholderData: keepPreviousData,
    ...inPages((page) =>
      read(api.events.$get({ query: { ...page, ...(undelivered && { undelivered: "true" }) } })),
    ),
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) =>
        page.items.some((event) => event.deliveries.some((one) => one.state === "waiting")),
      )
        ? WAITING_MS
        : false,
  });

/** Use of the platform beside what its free plans give. */
export const usageQuery = queryOptions({
  queryKey: ["usage"],
  staleTime: 5 * 60_000,
  queryFn: () => read(api.board.usage.$get()),
});

/** How much of each bound a user, who is signed in, has used. */
export const myUseQuery = (userId: number) =>
  queryOptions({
    queryKey: ["use", userId],
    staleTime: 60_000,
    queryFn: () => read(api.me.use.$get()),
  });

export const everyonesUseQuery = infiniteQueryOptions({
  queryKey: ["use", "everyone"],
  staleTime: 60_000,
  ...inPages((query) => read(api.users.use.$get({ query }))),
});
