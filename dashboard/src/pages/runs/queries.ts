import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";
import { inPages } from "../../queries.ts";
import type { Row } from "../../types.ts";

export const keys = {
  view: ["view"],
  oneView: (id: string | null) => ["view", id],
  views: ["views"],
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

/** The rows of the table so far, the fields of their values, and the key of what was asked for. */
export type Table = { key: string; fields: string; rows: Row[] };

export const keyOf = (asked: Asked) => JSON.stringify(asked);

const toTable = ({ pages }: { pages: { key: string; fields: string; items: Row[] }[] }): Table => ({
  key: pages[0]?.key ?? "",
  fields: pages[0]?.fields ?? "",
  rows: pages.flatMap(({ items }) => items),
});

/**
 * The rows of the table. A page that was read is never read again: changes come in by useRows, so
 * nothing is kept for a table that is on no page.
 */
export const rowsQuery = (asked: Asked) =>
  infiniteQueryOptions({
    queryKey: ["rows", asked],
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
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

/** The small curves of some runs, as [step, value] points. */
export const readSparklines = async (ids: string) =>
  (await read(api.table.sparklines.$get({ query: { ids } }))).items;
