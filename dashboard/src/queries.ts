import { type QueryKey, queryOptions, useQueryClient } from "@tanstack/preact-query";
import { api, read } from "./api.ts";

// Queries that several pages share; a page's own are in the queries.ts beside it.

type Page<T> = { items: T[]; next_cursor: string | null };

const itemsOf = <T>({ pages }: { pages: Page<T>[] }): T[] => pages.flatMap(({ items }) => items);

/**
 * A list that is loaded page after page, as parts of an infinite query: its data are the items so far.
 * The first page may have a `first` number of items of its own.
 */
export const inPages = <P extends Page<unknown>>(
  ask: (query: { limit: string; cursor?: string }) => Promise<P>,
  limit = 50,
  first = limit,
) => ({
  initialPageParam: "",
  queryFn: ({ pageParam }: { pageParam: string }): Promise<P> =>
    ask({
      limit: String(pageParam ? limit : first),
      ...(pageParam && { cursor: pageParam }),
    }),
  getNextPageParam: ({ next_cursor }: P) => next_cursor,
  select: itemsOf<P["items"][number]>,
});

/** Gives a function that asks the queries under some keys again. */
export function useRefresh() {
  const client = useQueryClient();
  return (...keys: QueryKey[]) =>
    Promise.all(keys.map((queryKey) => client.invalidateQueries({ queryKey })));
}

export const keys = {
  users: ["users"],
  task: (id: number) => ["task", id],
};

/** Who is signed in. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: () => read(api.me.$get()),
  staleTime: Number.POSITIVE_INFINITY,
});

/** The first 200 users, as one list answers. */
export const usersQuery = queryOptions({
  queryKey: keys.users,
  queryFn: () => read(api.users.$get({ query: { limit: "200" } })),
});

/** One run, also where it is in the trash. */
export const taskQuery = (id: number) =>
  queryOptions({
    queryKey: keys.task(id),
    queryFn: () =>
      read(api.tasks[":id"].$get({ param: { id: String(id) }, query: { deleted: "true" } })),
  });
