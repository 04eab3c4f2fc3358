import {
  keepPreviousData,
  type QueryKey,
  queryOptions,
  useQueryClient,
} from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
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

const chosenFields = [
  ...["experiment_group", "final_loss", "best_loss", "best_step", "nonfinite_from_step"],
];
type Row = InferResponseType<typeof api.table.$get, 200>["items"][number];
/** A run among others: its state, its group and what its loss came to. */
export type ChosenRun = Pick<Row, "id" | "task_name" | "status" | "failure_reason"> & {
  experiment_group: string | null;
  final_loss: number | null;
  best_loss: number | null;
  best_step: number | null;
  nonfinite_from_step: number | null;
};

function toChosen({ id, task_name, status, failure_reason, values }: Row): ChosenRun {
  const number = (name: string) => {
    const value = values[chosenFields.indexOf(name)];
    return typeof value === "number" ? value : null;
  };
  const group = values[0];
  return {
    ...{ id, task_name, status, failure_reason },
    experiment_group: typeof group === "string" && group !== "" ? group : null,
    final_loss: number("final_loss"),
    best_loss: number("best_loss"),
    best_step: number("best_step"),
    nonfinite_from_step: number("nonfinite_from_step"),
  };
}

/** Some runs by their ids, at most 200, in their order; those that are not found are missing. */
export const chosenQuery = (ids: number[]) =>
  queryOptions({
    queryKey: ["chosen", ids.join(",")],
    enabled: ids.length > 0,
    meta: { live: { runs: ids, everyMs: 60_000 } },
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const filter = `id in (${ids.join(", ")})`;
      const query = { filter, limit: "200", fields: chosenFields.join(",") };
      const { items } = await read(api.table.$get({ query }));
      const found = new Map(items.map((row) => [row.id, toChosen(row)]));
      return ids.flatMap((id) => found.get(id) ?? []);
    },
  });

/** One run, also where it is in the trash. */
export const taskQuery = (id: number) =>
  queryOptions({
    queryKey: keys.task(id),
    queryFn: () =>
      read(api.tasks[":id"].$get({ param: { id: String(id) }, query: { deleted: "true" } })),
  });
