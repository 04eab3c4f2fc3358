import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";
import { inPages } from "../../queries.ts";
import type { Row } from "../../types.ts";

export const keys = {
  view: ["view"],
  oneView: (id: string | null) => ["view", id],
  views: ["views"],
  rows: ["rows"],
  counts: ["run-counts"],
};

/** A saved view by its id. */
export const savedViewQuery = (id: string | null) =>
  queryOptions({
    queryKey: keys.oneView(id),
    enabled: id !== null,
    queryFn: () => read(api.views[":id"].$get({ param: { id: id ?? "" } })),
  });

/** Views of one's own, and those that others share. */
export const viewsQuery = infiniteQueryOptions({
  queryKey: keys.views,
  ...inPages((page) => read(api.views.$get({ query: page })), 100),
});

/** The first page is as long as a screen, so that it is there at once; the others are as long as may be. */
const FIRST = 60;
const PAGE = 200;

/** The question that the table asks the server. */
export type Asked = {
  filter: string;
  q: string;
  status: string;
  user: string;
  order: string;
  deleted: boolean;
  fields: string;
};

/** Reads a page of the table. */
export function readRows(asked: Asked, page: { limit: string; cursor?: string }) {
  const query: Record<string, string> = { ...page };
  const { filter, q, status, user, order: order_by, fields } = asked;
  for (const [name, value] of Object.entries({ filter, q, status, user, order_by, fields }))
    if (value) query[name] = value;
  if (asked.deleted) query.deleted = "true";
  return read(api.table.$get({ query }));
}

/**
 * The rows of the table so far, the fields of their values, and the key of what was asked for. `first` is the
 * first page: another one where the rows were read again.
 */
export type Table = { key: string; fields: string; rows: Row[]; first?: object };

export const keyOf = (asked: Asked) => JSON.stringify(asked);

const toTable = ({ pages }: { pages: { key: string; fields: string; items: Row[] }[] }): Table => ({
  key: pages[0]?.key ?? "",
  fields: pages[0]?.fields ?? "",
  rows: pages.flatMap(({ items }) => items),
  first: pages[0],
});

/** For how long the rows of a table that was left are kept, so that Back shows them at once. */
const KEPT_MS = 10 * 60_000;

/**
 * The rows of the table. While it is looked at, a page that was read is not read again: changes come in by
 * useRows. Who comes back sees the rows as they were, until all of their pages are read again.
 */
export const rowsQuery = (asked: Asked) =>
  infiniteQueryOptions({
    queryKey: [...keys.rows, asked],
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: KEPT_MS,
    refetchOnMount: "always",
    // A browser that is offline says so at once, as the server does where it is not reached.
    networkMode: "always",
    structuralSharing: false,
    placeholderData: keepPreviousData,
    ...inPages(
      async (page) => ({
        ...(await readRows(asked, page)),
        key: keyOf(asked),
        fields: asked.fields,
      }),
      PAGE,
      FIRST,
    ),
    select: toTable,
  });

/** How many runs there are in each status and group, newest choice of the page but its status. */
export type Counts = {
  cells: { status: string; group: string | null; count: number }[];
  statuses: Map<string, number>;
  /** Whether all runs were counted, and all groups named. */
  complete: boolean;
};

/** Groups and statuses that one answer names together. */
const MOST_CELLS = 200;

/** Counts the runs of a choice, whatever its status; a filter with a mistake is not asked about. */
export const countsQuery = ({ filter, q, user, deleted }: Omit<Asked, "status">, sound: boolean) =>
  queryOptions({
    queryKey: [...keys.counts, { filter, q, user, deleted }],
    enabled: sound,
    meta: { live: { everyMs: 60_000 } },
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: async (): Promise<Counts> => {
      const query = {
        ...(filter && { filter }),
        ...(q && { q }),
        ...(user && { user }),
        ...(deleted && { deleted: "true" as const }),
        order_by: "-count",
        limit: String(MOST_CELLS),
      };
      const ask = (group_by: string) =>
        read(api.stats.tasks.$get({ query: { ...query, group_by } }));
      const found = await ask("status,experiment_group");
      const cells = found.items.map(({ group, values }) => ({
        status: String(group.status),
        group: typeof group.experiment_group === "string" ? group.experiment_group : null,
        count: Number(values.count),
      }));
      // Of so many groups the statuses are not summed up from a part.
      const byStatus = found.next_cursor
        ? (await ask("status")).items.map(({ group, values }) => ({
            status: String(group.status),
            count: Number(values.count),
          }))
        : cells;
      const statuses = new Map<string, number>();
      for (const { status, count } of byStatus)
        statuses.set(status, (statuses.get(status) ?? 0) + count);
      return { cells, statuses, complete: found.complete };
    },
  });

/** The small curves of some runs, as [step, value] points. */
export const readSparklines = async (ids: string) =>
  (await read(api.table.sparklines.$get({ query: { ids } }))).items;
